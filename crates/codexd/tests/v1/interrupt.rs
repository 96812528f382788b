//! Turns that are interrupted: while they wait, run, ask, and just after they were begun.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    approvals::asked,
    booted::{Booted, of_method},
};

async fn begin(booted: &Booted, prompt: &str) -> Result<(String, String)> {
    let made = booted.daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?.body;
    let id = |of: &str| Ok::<_, anyhow::Error>(made[of]["id"].as_str().with_context(|| format!("{made}"))?.to_owned());
    Ok((id("session")?, id("turn")?))
}

async fn interrupt(booted: &Booted, turn: &str, query: &str) -> Result<testkit::Reply> {
    booted.daemon.post(&format!("/v1/turns/{turn}/interrupt{query}"), json!({})).await
}

async fn say(booted: &Booted, session: &str, text: &str) -> Result<Value> {
    let path = format!("/v1/sessions/{session}/turns?wait=60");
    Ok(booted.daemon.post(&path, json!({"prompt": format!("SAY:{text}")})).await?.body["turn"]["answer"].clone())
}

#[tokio::test]
async fn turns_that_run_or_wait_are_interrupted_and_the_session_goes_on() -> Result<()> {
    let booted = Booted::new(&[]).await?;
    let (session, running) = begin(&booted, "SLOW:2000").await?;
    eventually("Codex to work", async || (!of_method(&booted.heard().ok()?, "turn/start").is_empty()).then_some(()))
        .await?;
    let path = format!("/v1/sessions/{session}/turns");
    let waiting = booted.daemon.post(&path, json!({"prompt": "SAY:never"})).await?.body["turn"]["id"].clone();
    let waiting = waiting.as_str().context("no id")?;
    let gone = interrupt(&booted, waiting, "").await?;
    assert_eq!((gone.status, &gone.body["status"]), (202, &json!("interrupted")), "{gone:?}");
    let ended = interrupt(&booted, &running, "?wait=60").await?;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("interrupted")), "{ended:?}");
    assert_eq!(ended.body.get("error"), None, "somebody wanted it: {ended:?}");
    for turn in [waiting, &running] {
        let again = interrupt(&booted, turn, "").await?;
        assert_eq!((again.status, &again.body["code"]), (409, &json!("TURN_ENDED")), "{again:?}");
    }
    assert_eq!(say(&booted, &session, "on").await?, "on");
    assert!(!of_method(&booted.heard()?, "turn/start").iter().any(|turn| turn.to_string().contains("never")));
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_turn_that_asks_is_interrupted_with_its_question() -> Result<()> {
    let booted = Booted::new(&[]).await?;
    let (session, turn) = begin(&booted, "ESCALATE:touch x").await?;
    let approval = asked(&booted.daemon, &turn).await?;
    let ended = interrupt(&booted, &turn, "?wait=60").await?;
    assert_eq!((ended.status, &ended.body["status"]), (200, &json!("interrupted")), "{ended:?}");
    assert_eq!(ended.body["declined"], json!([approval["id"]]));
    let path = format!("/v1/approvals/{}", approval["id"].as_str().context("no id")?);
    let closed = booted.daemon.get(&path).await?.body;
    assert_eq!((&closed["status"], &closed["resolvedBy"]), (&json!("cancelled"), &json!("policy")), "{closed}");
    let late = booted.daemon.post(&path, json!({"decision": "accept"})).await?;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("APPROVAL_RESOLVED")), "{late:?}");
    assert_eq!(say(&booted, &session, "on").await?, "on");
    Ok(())
}

/// However early it comes: the turn ends at once, and no prompt later finds Codex still busy with it.
#[tokio::test]
async fn an_interrupt_at_any_time_after_the_prompt_holds() -> Result<()> {
    let booted = Booted::new(&[]).await?;
    for after in [0, 1, 5, 20, 100] {
        for round in 0..10 {
            // Some would end by themselves about when they are interrupted.
            let prompt = if round % 2 == 0 { "SLOW:2000".to_owned() } else { format!("SLOW:3:{}", after / 3 + 1) };
            let (session, turn) = begin(&booted, &prompt).await?;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let reply = interrupt(&booted, &turn, "?wait=60").await?;
            let ended = booted.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
            let status = ended["status"].as_str().unwrap_or_default();
            assert!(reply.status == 200 || reply.body["code"] == "TURN_ENDED", "{after} ms: {reply:?}");
            assert!(status == "interrupted" || (status == "completed" && round % 2 == 1), "{after} ms: {ended}");
            assert_eq!(say(&booted, &session, "on").await?, "on", "{after} ms");
        }
    }
    booted.assert_calm();
    Ok(())
}
