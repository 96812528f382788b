//! One key, one turn: at once, after a crash, and for each request apart.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab};

use crate::{
    fake_codex_rig::{Rig, heard, lab, of_method, serve, tcp},
    wire::{Answer, Call, Door},
};

fn keyed(path: &str, body: &Value, key: &str) -> Call {
    Call::json(path, body).header("Idempotency-Key", key)
}

async fn twenty(door: &Door, call: &Call) -> Result<Vec<Answer>> {
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (door, call) = (door.clone(), call.clone());
            tokio::spawn(async move { call.send(&door).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await??);
    }
    Ok(answers)
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == ["true"]
}

/// The id that all answers agree on.
#[track_caller]
fn one_id(answers: &[Answer], pointer: &str) -> String {
    let ids: Vec<String> = answers
        .iter()
        .map(|answer| {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            assert!(answer.status < 300, "{} {body}", answer.status);
            body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        })
        .collect();
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    ids[0].clone()
}

fn prompts(lab: &Lab) -> Result<usize> {
    Ok(of_method(&heard(lab)?, "turn/start").len())
}

#[tokio::test]
async fn twenty_equal_posts_are_one_turn_also_after_a_crash() -> Result<()> {
    let lab = lab().await?;
    let daemon = serve(&lab, &["--no-auth"], &[]).await?;
    let body = json!({"prompt": "SLOW:30"});
    let create = keyed("/v1/sessions", &body, "first");
    let answers = twenty(&tcp(&daemon), &create).await?;
    let session = one_id(&answers, "/session/id");
    let turn = one_id(&answers, "/turn/id");
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);

    // While that one still runs, a further turn for the same session, twenty times.
    let path = format!("/v1/sessions/{session}/turns");
    let further = keyed(&path, &json!({"prompt": "SAY:two"}), "first");
    let answers = twenty(&tcp(&daemon), &further).await?;
    let second = one_id(&answers, "/turn/id");
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    assert_ne!(turn, second);
    daemon.get(&format!("/v1/turns/{second}?wait=60")).await?;
    assert_eq!(prompts(&lab)?, 2);

    daemon.kill().await?;
    let daemon = serve(&lab, &["--no-auth"], &[]).await?;
    let answers = twenty(&tcp(&daemon), &create).await?;
    assert_eq!((one_id(&answers, "/session/id"), one_id(&answers, "/turn/id")), (session.clone(), turn));
    assert!(answers.iter().all(replayed));
    let answers = twenty(&tcp(&daemon), &further).await?;
    assert_eq!(one_id(&answers, "/turn/id"), second);
    let found: Value = serde_json::from_slice(&answers[0].body)?;
    assert_eq!(
        (&found["turn"]["status"], &found["turn"]["answer"]),
        (&json!("completed"), &json!("two")),
        "as it is now"
    );
    assert_eq!(prompts(&lab)?, 2, "nothing was asked again");

    // The same key and body for another session is another turn.
    let other = daemon.post("/v1/sessions", json!({})).await?;
    let other = other.body["session"]["id"].as_str().context("no id")?.to_owned();
    let call = keyed(&format!("/v1/sessions/{other}/turns"), &json!({"prompt": "SAY:two"}), "first");
    let answer = call.send(&tcp(&daemon)).await?;
    assert!(!replayed(&answer) && answer.status == 202, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_key_whose_request_died_with_the_daemon_is_either_free_or_done() -> Result<()> {
    let lab = lab().await?;
    let body = json!({"prompt": "SAY:x"});
    let mut turns = Vec::new();
    for round in 0..6 {
        let daemon: Daemon = serve(&lab, &["--no-auth"], &[]).await?;
        let call = keyed("/v1/sessions", &body, &format!("round-{round}"));
        let (door, early) = (tcp(&daemon), call.clone());
        let sent = tokio::spawn(async move { early.send(&door).await });
        // Killed somewhere between nothing and the answer.
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        daemon.kill().await?;
        let early = sent.await?.ok().map(|answer| one_id(&[answer], "/turn/id"));
        let daemon = serve(&lab, &["--no-auth"], &[]).await?;
        let answers = twenty(&tcp(&daemon), &call).await?;
        let turn = one_id(&answers, "/turn/id");
        assert!(early.is_none_or(|early| early == turn), "what was answered is what is there");
        daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?;
        turns.push(turn);
        let list = daemon.get("/v1/sessions?limit=200").await?.body;
        assert_eq!(list["sessions"].as_array().map(Vec::len), Some(turns.len()), "one session a key");
        daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_body_is_refused_and_a_refused_request_leaves_the_key() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let refused = keyed("/v1/sessions", &json!({"prompt": " "}), "k").send(&door).await?;
    assert_eq!(refused.status, 400);
    let first = keyed("/v1/sessions", &json!({"prompt": "SAY:x"}), "k").send(&door).await?;
    assert_eq!((first.status, replayed(&first)), (201, false), "{}", first.text());
    let other = keyed("/v1/sessions", &json!({"prompt": "SAY:y"}), "k").ask(&door).await?;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")), "{other:?}");
    // By the socket it is somebody else who asks.
    let local = keyed("/v1/sessions", &json!({"prompt": "SAY:y"}), "k").send(&rig.socket()).await?;
    assert_eq!((local.status, replayed(&local)), (201, false), "{}", local.text());
    for wrong in ["", &"x".repeat(256), "a\tb"] {
        let answer = keyed("/v1/sessions", &json!({"prompt": "SAY:x"}), wrong).send(&door).await?;
        assert_eq!(answer.status, 400, "{wrong:?} {}", answer.text());
    }
    let twice = keyed("/v1/sessions", &json!({"prompt": "SAY:x"}), "a").header("Idempotency-Key", "b");
    assert_eq!(twice.send(&door).await?.status, 400);
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn old_routes_take_keys_as_well() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let call = keyed("/start", &json!({"prompt": "SAY:once"}), "k");
    let answers = twenty(&rig.tcp(), &call).await?;
    one_id(&answers, "/sessionId");
    assert!(answers.iter().all(|answer| answer.text().contains("once")), "each is answered with the end of the turn");
    assert_eq!(prompts(&rig.lab)?, 1);
    Ok(())
}
