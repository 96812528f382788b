//! Tokens: made, used, ended; and taking over the store of the first version.

use axum::{body::Body, http::Request};
use http_api::{Options, Peer};
use serde_json::{Value, json};

use crate::daemon::{Answered, Daemon, PATIENCE};

async fn local(daemon: &Daemon, method: &str, path: &str) -> Answered {
    daemon
        .send(Request::builder().method(method).uri(path).extension(Peer::SameUser).body(Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn a_token_is_told_once_and_counts_until_it_is_ended() {
    let daemon = Daemon::start(Options::default()).await;
    let body = json!({
        "name": "ci.1", "scopes": ["run", "read"], "roots": [daemon.work], "maxSandbox": "read-only",
        "expiresAt": "2999-01-01T00:00:00Z",
    });
    let made = daemon.post_local("/v1/tokens", body.clone()).await;
    assert_eq!(made.header("location"), "/v1/tokens/ci.1");
    let made = made.with(201);
    let (grant, token) = (&made["grant"], made["token"].as_str().unwrap());
    assert_eq!((&grant["scopes"], &grant["expiresAt"]), (&json!(["read", "run"]), &json!("2999-01-01T00:00:00.000Z")));
    assert!(token.starts_with("cdx_") && token.len() == 47);
    let listed = local(&daemon, "GET", "/v1/tokens").await;
    assert!(!listed.text.contains(token));
    assert_eq!(listed.ok(), json!({"tokens": [grant]}));

    let policy = daemon.as_holder(token, "GET", "/v1/policy", None).await.ok();
    assert_eq!((&policy["principal"], &policy["widestSandbox"]), (&json!("token:ci.1"), &json!("read-only")));
    let turn = daemon.as_holder(token, "POST", "/v1/sessions?wait=30", Some(json!({"prompt": "x"}))).await.with(201);
    assert_eq!((&turn["turn"]["principal"], &turn["session"]["sandbox"]), (&json!("token:ci.1"), &json!("read-only")));
    // The use is written down in the background, and nobody waits for that.
    let written = tokio::time::timeout(PATIENCE, async {
        while daemon.store.grants().await.unwrap()[0].grant.last_used_at.is_none() {
            tokio::task::yield_now().await;
        }
    });
    written.await.unwrap();
    assert!(local(&daemon, "GET", "/v1/tokens").await.ok()["tokens"][0]["lastUsedAt"].is_string());

    assert_eq!(daemon.post_local("/v1/tokens", body).await.refused(), (400, "BAD_REQUEST"));
    let gone = local(&daemon, "DELETE", "/v1/tokens/ci.1").await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    assert_eq!(daemon.as_holder(token, "GET", "/v1/policy", None).await.refused(), (401, "UNAUTHORIZED"));
    assert_eq!(local(&daemon, "DELETE", "/v1/tokens/ci.1").await.refused(), (404, "NOT_FOUND"));
    assert_eq!(local(&daemon, "DELETE", "/v1/tokens/%ff").await.refused(), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn tokens_that_make_no_sense_are_refused() {
    let daemon = Daemon::start(Options::default()).await;
    for (body, said) in [
        (json!({}), "`name` is missing"),
        (json!({"name": "a"}), "`scopes` is missing"),
        (json!({"name": "a", "scopes": []}), "without a scope"),
        (json!({"name": "a", "scopes": "read"}), "`scopes` must be an array, not a string"),
        (
            json!({"name": "a", "scopes": ["write"]}),
            "`scopes[0]` must be one of read, run, approve, approve-own, admin",
        ),
        (json!({"name": "a b", "scopes": ["read"]}), "a token's name has"),
        (json!({"name": "start", "scopes": ["read"]}), "start"),
        (json!({"name": "a", "scopes": ["read"], "roots": ["x"]}), "not absolute"),
        (json!({"name": "a", "scopes": ["read"], "expiresAt": "2001-01-01T00:00:00Z"}), "ended already"),
        (json!({"name": "a", "scopes": ["read"], "expiresAt": "soon"}), "`expiresAt` can't be read"),
        (json!({"name": "a", "scopes": ["read"], "expires": "30d"}), "did you mean `expiresAt`?"),
    ] {
        let refused = daemon.post_local("/v1/tokens", body.clone()).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{body}");
        assert!(refused.said().contains(said), "{body}: {}", refused.said());
    }
    assert_eq!(local(&daemon, "GET", "/v1/tokens").await.ok(), json!({"tokens": []}));
}

#[tokio::test]
async fn the_store_of_the_first_version_is_taken_over() {
    let daemon = Daemon::start(Options::default()).await;
    let old = daemon.dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    let write = |name: &str, value: &Value| std::fs::write(old.join(name), value.to_string()).unwrap();
    let meta =
        json!({"title": "old one", "titleLocked": false, "titleSource": "auto", "cwd": "/gone", "threadId": null});
    let history = json!([
        {"role": "user", "text": "from before", "tsMs": 1_700_000_000_000_i64},
        {"role": "assistant", "text": "yes", "tsMs": 1_700_000_001_000_i64},
    ]);
    let session = json!({
        "sessionId": "0123456789ab", "createdAtMs": 1_700_000_000_000_i64, "updatedAtMs": 1_700_000_001_000_i64,
        "meta": meta, "history": history,
    });
    write("0123456789ab.json", &session);
    write("sessions.json", &json!({"sessions": {}}));
    std::fs::write(old.join("ba9876543210.json"), "broken").unwrap();
    let report = daemon.post_local("/v1/import", json!({"dir": old})).await.ok();
    assert_eq!((&report["imported"], report["damaged"].as_array().unwrap().len()), (&json!(1), 1), "{report}");
    let again = daemon.post_local("/v1/import", json!({"dir": old})).await.ok();
    assert_eq!((&again["imported"], &again["unchanged"]), (&json!(0), &json!(1)));
    let turns = local(&daemon, "GET", "/v1/sessions/0123456789ab/turns").await.ok();
    assert_eq!((&turns["turns"][0]["prompt"], &turns["turns"][0]["answer"]), (&json!("from before"), &json!("yes")));
    for (dir, said) in [
        (json!("old"), "`dir` must be an absolute path"),
        (json!(old.join("gone")), "not a folder"),
        (json!(daemon.work), "not a store of the first version"),
    ] {
        let refused = daemon.post_local("/v1/import", json!({"dir": dir})).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{dir}");
        assert!(refused.said().contains(said), "{}", refused.said());
    }
}
