//! Whoever waits for a turn: many, or gone, or until the daemon stops.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::daemon::{Daemon, PATIENCE};

async fn hanging(daemon: &Daemon) -> (String, String) {
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let id = |what: &str| made[what]["id"].as_str().unwrap().to_owned();
    (id("session"), id("turn"))
}

#[tokio::test]
async fn a_thousand_wait_and_all_are_told() {
    let daemon = Daemon::open().await;
    let (_, turn) = hanging(&daemon).await;
    let path = format!("/v1/turns/{turn}?wait=600");
    let waiters = futures_util::future::join_all((0..1000).map(|_| daemon.get(&path)));
    tokio::pin!(waiters);
    // One round of all of them; none may be answered yet.
    assert!(timeout(Duration::from_millis(200), &mut waiters).await.is_err());
    daemon.echo.release();
    for answered in timeout(PATIENCE, waiters).await.unwrap() {
        assert_eq!(answered.ok()["answer"], "at last");
    }
}

#[tokio::test]
async fn who_waits_long_enough_is_told_how_it_is() {
    let daemon = Daemon::open().await;
    let (session, turn) = hanging(&daemon).await;
    assert_eq!(daemon.get(&format!("/v1/turns/{turn}?wait=0")).await.ok()["status"], "running");
    assert_eq!(daemon.get(&format!("/v1/turns/{turn}?wait=1")).await.ok()["status"], "running");
    let queued = daemon.post(&format!("/v1/sessions/{session}/turns?wait=1"), json!({"prompt": "x"})).await.with(202);
    assert_eq!(queued["turn"]["status"], "queued");
    let retried = daemon.post("/v1/sessions?wait=1", json!({"prompt": "hang"})).await.with(201);
    assert_eq!(retried["turn"]["status"], "running");
    daemon.echo.release();
    daemon.echo.release();
}

#[tokio::test]
async fn a_waiter_that_goes_away_leaves_the_turn_alone() {
    let daemon = Daemon::open().await;
    let (session, turn) = hanging(&daemon).await;
    for path in [format!("/v1/turns/{turn}?wait=600"), format!("/v1/sessions/{session}/turns?wait=600")] {
        for _ in 0..50 {
            let request = async {
                if path.contains("/sessions/") {
                    daemon.post_keyed(&path, "same", r#"{"prompt":"next"}"#).await
                } else {
                    daemon.get(&path).await
                }
            };
            assert!(timeout(Duration::from_millis(5), request).await.is_err());
        }
    }
    daemon.echo.release();
    assert_eq!(daemon.get(&format!("/v1/turns/{turn}?wait=30")).await.ok()["answer"], "at last");
    let next =
        daemon.post_keyed(&format!("/v1/sessions/{session}/turns?wait=30"), "same", r#"{"prompt":"next"}"#).await;
    assert_eq!(next.ok()["turn"]["answer"], "echo: next");
    let turns = daemon.get(&format!("/v1/sessions/{session}/turns")).await.ok()["turns"].as_array().unwrap().len();
    assert_eq!(turns, 2);
}

#[tokio::test]
async fn a_waiter_is_told_when_the_session_is_deleted() {
    let daemon = Daemon::open().await;
    let (session, turn) = hanging(&daemon).await;
    let path = format!("/v1/turns/{turn}?wait=600");
    let waiting = daemon.get(&path);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    let session = format!("/v1/sessions/{session}");
    let (gone, waited) = tokio::join!(daemon.delete(&session), timeout(PATIENCE, waiting));
    gone.with(204);
    let waited = waited.unwrap();
    assert!(waited.status == 200 || waited.refused() == (404, "NO_TURN"), "{}", waited.text);
}
