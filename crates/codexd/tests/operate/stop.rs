//! `codexd stop`: the daemon ends, and what goes on without it is told.

use std::process::Output;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::Lab;

use crate::{
    fake_codex_rig::{Rig, run, serve, serving},
    turns::{codex, ended, gone, lives, running},
};

async fn stop(lab: &Lab, flags: &[&str]) -> Result<(Output, String)> {
    let mut args = vec!["stop"];
    args.extend(flags);
    run(lab.command(&args)).await
}

async fn stop_json(lab: &Lab, flags: &[&str]) -> Result<Value> {
    let mut args = vec!["--json"];
    args.extend(flags);
    let (output, text) = stop(lab, &args).await?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    serde_json::from_slice(&output.stdout).context(text)
}

/// Agents that have a folder.
fn agents(lab: &Lab) -> usize {
    std::fs::read_dir(lab.store.join("agents")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_turn_that_runs_goes_on_for_the_next_codexd() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    let (session, _) = daemon.start("SAY:one").await?;
    let (before, codexd) = (codex(&daemon).await?, u64::from(daemon.pid));
    let turn = running(&daemon, &session, "SLOW:200:50").await?;
    let (output, text) = stop(&lab, &[]).await?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in
        [&format!("codexd (pid {codexd}) has stopped"), "1 turn goes on in the agent host", &before.to_string()]
    {
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
    assert!(!lab.store.join("daemon.json").exists() && lives(before));
    gone(codexd).await?;
    let daemon = serve(&lab, &[], &[]).await?;
    assert_eq!(codex(&daemon).await?, before);
    assert_eq!(ended(&daemon, &turn).await?["status"], "completed");
    // With nothing to do, nothing goes on.
    let told = stop_json(&lab, &[]).await?;
    assert_eq!(told, json!({"pid": daemon.pid, "turnsLeft": 0, "codexLeft": [], "hostsEnded": 0}));
    gone(before).await?;
    assert_eq!(agents(&lab), 0);
    Ok(())
}

#[tokio::test]
async fn with_agents_nothing_goes_on() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    let (session, _) = daemon.start("SAY:one").await?;
    let before = codex(&daemon).await?;
    let turn = running(&daemon, &session, "HANG").await?;
    let told = stop_json(&lab, &["--agents"]).await?;
    assert_eq!(told, json!({"pid": daemon.pid, "turnsLeft": 0, "codexLeft": [], "hostsEnded": 0}));
    gone(before).await?;
    assert_eq!(agents(&lab), 0);
    let daemon = serve(&lab, &[], &[]).await?;
    let turn = ended(&daemon, &turn).await?;
    assert_eq!((&turn["status"], &turn["error"]["code"]), (&json!("interrupted"), &json!("AGENT_EXITED")), "{turn}");
    assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    daemon.stop().await
}

#[tokio::test]
async fn what_a_dead_codexd_left_is_ended_when_that_is_wanted() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    let (session, _) = daemon.start("SAY:one").await?;
    let before = codex(&daemon).await?;
    let turn = running(&daemon, &session, "HANG").await?;
    daemon.kill().await?;
    let (output, text) = stop(&lab, &[]).await?;
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("goes on") && text.contains("codexd stop --agents"), "{text}");
    assert!(lives(before), "nobody asked for its end");
    let told = stop_json(&lab, &["--agents"]).await?;
    assert_eq!(told, json!({"pid": null, "turnsLeft": 0, "codexLeft": [], "hostsEnded": 1}));
    gone(before).await?;
    assert_eq!(agents(&lab), 0);
    let (output, text) = stop(&lab, &["--agents"]).await?;
    assert_eq!(output.status.code(), Some(3), "there is nothing any more: {text}");
    let daemon = serve(&lab, &[], &[]).await?;
    assert_eq!(ended(&daemon, &turn).await?["status"], "interrupted");
    assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    daemon.stop().await
}

#[tokio::test]
async fn without_a_daemon_there_is_nothing_to_stop() -> Result<()> {
    let lab = crate::fake_codex_rig::lab().await?;
    for flags in [&[][..], &["--agents"], &["--json"]] {
        let (output, text) = stop(&lab, flags).await?;
        assert_eq!(output.status.code(), Some(3), "{flags:?} {text}");
        assert!(text.contains("no codexd is running"), "{text}");
    }
    assert!(!lab.store.exists(), "looking makes no store");
    Ok(())
}

#[tokio::test]
async fn who_can_t_have_the_store_is_told_who_has_it_and_what_ends_that() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    let fake = testkit::fake_codex()?;
    let (output, text) = run(lab.command(&serving(&fake, &[])?)).await?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    let ends = format!("`codexd stop --store-dir '{}'` ends it", lab.store.display());
    assert!(text.contains(&format!("another codexd (pid {})", daemon.pid)) && text.contains(&ends), "{text}");
    daemon.stop().await
}
