//! Codex does nothing any more, from a step of a turn on: it says nothing, reads nothing, and does not end when it is told to.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use tokio::time::Instant;

use crate::struck::{SOON, STRIKE, Struck, assert_ended, error};

const LIMITS: [&str; 4] = ["--turn-timeout", "2s", "--interrupt-grace", "1s"];

/// The turn's limit, the grace, and the time to end a process, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(15);

async fn hangs_at(step: &str, prompt: &str) -> Result<()> {
    let struck = Struck::by(&format!("hang-at-turn:{step}"), &LIMITS).await?;
    let before = struck.rig.daemon.agent().await?["pid"].clone();
    let turn = struck.begin(&struck.session, &format!("{prompt}\n{STRIKE}")).await?;
    if step == "approval" {
        // Whoever is asked may take their time; so it ends when somebody wants that.
        crate::lines::asked(&struck, &turn).await?;
        struck.rig.daemon.post(&format!("/v1/turns/{turn}/interrupt"), json!({})).await?;
    }
    let turn = struck.ended(&turn, DEADLINE).await?;
    match step {
        "completed" => assert_eq!(turn["status"], "completed", "{turn}"),
        "approval" => assert_eq!(turn["status"], "interrupted", "{turn}"),
        _ => assert_ended(&turn, "interrupted", "TURN_TIMEOUT", &["longer than it may", "was started anew"]),
    }
    if step == "completed" {
        // It seemed well; the next turn is the first one that notices.
        let next = struck.turn(&struck.other, "SAY:x", DEADLINE).await?;
        assert_ended(&next, "interrupted", "TURN_TIMEOUT", &["longer than it may", "was started anew"]);
    }
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    assert_ne!(struck.rig.daemon.agent().await?["pid"], before);
    struck.stop().await
}

#[tokio::test]
async fn it_hangs_before_or_while_it_takes_the_prompt() -> Result<()> {
    for (step, prompt) in [("request", "SAY:x"), ("reply", "SAY:x"), ("started", "SAY:x"), ("user", "SAY:x")] {
        hangs_at(step, prompt).await.with_context(|| step.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn it_hangs_while_it_works_or_asks() -> Result<()> {
    for (step, prompt) in [("delta", "SLOW:5:1"), ("command", "RUN:true"), ("approval", "ESCALATE:true")] {
        hangs_at(step, prompt).await.with_context(|| step.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn it_hangs_after_the_answer_or_the_turn() -> Result<()> {
    for step in ["answer", "completed"] {
        hangs_at(step, "SAY:x").await.with_context(|| step.to_owned())?;
    }
    Ok(())
}

/// As long as somebody has a turn in it, it is not started anew for one that it does not stop. That may not be for ever.
#[tokio::test]
async fn two_sessions_whose_turns_overlap_get_out_of_it() -> Result<()> {
    let struck = Struck::by("hang-at-turn:user", &LIMITS).await?;
    let before = struck.rig.daemon.agent().await?["pid"].clone();
    let first = struck.begin(&struck.session, &format!("SAY:x\n{STRIKE}")).await?;
    let (mut running, until) = (first, Instant::now() + Duration::from_secs(60));
    for session in [&struck.other, &struck.session].into_iter().cycle() {
        // The other one begins before this one ends.
        let next = struck.begin(session, "SAY:x").await?;
        let turn = struck.ended(&running, DEADLINE).await?;
        if turn["status"] == "completed" {
            struck.ended(&next, SOON).await?;
            break;
        }
        let told = error(&turn);
        let ends = ["TURN_TIMEOUT", "AGENT_EXITED"];
        assert!(turn["status"] == "interrupted" && ends.contains(&told.0), "{turn}");
        assert!(Instant::now() < until, "nobody ended the Codex that hangs: {turn}");
        running = next;
    }
    assert_ne!(struck.rig.daemon.agent().await?["pid"], before);
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    struck.stop().await
}
