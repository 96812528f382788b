//! Turns in v1: begun, listed, shown, sent again.

use serde_json::json;

use crate::daemon::Daemon;

#[tokio::test]
async fn a_turn_is_begun_and_can_be_waited_for() {
    let daemon = Daemon::open().await;
    let session = daemon.session("first").await;
    let path = format!("/v1/sessions/{session}/turns");
    let begun = daemon.post(&path, json!({"prompt": "second", "model": "m", "effort": "low"})).await;
    let location = begun.header("location").to_owned();
    let begun = begun.with(202);
    assert_eq!(location, format!("/v1/turns/{}", begun["turn"]["id"].as_str().unwrap()));
    let ended = daemon.get(&format!("{location}?wait=30")).await.ok();
    assert_eq!(
        (&ended["status"], &ended["answer"], &ended["delivery"]),
        (&json!("completed"), &json!("echo: second"), &json!("yes"))
    );
    assert_eq!(ended["items"][0]["kind"], "userMessage");
    assert_eq!(
        ended["items"][1],
        json!({
            "id": ended["items"][1]["id"], "at": ended["items"][1]["at"], "status": "completed", "kind": "agentMessage",
            "text": "echo: second",
        })
    );
    let waited = daemon.post(&format!("{path}?wait=30"), json!({"prompt": "third"})).await;
    assert!(waited.header("location").starts_with("/v1/turns/"));
    assert_eq!(waited.ok()["turn"]["answer"], "echo: third");
    for (prompt, status, code) in [("fail", "failed", "MODEL_ERROR"), ("stop", "interrupted", "")] {
        let ended = daemon.post(&format!("{path}?wait=30"), json!({"prompt": prompt})).await.ok()["turn"].clone();
        assert_eq!(ended["status"], status);
        assert_eq!(ended["error"]["code"].as_str().unwrap_or_default(), code);
    }
}

#[tokio::test]
async fn a_busy_session_queues_or_refuses() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let path = format!("/v1/sessions/{}/turns", made["session"]["id"].as_str().unwrap());
    for position in 1..=16 {
        let waiting = daemon.post(&path, json!({"prompt": "x", "onBusy": "queue"})).await.with(202)["turn"].clone();
        assert_eq!((&waiting["status"], &waiting["position"]), (&json!("queued"), &json!(position)));
    }
    let full = daemon.post(&path, json!({"prompt": "x"})).await;
    assert_eq!(full.refused(), (429, "QUEUE_FULL"));
    assert_eq!(full.json["retryable"], true);
    assert_eq!(full.json["sessionId"], made["session"]["id"]);
    let busy = daemon.post(&path, json!({"prompt": "x", "onBusy": "reject"})).await;
    assert_eq!(busy.refused(), (409, "TURN_ACTIVE"));
    for unknown in ["shout", "Queue", ""] {
        let refused = daemon.post(&path, json!({"prompt": "x", "onBusy": unknown})).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{unknown}");
        assert!(refused.said().contains("`onBusy` must be one of queue, reject"), "{}", refused.said());
    }
    daemon.echo.release();
    let last = daemon.get(&format!("{path}?order=desc&limit=1")).await.ok()["turns"][0]["id"].clone();
    let last = daemon.get(&format!("/v1/turns/{}?wait=30", last.as_str().unwrap())).await.ok();
    assert_eq!((&last["status"], last.get("position")), (&json!("completed"), None));
    daemon.post(&format!("{path}?wait=30"), json!({"prompt": "x", "onBusy": "reject"})).await.ok();
}

#[tokio::test]
async fn unknown_turns_are_none() {
    let daemon = Daemon::open().await;
    for id in ["nobody", "..%2fx", "%ff", "a%20b", &"x".repeat(500)] {
        assert_eq!(daemon.get(&format!("/v1/turns/{id}")).await.refused(), (404, "NO_TURN"), "{id}");
        assert_eq!(daemon.post_nothing(&format!("/v1/turns/{id}/retry")).await.refused(), (404, "NO_TURN"), "{id}");
    }
}

#[tokio::test]
async fn a_prompt_that_was_heard_is_sent_again_only_by_force() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions?wait=30", json!({"prompt": "hello"})).await.with(201);
    let path = format!("/v1/turns/{}/retry", made["turn"]["id"].as_str().unwrap());
    for body in [json!({}), json!({"force": false}), json!({"force": null})] {
        let refused = daemon.post(&path, body).await;
        assert_eq!(refused.refused(), (409, "TURN_ENDED"));
        assert_eq!(
            (&refused.json["turnId"], &refused.json["sessionId"]),
            (&made["turn"]["id"], &made["session"]["id"])
        );
    }
    assert_eq!(daemon.post_nothing(&path).await.refused(), (409, "TURN_ENDED"));
    let again = daemon.post(&path, json!({"force": true})).await;
    let location = again.header("location").to_owned();
    let again = again.with(202);
    assert_eq!((&again["retryOf"], &again["prompt"]), (&made["turn"]["id"], &json!("hello")));
    assert_eq!(location, format!("/v1/turns/{}", again["id"].as_str().unwrap()));
    let waited = daemon.post(&format!("{path}?wait=30"), json!({"force": true})).await.ok();
    assert_eq!(waited["answer"], "echo: hello");
}

#[tokio::test]
async fn a_turn_that_runs_is_not_sent_again() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let path = format!("/v1/turns/{}/retry", made["turn"]["id"].as_str().unwrap());
    assert_eq!(daemon.post(&path, json!({"force": true})).await.refused(), (409, "TURN_ACTIVE"));
    daemon.echo.release();
}
