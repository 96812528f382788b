//! Sessions in v1: made, shown, changed, deleted.

use serde_json::{Value, json};
use types::agent::AgentStatus;

use crate::daemon::{Daemon, open};

#[tokio::test]
async fn a_session_with_a_prompt_starts_its_first_turn() {
    let daemon = Daemon::open().await;
    let body = json!({
        "prompt": "hello", "title": " my  title ", "model": "m", "sandbox": "read-only", "approvalPolicy": "untrusted",
        "developerInstructions": "be brief", "config": {"model_reasoning_effort": "low"}, "labels": {"a": "b"},
        "effort": "high", "outputSchema": {"type": "object"},
    });
    let made = daemon.post("/v1/sessions", body).await;
    let location = made.header("location").to_owned();
    assert_eq!(made.header("idempotency-replayed"), "");
    let made = made.with(201);
    let (session, turn) = (&made["session"], &made["turn"]);
    assert_eq!(location, format!("/v1/sessions/{}", session["id"].as_str().unwrap()));
    for (field, value) in [
        ("title", json!("my title")),
        ("titleSource", json!("manual")),
        ("titleLocked", json!(false)),
        ("model", json!("m")),
        ("sandbox", json!("read-only")),
        ("approvalPolicy", json!("untrusted")),
        ("labels", json!({"a": "b"})),
        ("config", json!({"model_reasoning_effort": "low"})),
        ("cwd", json!(daemon.work)),
        ("turnCount", json!(1)),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    assert_eq!(
        (&turn["sessionId"], &turn["prompt"], &turn["kind"]),
        (&session["id"], &json!("hello"), &json!("prompt"))
    );
    assert_eq!((&turn["principal"], &turn["origin"]), (&json!("anonymous"), &json!("http")));

    let waited = daemon.post("/v1/sessions?wait=30", json!({"prompt": "hello"})).await.with(201);
    assert_eq!((&waited["turn"]["status"], &waited["turn"]["answer"]), (&json!("completed"), &json!("echo: hello")));
    assert_eq!(waited["session"]["status"], "idle");
    assert!(waited["session"]["threadId"].is_string());
    assert_eq!((&waited["session"]["title"], &waited["session"]["titleSource"]), (&json!("hello"), &json!("auto")));
}

#[tokio::test]
async fn a_session_without_a_prompt_waits_for_its_first_turn() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions?wait=600", json!({})).await.with(201);
    assert_eq!((made.get("turn"), &made["session"]["turnCount"]), (None, &json!(0)));
    let session = made["session"]["id"].as_str().unwrap();
    assert_eq!(daemon.get(&format!("/v1/sessions/{session}")).await.ok(), made["session"]);
    let turn = daemon.post(&format!("/v1/sessions/{session}/turns?wait=30"), json!({"prompt": "x"})).await.ok();
    assert_eq!(turn["turn"]["answer"], "echo: x");
}

#[tokio::test]
async fn pictures_come_with_words() {
    let daemon = Daemon::open().await;
    std::fs::write(daemon.work.join("a.png"), b"x").unwrap();
    let input = json!([{"type": "text", "text": "what is"}, {"type": "localImage", "path": "a.png"}]);
    let made = daemon.post("/v1/sessions?wait=30", json!({"input": input})).await.with(201);
    assert_eq!(made["turn"]["answer"], "echo: what is");
    let gone = json!([{"type": "text", "text": "x"}, {"type": "localImage", "path": "gone.png"}]);
    assert_eq!(daemon.post("/v1/sessions", json!({"input": gone})).await.refused(), (400, "BAD_REQUEST"));
    let outside = json!([{"type": "text", "text": "x"}, {"type": "localImage", "path": "../store/store.lock"}]);
    assert_eq!(daemon.post("/v1/sessions", json!({"input": outside})).await.refused(), (403, "CWD_FORBIDDEN"));
}

