//! Turns that are interrupted: while they wait, run, ask, and just after they were begun.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    approvals::asked,
    fake_codex_rig::{Rig, of_method},
};

async fn begin(rig: &Rig, prompt: &str) -> Result<(String, String)> {
    let made = rig.daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?.body;
    let id = |of: &str| Ok::<_, anyhow::Error>(made[of]["id"].as_str().with_context(|| format!("{made}"))?.to_owned());
    Ok((id("session")?, id("turn")?))
}

async fn interrupt(rig: &Rig, turn: &str, query: &str) -> Result<testkit::Reply> {
    rig.daemon.post(&format!("/v1/turns/{turn}/interrupt{query}"), json!({})).await
}

async fn say(rig: &Rig, session: &str, text: &str) -> Result<Value> {
    let path = format!("/v1/sessions/{session}/turns?wait=60");
    Ok(rig.daemon.post(&path, json!({"prompt": format!("SAY:{text}")})).await?.body["turn"]["answer"].clone())
}

#[tokio::test]
async fn turns_that_run_or_wait_are_interrupted_and_the_session_goes_on() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, running) = begin(&rig, "SLOW:2000").await?;
    eventually("Codex to work", async || (!of_method(&rig.heard().ok()?, "turn/start").is_empty()).then_some(()))
        .await?;
    let path = format!("/v1/sessions/{session}/turns");
    let waiting = rig.daemon.post(&path, json!({"prompt": "SAY:never"})).await?.body["turn"]["id"].clone();
    let waiting = waiting.as_str().context("no id")?;
    let gone = interrupt(&rig, waiting, "").await?;
    assert_eq!((gone.status, &gone.body["status"]), (202, &json!("interrupted")), "{gone:?}");
    let ended = interrupt(&rig, &running, "?wait=60").await?;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("interrupted")), "{ended:?}");
    assert_eq!(ended.body.get("error"), None, "somebody wanted it: {ended:?}");
    for turn in [waiting, &running] {
        let again = interrupt(&rig, turn, "").await?;
        assert_eq!((again.status, &again.body["code"]), (409, &json!("TURN_ENDED")), "{again:?}");
    }
    assert_eq!(say(&rig, &session, "on").await?, "on");
    assert!(!of_method(&rig.heard()?, "turn/start").iter().any(|turn| turn.to_string().contains("never")));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_turn_that_asks_is_interrupted_with_its_question() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, turn) = begin(&rig, "ESCALATE:touch x").await?;
    let approval = asked(&rig.daemon, &turn).await?;
    let ended = interrupt(&rig, &turn, "?wait=60").await?;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("interrupted")), "{ended:?}");
    assert_eq!(ended.body["declined"], json!([approval["id"]]));
    let path = format!("/v1/approvals/{}", approval["id"].as_str().context("no id")?);
    let closed = rig.daemon.get(&path).await?.body;
    assert_eq!((&closed["status"], &closed["resolvedBy"]), (&json!("cancelled"), &json!("policy")), "{closed}");
    let late = rig.daemon.post(&path, json!({"decision": "accept"})).await?;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("APPROVAL_RESOLVED")), "{late:?}");
    assert_eq!(say(&rig, &session, "on").await?, "on");
    Ok(())
}

/// However early it comes: the turn ends at once, and no prompt later finds Codex still busy with it.
#[tokio::test]
async fn an_interrupt_at_any_time_after_the_prompt_holds() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    for after in [0, 1, 5, 20, 100] {
        for round in 0..10 {
            // Some would end by themselves about when they are interrupted.
            let prompt = if round % 2 == 0 { "SLOW:2000".to_owned() } else { format!("SLOW:3:{}", after / 3 + 1) };
            let (session, turn) = begin(&rig, &prompt).await?;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let reply = interrupt(&rig, &turn, "?wait=60").await?;
            let ended = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
            let status = ended["status"].as_str().unwrap_or_default();
            assert!(reply.status == 200 || reply.body["code"] == "TURN_ENDED", "{after} ms: {reply:?}");
            assert!(status == "interrupted" || (status == "completed" && round % 2 == 1), "{after} ms: {ended}");
            assert_eq!(say(&rig, &session, "on").await?, "on", "{after} ms");
        }
    }
    rig.assert_calm();
    Ok(())
}
