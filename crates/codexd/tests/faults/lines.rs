//! Lines that are no messages, that come in pieces, twice, in another order, or about what nobody knows: all is understood that can be.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::struck::{SOON, STRIKE, Struck};

/// What a turn asks.
pub(crate) async fn asked(struck: &Struck, turn: &str) -> Result<Value> {
    eventually("the turn to ask", async || {
        let pending = struck.rig.daemon.get("/v1/approvals?status=pending").await.ok()?.body;
        pending["approvals"].as_array()?.iter().find(|approval| approval["turnId"] == turn).cloned()
    })
    .await
    .with_context(|| struck.rig.daemon.log())
}

/// Everything that a session does, with a fault that should change nothing of it.
async fn changes_nothing(fault: &str) -> Result<()> {
    let struck = Struck::by(fault, &[]).await.with_context(|| fault.to_owned())?;
    let (daemon, session) = (&struck.rig.daemon, &struck.session);
    let before = daemon.agent().await?["pid"].clone();
    let beside = struck.running(&struck.other, "SLOW:100:20").await?;

    for (prompt, answer) in [
        ("SAY:said", "said"),
        ("REASON:why\nSAY:reasoned", "reasoned"),
        ("RUN:true", "ran: fake output of true"),
        ("PATCH:a.txt:new", "patched"),
        ("SLOW:3:1", "1 2 3"),
    ] {
        let turn = struck.turn(session, &format!("{prompt}\n{STRIKE}"), SOON).await?;
        let told = (turn["status"].as_str(), turn["answer"].as_str(), turn["delivery"].as_str());
        assert_eq!(told, (Some("completed"), Some(answer), Some("yes")), "{fault}: {turn}");
        assert_eq!(turn.get("error"), None, "{fault}: {turn}");
    }
    let asks = struck.begin(session, &format!("ESCALATE:touch x\n{STRIKE}")).await?;
    let approval = asked(&struck, &asks).await?;
    let path = format!("/v1/approvals/{}", approval["id"].as_str().context("no id")?);
    assert_eq!(daemon.post(&path, json!({"decision": "accept"})).await?.status, 200);
    let turn = struck.ended(&asks, SOON).await?;
    assert_eq!(turn["answer"], "ran: fake output of touch x", "{fault}: {turn}");
    let failing = struck.turn(session, &format!("FAIL:500\n{STRIKE}"), SOON).await?;
    assert_eq!((&failing["status"], &failing["error"]["code"]), (&json!("failed"), &json!("MODEL_ERROR")), "{fault}");
    let stopped = struck.running(session, &format!("HANG\n{STRIKE}")).await?;
    let stopped = daemon.post(&format!("/v1/turns/{stopped}/interrupt?wait=30"), json!({})).await?;
    assert_eq!((stopped.status, &stopped.body["status"]), (200, &json!("interrupted")), "{fault}: {stopped:?}");

    let beside = struck.ended(&beside, SOON).await?;
    assert_eq!(beside["answer"].as_str().map(|text| text.split(' ').count()), Some(100), "{fault}: {beside}");
    struck.goes_on(session).await.with_context(|| fault.to_owned())?;
    struck.goes_on(&struck.other).await.with_context(|| fault.to_owned())?;
    for turn in daemon.get(&format!("/v1/sessions/{session}/turns?limit=100")).await?.body["turns"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let whole = daemon.get(&format!("/v1/turns/{}", turn["id"].as_str().unwrap_or_default())).await?.body;
        assert!(!whole.to_string().contains("NOT OF THIS"), "{fault}: {whole}");
    }
    assert_eq!(daemon.agent().await?["pid"], before, "{fault}: the same Codex all the time");
    struck.stop().await
}

#[tokio::test]
async fn garbage_between_the_lines() -> Result<()> {
    changes_nothing("garbage").await
}

#[tokio::test]
async fn lines_in_two_halves() -> Result<()> {
    changes_nothing("half-lines").await
}

#[tokio::test]
async fn replies_twice_and_to_what_nobody_asked() -> Result<()> {
    changes_nothing("odd-ids").await
}

#[tokio::test]
async fn replies_after_what_they_are_about() -> Result<()> {
    changes_nothing("late-replies").await
}

#[tokio::test]
async fn notifications_that_nobody_knows() -> Result<()> {
    changes_nothing("unknown-notes").await
}

#[tokio::test]
async fn all_of_them_together() -> Result<()> {
    changes_nothing("garbage,half-lines,odd-ids,late-replies,unknown-notes").await
}

/// It is refused, so that the turn goes on, and the turn says so.
#[tokio::test]
async fn a_question_that_nobody_knows() -> Result<()> {
    let struck = Struck::by("ask-unknown", &[]).await?;
    let turn = struck.turn(&struck.session, STRIKE, SOON).await?;
    assert_eq!(turn["status"], "completed", "{turn}");
    let answer = turn["answer"].as_str().context("no answer")?;
    assert!(answer.starts_with("unknown: {") && answer.contains("-32601"), "{answer}");
    let items = turn["items"].to_string();
    assert!(items.contains("Codex asked `item/future/ask`, which codexd does not know; it was refused"), "{turn}");
    let replies = struck.rig.heard()?;
    let to_nobody: Vec<&Value> = replies.iter().filter(|line| line["id"] == "for nobody").collect();
    assert!(to_nobody.len() == 1 && to_nobody[0]["error"]["code"] == -32601, "{to_nobody:?}");
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    struck.stop().await
}