#[tokio::test]
async fn what_is_wider_than_allowed_is_refused_and_nothing_is_made() {
    let daemon = Daemon::open().await;
    for (field, value, code) in [
        ("sandbox", json!("danger-full-access"), "SANDBOX_FORBIDDEN"),
        ("approvalPolicy", json!("never"), "APPROVAL_POLICY_FORBIDDEN"),
        ("cwd", json!("/"), "CWD_FORBIDDEN"),
        ("config", json!({"mcp_servers": {"x": {"command": "sh"}}}), "CONFIG_FORBIDDEN"),
    ] {
        let refused = daemon.post("/v1/sessions", json!({"prompt": "x", field: value})).await;
        assert_eq!(refused.refused(), (403, code), "{field}");
    }
    let long = daemon.post("/v1/sessions", json!({"prompt": "x", "labels": {"a": "b".repeat(257)}})).await;
    assert_eq!(long.refused(), (400, "BAD_REQUEST"));
    daemon.echo.set_status(AgentStatus::Unavailable, Some("gone"));
    assert_eq!(daemon.post("/v1/sessions", json!({"prompt": "x"})).await.refused(), (503, "AGENT_UNAVAILABLE"));
    assert!(daemon.engine.sessions(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn folders_are_chosen_where_that_is_allowed() {
    let daemon = Daemon::with(open(), |policy| policy.allow_cwd_override = true).await;
    let inner = daemon.work.join("inner");
    std::fs::create_dir(&inner).unwrap();
    let made = daemon.post("/v1/sessions", json!({"cwd": inner})).await.with(201);
    assert_eq!(made["session"]["cwd"], json!(inner));
    for (cwd, refusal) in [
        (json!("inner"), (400, "BAD_CWD")),
        (json!(daemon.work.join("gone")), (400, "BAD_CWD")),
        (json!(daemon.dir.path()), (403, "CWD_FORBIDDEN")),
    ] {
        assert_eq!(daemon.post("/v1/sessions", json!({"cwd": cwd})).await.refused(), refusal, "{cwd}");
        let path = format!("/v1/sessions/{}", made["session"]["id"].as_str().unwrap());
        assert_eq!(daemon.patch(&path, json!({"cwd": cwd})).await.refused(), refusal, "{cwd}");
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_id_and_by_its_thread() {
    let daemon = Daemon::open().await;
    let session = daemon.session("hello").await;
    let shown = daemon.get(&format!("/v1/sessions/{session}")).await.ok();
    let thread = shown["threadId"].as_str().unwrap();
    for path in ["", "/turns", "/transcript"] {
        let (by_id, by_thread) = (format!("/v1/sessions/{session}{path}"), format!("/v1/sessions/{thread}{path}"));
        assert_eq!(daemon.get(&by_id).await.ok(), daemon.get(&by_thread).await.ok(), "{path}");
    }
    for id in ["nobody", "..%2f..", "%ff", "%00", "a%20b"] {
        for path in ["", "/turns", "/transcript"] {
            let unknown = daemon.get(&format!("/v1/sessions/{id}{path}")).await;
            assert_eq!(unknown.refused(), (404, "NO_SESSION"), "{id}{path}");
        }
        assert_eq!(daemon.delete(&format!("/v1/sessions/{id}")).await.refused(), (404, "NO_SESSION"));
        assert_eq!(daemon.patch(&format!("/v1/sessions/{id}"), json!({})).await.refused(), (404, "NO_SESSION"));
        for path in ["turns", "compact", "autoname"] {
            let body = if path == "turns" { json!({"prompt": "x"}) } else { json!({}) };
            let unknown = daemon.post(&format!("/v1/sessions/{id}/{path}"), body).await;
            assert_eq!(unknown.refused(), (404, "NO_SESSION"), "{id}/{path}");
        }
    }
}

#[tokio::test]
async fn a_session_changes_where_it_is_told_to() {
    let daemon = Daemon::open().await;
    let path = format!("/v1/sessions/{}", daemon.session("hello").await);
    let before = daemon.get(&path).await.ok();
    assert_eq!(daemon.patch(&path, json!({})).await.ok(), before);

    let titled = daemon.patch(&path, json!({"title": " new \n title "})).await.ok();
    assert_eq!(
        (&titled["title"], &titled["titleLocked"], &titled["titleSource"]),
        (&json!("new title"), &json!(true), &json!("manual"))
    );
    assert_eq!(daemon.patch(&path, json!({"title": " \n"})).await.refused(), (400, "BAD_REQUEST"));

    let labels = async |labels: Value| daemon.patch(&path, json!({"labels": labels})).await.ok()["labels"].clone();
    assert_eq!(labels(json!({"a": "1", "b": "2"})).await, json!({"a": "1", "b": "2"}));
    assert_eq!(labels(json!({"a": null, "c": "3"})).await, json!({"b": "2", "c": "3"}));
    assert_eq!(labels(json!({"zzz": null})).await, json!({"b": "2", "c": "3"}));
    let too_many: serde_json::Map<_, _> = (0..33).map(|n| (n.to_string(), json!("x"))).collect();
    assert_eq!(daemon.patch(&path, json!({"labels": too_many})).await.refused(), (400, "BAD_REQUEST"));

    let archived = daemon.patch(&path, json!({"archived": true})).await.ok();
    assert_eq!((&archived["status"], archived["archivedAt"].is_string()), (&json!("idle"), true));
    let refused = daemon.post(&format!("{path}/turns"), json!({"prompt": "x"})).await;
    assert_eq!(refused.refused(), (409, "NOT_SUPPORTED"));
    let back = daemon.patch(&path, json!({"archived": false})).await.ok();
    assert_eq!(back.get("archivedAt"), None);
    daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": "x"})).await.ok();
    assert_eq!(daemon.patch(&path, json!({"cwd": daemon.work})).await.refused(), (403, "CWD_FORBIDDEN"));
}

#[tokio::test]
async fn a_session_is_named_by_its_latest_prompt() {
    let daemon = Daemon::open().await;
    let path = format!("/v1/sessions/{}", daemon.session("first").await);
    daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": "second"})).await.ok();
    daemon.patch(&path, json!({"title": "mine"})).await.ok();
    for body in ["", "{}", "{\"force\":false}"] {
        let request =
            crate::daemon::request("POST", &format!("{path}/autoname")).header("content-type", "application/json");
        let kept = daemon.send(request.body(axum::body::Body::from(body)).unwrap()).await.ok();
        assert_eq!(kept["title"], "mine", "{body:?}");
    }
    let forced = daemon.post(&format!("{path}/autoname"), json!({"force": true})).await.ok();
    assert_eq!(
        (&forced["title"], &forced["titleLocked"], &forced["titleSource"]),
        (&json!("second"), &json!(true), &json!("auto"))
    );
}

#[tokio::test]
async fn a_conversation_is_made_shorter() {
    let daemon = Daemon::open().await;
    let path = format!("/v1/sessions/{}", daemon.session("hello").await);
    let begun = daemon.post_nothing(&format!("{path}/compact")).await;
    assert!(begun.header("location").starts_with("/v1/turns/"));
    assert_eq!(begun.with(202)["kind"], "compact");
    let ended = daemon.post(&format!("{path}/compact?wait=30"), json!({})).await.ok();
    assert_eq!(
        (&ended["status"], &ended["kind"], &ended["prompt"]),
        (&json!("completed"), &json!("compact"), &json!(""))
    );
    let empty = daemon.post("/v1/sessions", json!({})).await.with(201)["session"]["id"].clone();
    let refused = daemon.post_nothing(&format!("/v1/sessions/{}/compact", empty.as_str().unwrap())).await;
    assert_eq!(refused.refused(), (409, "NOT_SUPPORTED"));
}

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let daemon = Daemon::open().await;
    for query in ["", "?thread=keep", "?thread=delete"] {
        let session = daemon.session("needle").await;
        let path = format!("/v1/sessions/{session}");
        let turn = daemon.get(&format!("{path}/turns")).await.ok()["turns"][0]["id"].clone();
        let gone = daemon.delete(&format!("{path}{query}")).await;
        assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""), "{query}");
        assert_eq!(daemon.get(&path).await.refused(), (404, "NO_SESSION"));
        assert_eq!(daemon.get(&format!("/v1/turns/{}", turn.as_str().unwrap())).await.refused(), (404, "NO_TURN"));
        assert_eq!(daemon.delete(&path).await.refused(), (404, "NO_SESSION"));
        assert_eq!(daemon.get("/v1/search?q=needle").await.ok()["results"], json!([]));
    }
    assert_eq!(daemon.delete("/v1/sessions/x?thread=both").await.refused(), (400, "BAD_REQUEST"));
}
