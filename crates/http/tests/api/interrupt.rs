//! Turns that are interrupted.

use serde_json::{Value, json};

use crate::daemon::Daemon;

fn interrupt(turn: &Value) -> String {
    format!("/v1/turns/{}/interrupt", turn["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_turn_that_runs_ends_and_what_waits_behind_it_is_held() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let path = format!("/v1/sessions/{}/turns", made["session"]["id"].as_str().unwrap());
    let waiting = daemon.post(&path, json!({"prompt": "x"})).await.with(202)["turn"].clone();
    let other = daemon.post(&path, json!({"prompt": "y"})).await.with(202)["turn"].clone();

    // One that waits is over at once.
    let gone = daemon.post(&interrupt(&waiting), json!({})).await.with(202);
    assert_eq!((&gone["id"], &gone["status"]), (&waiting["id"], &json!("interrupted")));
    let ended = daemon.post_nothing(&format!("{}?wait=30", interrupt(&made["turn"]))).await.ok();
    assert_eq!((&ended["id"], &ended["status"]), (&made["turn"]["id"], &json!("interrupted")));
    let held = daemon.get(&format!("/v1/turns/{}", other["id"].as_str().unwrap())).await.ok();
    assert_eq!((&held["status"], &held["held"]), (&json!("queued"), &json!(true)));
    for turn in [&waiting, &made["turn"]] {
        let refused = daemon.post_nothing(&interrupt(turn)).await;
        assert_eq!(refused.refused(), (409, "TURN_ENDED"));
        assert_eq!((&refused.json["turnId"], &refused.json["sessionId"]), (&turn["id"], &turn["sessionId"]));
    }
    let next = daemon.post(&format!("{path}?wait=30"), json!({"prompt": "z"})).await.ok();
    assert_eq!(next["turn"]["answer"], "echo: z", "the session goes on");
}

#[tokio::test]
async fn a_turn_that_waits_for_an_answer_ends_with_its_question() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "ask"})).await.with(201);
    let approval = daemon.asked(made["turn"]["id"].as_str().unwrap()).await;
    let ended = daemon.post_nothing(&format!("{}?wait=30", interrupt(&made["turn"]))).await.ok();
    assert_eq!((&ended["status"], &ended["declined"]), (&json!("interrupted"), &json!([approval["id"]])));
    let closed = daemon.get(&format!("/v1/approvals/{}", approval["id"].as_str().unwrap())).await.ok();
    assert_eq!((&closed["status"], &closed["resolvedBy"]), (&json!("cancelled"), &json!("policy")));
    let session = daemon.get(&format!("/v1/sessions/{}", approval["sessionId"].as_str().unwrap())).await.ok();
    assert_eq!(session["status"], "idle");
}

#[tokio::test]
async fn mistakes_interrupt_nothing() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let path = interrupt(&made["turn"]);
    assert_eq!(daemon.post(&path, json!({"sure": true})).await.refused(), (400, "BAD_REQUEST"));
    for query in ["wait=601", "wait=x", "force=true"] {
        assert_eq!(daemon.post_nothing(&format!("{path}?{query}")).await.refused(), (400, "BAD_REQUEST"), "{query}");
    }
    for id in ["nobody", "..%2fx", "%ff"] {
        let refused = daemon.post_nothing(&format!("/v1/turns/{id}/interrupt")).await;
        assert_eq!(refused.refused(), (404, "NO_TURN"), "{id}");
    }
    assert_eq!(
        daemon.get(&format!("/v1/turns/{}", made["turn"]["id"].as_str().unwrap())).await.ok()["status"],
        "running"
    );
    daemon.echo.release();
}
