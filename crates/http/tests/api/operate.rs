//! Codex is started anew, and the daemon is stopped, because somebody wants it.

use http_api::{Options, Stop};
use serde_json::{Value, json};

use crate::daemon::{Daemon, open, request};

const RESTART: &str = "/v1/agent/restart";

/// The new turn of a session.
async fn turn(daemon: &Daemon, session: &str, prompt: &str) -> String {
    let made = daemon.post_local(&format!("/v1/sessions/{session}/turns"), json!({"prompt": prompt})).await.with(202);
    format!("/v1/turns/{}", made["turn"]["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_drain_lets_turns_end_and_takes_new_ones_which_wait() {
    let daemon = Daemon::open().await;
    let session = daemon.session("hello").await;
    let other = daemon.session("hello").await;
    let running = turn(&daemon, &session, "hang").await;
    let agent = daemon.post_local(RESTART, json!({})).await.with(202);
    assert_eq!((&agent["status"], &agent["restart"]["by"]), (&json!("restarting"), &json!("local")));
    assert_eq!((&agent["restart"]["drain"], agent["restart"]["until"].is_string()), (&json!(true), true));
    assert_eq!(daemon.get("/v1/agent").await.ok(), agent, "who asks later sees the same");
    let not_ready = daemon.send(request("GET", "/readyz").body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((not_ready.refused(), not_ready.header("retry-after")), ((503, "AGENT_UNAVAILABLE"), "30"));
    let waiting = turn(&daemon, &other, "later").await;
    let created = daemon.post_local("/v1/sessions", json!({"prompt": "new"})).await.with(201);
    assert_eq!(created["turn"]["status"], "queued");

    // Asked again nothing changes, until somebody is in a hurry.
    assert_eq!(daemon.post_local(RESTART, json!({"drain": true})).await.with(202), agent);
    daemon.echo.release();
    assert_eq!(daemon.get(&format!("{running}?wait=60")).await.ok()["status"], "completed");
    assert_eq!(daemon.get(&waiting).await.ok()["status"], "queued", "it waits for the next one");
    let hurried = daemon.post_local(RESTART, json!({"drain": false})).await.with(202);
    assert_eq!((&hurried["restart"]["drain"], hurried["restart"].get("until")), (&json!(false), None));
    let told = ["it drain local asked for a restart", "it now local asked for a restart"];
    assert_eq!(*daemon.echo.restarts.lock().unwrap(), told);

    daemon.echo.forget_everything().await;
    assert_eq!(daemon.get(&format!("{waiting}?wait=60")).await.ok()["status"], "completed");
    let created = format!("/v1/turns/{}?wait=60", created["turn"]["id"].as_str().unwrap());
    assert_eq!(daemon.get(&created).await.ok()["answer"], "echo: new");
    let agent = daemon.get("/v1/agent").await.ok();
    assert_eq!((&agent["status"], agent.get("restart")), (&json!("ready"), None));
    assert_eq!(daemon.get("/readyz").await.status.as_u16(), 200);
}

#[tokio::test]
async fn both_need_an_administrator_and_take_no_other_words() {
    let daemon = Daemon::open().await;
    for path in [RESTART, "/v1/stop"] {
        assert_eq!(daemon.post_nothing(path).await.refused(), (403, "FORBIDDEN"), "{path}: anonymous is none");
        assert_eq!(daemon.post_local(path, json!({"force": true})).await.refused(), (400, "BAD_REQUEST"), "{path}");
    }
    assert!(daemon.echo.restarts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn it_is_told_to_stop_and_says_what_runs() {
    for (body, agents) in [(json!({}), false), (json!({"agents": true}), true)] {
        let daemon = Daemon::start(Options { ..open() }).await;
        let session = daemon.session("hello").await;
        turn(&daemon, &session, "hang").await;
        let told: Value = daemon.post_local("/v1/stop", body).await.with(202);
        assert_eq!(told, json!({"pid": std::process::id(), "running": 1, "agents": agents}));
        assert_eq!(daemon.api.asked_to_stop().await, Stop { agents });
    }
}
