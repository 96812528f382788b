//! The header `Idempotency-Key`: a request that comes twice is done once.

use axum::body::Body;
use serde_json::json;

use crate::daemon::{Daemon, request};

#[tokio::test]
async fn twenty_at_once_are_one() {
    let daemon = Daemon::open().await;
    let answers = futures_util::future::join_all(
        (0..20).map(|_| daemon.post_keyed("/v1/sessions?wait=30", "k", r#"{"prompt":"once"}"#)),
    )
    .await;
    let mut replayed = 0;
    let mut made = Vec::new();
    for answer in answers {
        replayed += usize::from(answer.header("idempotency-replayed") == "true");
        made.push(answer.with(201));
    }
    assert_eq!(replayed, 19);
    assert!(made.iter().all(|one| one["turn"]["id"] == made[0]["turn"]["id"] && one["turn"]["status"] == "completed"));
    let sessions = daemon.engine.sessions(10).await.unwrap();
    assert_eq!((sessions.len(), sessions[0].turn_count), (1, 1));
}

#[tokio::test]
async fn a_key_is_bound_to_what_it_came_with() {
    let daemon = Daemon::open().await;
    let (one, other) = (daemon.session("a").await, daemon.session("b").await);
    let turns = |session: &str| format!("/v1/sessions/{session}/turns");
    let body = r#"{"prompt":"x"}"#;
    let first = daemon.post_keyed(&turns(&one), "k", body).await.with(202)["turn"]["id"].clone();
    // The same, waiting for another time: the turn as it is now.
    let again = daemon.post_keyed(&format!("{}?wait=30", turns(&one)), "k", body).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.ok()["turn"].clone();
    assert_eq!((&again["id"], &again["status"]), (&first, &json!("completed")));
    // Another body, down to a space.
    for body in [r#"{"prompt":"y"}"#, r#"{"prompt": "x"}"#] {
        let refused = daemon.post_keyed(&turns(&one), "k", body).await;
        assert_eq!(refused.refused(), (422, "IDEMPOTENCY_MISMATCH"));
        assert_eq!(refused.header("idempotency-replayed"), "");
    }
    // Another session, another key, another caller: other work.
    let elsewhere = daemon.post_keyed(&turns(&other), "k", body).await.with(202)["turn"]["id"].clone();
    let otherwise = daemon.post_keyed(&turns(&one), "K", body).await.with(202)["turn"]["id"].clone();
    assert!(first != elsewhere && first != otherwise);
    let local = axum::http::Request::builder().method("POST").uri(turns(&one)).extension(http_api::Peer::SameUser);
    let local = local.header("content-type", "application/json").header("idempotency-key", "k");
    let local = daemon.send(local.body(Body::from(body)).unwrap()).await;
    assert_eq!(local.header("idempotency-replayed"), "");
    assert_ne!(local.with(202)["turn"]["id"], first);
}

#[tokio::test]
async fn every_route_that_starts_work_takes_one() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions?wait=30", json!({"prompt": "a"})).await.with(201);
    let (session, turn) = (made["session"]["id"].as_str().unwrap(), made["turn"]["id"].as_str().unwrap());
    for (path, body, id) in [
        ("/v1/sessions".to_owned(), r#"{"prompt":"x"}"#.to_owned(), "/turn/id"),
        (format!("/v1/sessions/{session}/turns"), r#"{"prompt":"x"}"#.to_owned(), "/turn/id"),
        (format!("/v1/sessions/{session}/compact"), String::new(), "/id"),
        (format!("/v1/turns/{turn}/retry"), r#"{"force":true}"#.to_owned(), "/id"),
        ("/start".to_owned(), r#"{"prompt":"x"}"#.to_owned(), "/sessionId"),
        ("/continue".to_owned(), json!({"sessionId": session, "prompt": "x"}).to_string(), "/content"),
        ("/reply".to_owned(), json!({"threadId": session, "prompt": "x"}).to_string(), "/content"),
    ] {
        let before = turns(&daemon).await;
        let first = daemon.post_keyed(&path, "k", &body).await;
        let again = daemon.post_keyed(&path, "k", &body).await;
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            ("", "true"),
            "{path}"
        );
        assert!(first.status.is_success() && first.status == again.status, "{path}: {} {}", first.text, again.text);
        assert!(first.json.pointer(id).is_some(), "{path}: {}", first.text);
        assert_eq!(first.json.pointer(id), again.json.pointer(id), "{path}");
        assert_eq!(turns(&daemon).await, before + 1, "{path}");
        for keys in [&[""][..], &["a b"], &["\u{e9}"], &["k", "k"]] {
            let mut sent = request("POST", &path).header("content-type", "application/json");
            for key in keys {
                sent = sent.header("idempotency-key", *key);
            }
            let refused = daemon.send(sent.body(Body::from(body.clone())).unwrap()).await;
            assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{path} {keys:?}");
            assert!(refused.said().contains("Idempotency-Key"), "{}", refused.said());
        }
    }
}

async fn turns(daemon: &Daemon) -> u64 {
    daemon.engine.sessions(100).await.unwrap().iter().map(|session| session.turn_count).sum()
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let daemon = Daemon::open().await;
    let refused = daemon.post_keyed("/v1/sessions", "k", r#"{"prompt":"x","sandbox":"danger-full-access"}"#).await;
    assert_eq!(refused.refused(), (403, "SANDBOX_FORBIDDEN"));
    let made = daemon.post_keyed("/v1/sessions", "k", r#"{"prompt":"x"}"#).await;
    assert_eq!(made.header("idempotency-replayed"), "");
    made.with(201);
}
