//! The routes of the first version, as its scripts use them.

use std::time::Duration;

use http_api::Options;
use serde_json::{Value, json};
use types::{TurnId, TurnStatus, agent::AgentStatus};

use crate::daemon::Daemon;

async fn started(daemon: &Daemon, prompt: &str) -> Value {
    daemon.post("/start", json!({ "prompt": prompt })).await.ok()
}

#[tokio::test]
async fn start_continue_and_reply() {
    let daemon = Daemon::open().await;
    let first = started(&daemon, "one").await;
    let (session, thread) = (&first["sessionId"], &first["threadId"]);
    assert!(thread.as_str().unwrap().starts_with("thread-"));
    let expected = json!({
        "sessionId": session,
        "threadId": thread,
        "content": [{ "type": "text", "text": "echo: one" }],
        "structuredContent": { "threadId": thread, "content": "echo: one" },
    });
    assert_eq!(first, expected);
    // Either field takes either id.
    for (path, field, id) in [
        ("/continue", "sessionId", session),
        ("/continue", "sessionId", thread),
        ("/reply", "threadId", thread),
        ("/reply", "threadId", session),
    ] {
        let answered = daemon.post(path, json!({ field: id, "prompt": "two" })).await.ok();
        assert_eq!(answered["sessionId"], *session);
        assert_eq!(answered["structuredContent"]["content"], "echo: two");
        let unknown = daemon.post(path, json!({ field: "nobody", "prompt": "two" })).await;
        assert_eq!(unknown.refused(), (404, "NO_SESSION"));
    }
    let whole = daemon.get(&format!("/sessions/{}", session.as_str().unwrap())).await.ok();
    assert_eq!(whole["history"].as_array().unwrap().len(), 10);
    assert_eq!(whole["history"][0]["role"], "user");
    assert_eq!(whole["history"][1]["text"], "echo: one");
    assert!(whole["history"][1]["tsMs"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(whole["meta"]["titleSource"], "auto");
    assert_eq!(whole["meta"]["threadId"], *thread);
    assert_eq!(whole["meta"]["model"], Value::Null);
    assert!(whole["createdAtMs"].as_i64().unwrap() <= whole["updatedAtMs"].as_i64().unwrap());
    let by_thread = daemon.get(&format!("/sessions/{}", thread.as_str().unwrap())).await.ok();
    assert_eq!(by_thread, whole);
}

#[tokio::test]
async fn a_turn_that_ends_badly_is_an_answer() {
    let daemon = Daemon::open().await;
    let failed = started(&daemon, "fail").await;
    assert_eq!(failed["isError"], true);
    assert_eq!(failed["content"][0]["text"], "so far\n\nthe model said no");
    assert_eq!(failed["structuredContent"]["content"], "so far\n\nthe model said no");
    let stopped = started(&daemon, "stop").await;
    assert_eq!(stopped["isError"], true);
    assert!(!stopped["content"][0]["text"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn who_waits_too_long_is_told_both_ids_and_the_turn_goes_on() {
    let wait = Duration::from_millis(20);
    let daemon = Daemon::start(Options { open: true, legacy_wait: wait, ..Options::default() }).await;
    let late = daemon.post("/start", json!({ "prompt": "hang" })).await;
    assert_eq!(late.refused(), (504, "AGENT_TIMEOUT"));
    daemon.engine.session(late.json["sessionId"].as_str().unwrap()).await.unwrap();
    let turn = TurnId::parse(late.json["turnId"].as_str().unwrap()).unwrap();
    daemon.echo.release();
    let ended = daemon.finished(&turn).await.unwrap();
    assert_eq!((ended.status, ended.answer.as_deref()), (TurnStatus::Completed, Some("at last")));
}

#[tokio::test]
async fn overrides_that_are_not_allowed_are_named() {
    let daemon = Daemon::open().await;
    let wide = json!({
        "prompt": "hi", "cwd": "/", "sandbox": "danger-full-access", "approval_policy": "never", "model": "m",
    });
    let answered = daemon.post("/start", wide.clone()).await.ok();
    assert_eq!(answered["ignoredOverrides"], json!(["cwd", "sandbox", "approval_policy"]));
    // The user at the machine may work in any folder that there is.
    let outside = daemon.dir.path().canonicalize().unwrap();
    let answered = daemon.post_local("/start", json!({ "prompt": "hi", "cwd": outside })).await.ok();
    assert!(answered.get("ignoredOverrides").is_none());
    let gone = daemon.post_local("/start", json!({ "prompt": "hi", "cwd": outside.join("gone") })).await;
    assert_eq!(gone.refused(), (400, "BAD_CWD"));
    // That session's folder is outside of the roots of everybody else.
    let refused = daemon.post("/continue", json!({ "sessionId": answered["sessionId"], "prompt": "hi" })).await;
    assert_eq!(refused.refused(), (400, "CWD_FORBIDDEN"));
    assert_eq!(refused.json["sessionId"], answered["sessionId"]);
}

#[tokio::test]
async fn no_codex_is_503() {
    let daemon = Daemon::open().await;
    daemon.echo.set_status(AgentStatus::Unavailable, Some("not installed"));
    let refused = daemon.post("/start", json!({ "prompt": "hi" })).await;
    assert_eq!(refused.refused(), (503, "AGENT_UNAVAILABLE"));
    assert!(refused.json["error"].as_str().unwrap().contains("not installed"));
}

#[tokio::test]
async fn lists_are_newest_first_and_searches_are_filled_up() {
    let daemon = Daemon::open().await;
    assert_eq!(daemon.get("/sessions").await.ok(), json!({ "sessions": [] }));
    for prompt in ["alpha needle", "beta", "gamma", "delta", "epsilon"] {
        started(&daemon, prompt).await;
    }
    let titles = |list: Value| -> Vec<String> {
        list["sessions"].as_array().unwrap().iter().map(|s| s["title"].as_str().unwrap().to_owned()).collect()
    };
    let all = daemon.get("/sessions").await.ok();
    assert_eq!(all["sessions"][0].as_object().unwrap().len(), 6);
    let newest = ["epsilon", "delta", "gamma", "beta", "alpha needle"];
    assert_eq!(titles(all), newest);
    for (query, expected) in [
        ("q=needle", &["alpha needle", "epsilon", "delta"][..]),
        ("q=NEEDLE&limit=1", &["alpha needle"]),
        ("q=epsilon&limit=2", &["epsilon", "delta"]),
        ("q=needle&limit=0", &["alpha needle"]),
        ("q=needle&limit=nonsense", &["alpha needle", "epsilon", "delta"]),
        ("q=nowhere", &["epsilon", "delta", "gamma"]),
        ("q=", &["epsilon", "delta", "gamma"]),
        ("", &["epsilon", "delta", "gamma"]),
        ("q=%ff%00&&=&limit=2", &["epsilon", "delta"]),
        ("limit=1000", &newest),
    ] {
        if query != "limit=1000" {
            assert_eq!(titles(daemon.get(&format!("/sessions/search?{query}")).await.ok()), expected, "{query}");
            continue;
        }
        assert_eq!(titles(daemon.get("/sessions/search?limit=1000").await.ok()), newest);
    }
}

#[tokio::test]
async fn ids_are_data() {
    let daemon = Daemon::open().await;
    started(&daemon, "hi").await;
    for id in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "a%00b",
        "%ff",
        "%2f",
        "..%5c",
        "'%20or%201=1",
        &"x".repeat(5000),
    ] {
        let answered = daemon.get(&format!("/sessions/{id}")).await;
        assert_eq!(answered.refused(), (404, "NO_SESSION"), "{id}");
    }
    for body in [json!({ "sessionId": "../x", "title": "t" }), json!({ "sessionId": "\0", "title": "t" })] {
        assert_eq!(daemon.post("/sessions/rename", body).await.refused(), (404, "NO_SESSION"));
    }
}

#[tokio::test]
async fn names() {
    let daemon = Daemon::open().await;
    let session = started(&daemon, "first prompt").await["sessionId"].clone();
    let path = format!("/sessions/{}", session.as_str().unwrap());
    let renamed = daemon.post("/sessions/rename", json!({ "sessionId": session, "title": " my \n title " })).await;
    assert_eq!(renamed.ok(), json!({ "ok": true }));
    let meta = daemon.get(&path).await.ok()["meta"].clone();
    assert_eq!(
        (&meta["title"], &meta["titleLocked"], &meta["titleSource"]),
        (&json!("my title"), &json!(true), &json!("manual"))
    );
    let kept = daemon.post("/sessions/autoname", json!({ "sessionId": session })).await.ok();
    assert_eq!(kept, json!({ "ok": true, "title": "my title" }));
    let forced = daemon.post("/sessions/autoname", json!({ "sessionId": session, "force": true })).await.ok();
    assert_eq!(forced["title"], "first prompt");
    let blank = daemon.post("/sessions/rename", json!({ "sessionId": session, "title": " \t" })).await;
    assert_eq!(blank.refused(), (400, "BAD_REQUEST"));
    let meta = daemon.get(&path).await.ok()["meta"].clone();
    assert_eq!((&meta["titleLocked"], &meta["titleSource"]), (&json!(true), &json!("auto")));
}

#[tokio::test]
async fn the_agent_is_shown() {
    let daemon = Daemon::open().await;
    let agent = daemon.get("/v1/agent").await.ok();
    assert_eq!(
        (&agent["status"], &agent["backend"], &agent["pid"]),
        (&json!("ready"), &json!("app-server"), &json!(4321))
    );
}
