//! Codex ends in the middle of a turn, at each of its steps.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    fake_codex_rig::of_method,
    struck::{SOON, STRIKE, Struck, assert_ended},
};

/// The steps, and a prompt that gets there.
const STEPS: [(&str, &str); 10] = [
    ("request", "SAY:x"),
    ("reply", "SAY:x"),
    ("started", "SAY:x"),
    ("heard", "SAY:x"),
    ("user", "SAY:x"),
    ("delta", "SLOW:5:1"),
    ("command", "RUN:true"),
    ("approval", "ESCALATE:true"),
    ("answer", "SAY:x"),
    ("completed", "SAY:x"),
];

/// Codex ends at a step, while another session has a turn in it.
async fn ends_at(step: &str, prompt: &str, torn: bool) -> Result<()> {
    let fault = format!("exit-at-turn:{step}{}", if torn { ",torn" } else { "" });
    let struck = Struck::by(&fault, &[]).await?;
    let beside = struck.running(&struck.other, "HANG").await?;
    let prompt = format!("{prompt}\n{STRIKE}");
    let turn = struck.turn(&struck.session, &prompt, SOON).await?;
    // Codex had it on record also when it could not say so.
    if step == "completed" {
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!("x")), "{fault}: {turn}");
    } else {
        assert_ended(&turn, "interrupted", "AGENT_EXITED", &["Codex ended"]);
    }
    let beside = struck.ended(&beside, SOON).await?;
    assert_ended(&beside, "interrupted", "AGENT_EXITED", &["Codex ended", "exit code 1"]);
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;

    // A question ends with its turn.
    let pending = struck.rig.daemon.get("/v1/approvals?status=pending").await?.body;
    assert_eq!(pending["approvals"], json!([]), "{fault}");
    let told = struck.recalled(&struck.session, prompt.lines().next().context("no line")?).await?;
    match turn["delivery"].as_str() {
        Some("yes") => assert_eq!(told, 1, "{fault}: {turn}"),
        Some("no") => assert_eq!(told, 0, "{fault}: {turn}"),
        _ => assert!(told <= 1, "{fault}: {turn}"),
    }
    let heard = struck.rig.heard()?;
    let given = of_method(&heard, "turn/start").iter().filter(|turn| turn.to_string().contains(STRIKE)).count();
    assert_eq!(given, 1, "{fault}: what may have been heard is not given again");
    struck.stop().await
}

#[tokio::test]
async fn it_ends_before_or_while_it_takes_the_prompt() -> Result<()> {
    for (step, prompt) in &STEPS[..5] {
        ends_at(step, prompt, false).await.with_context(|| (*step).to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn it_ends_while_it_works_or_asks() -> Result<()> {
    for (step, prompt) in &STEPS[5..8] {
        ends_at(step, prompt, false).await.with_context(|| (*step).to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn it_ends_after_the_answer_or_the_turn() -> Result<()> {
    for (step, prompt) in &STEPS[8..] {
        ends_at(step, prompt, false).await.with_context(|| (*step).to_owned())?;
    }
    Ok(())
}

/// The half line is not taken for what it would have been.
#[tokio::test]
async fn it_ends_in_the_middle_of_a_line() -> Result<()> {
    for (step, prompt) in &STEPS {
        ends_at(step, prompt, true).await.with_context(|| format!("{step}, torn"))?;
    }
    Ok(())
}
