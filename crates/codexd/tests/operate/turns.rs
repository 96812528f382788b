//! Turns of a session, as the tests of this program need them.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, eventually};

/// The path of a new turn.
pub(crate) async fn begin(daemon: &Daemon, session: &str, prompt: &str) -> Result<String> {
    let made = daemon.post(&format!("/v1/sessions/{session}/turns"), json!({"prompt": prompt})).await?;
    assert_eq!(made.status, 202, "{made:?}");
    Ok(format!("/v1/turns/{}", made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?))
}

/// The same, when Codex is at work on it.
pub(crate) async fn running(daemon: &Daemon, session: &str, prompt: &str) -> Result<String> {
    let turn = begin(daemon, session, prompt).await?;
    eventually("the turn to be with Codex", async || {
        let now = daemon.get(&turn).await.ok()?.body;
        (now["delivery"] == "yes").then_some(())
    })
    .await
    .with_context(|| daemon.log())?;
    Ok(turn)
}

/// A turn that has ended.
pub(crate) async fn ended(daemon: &Daemon, turn: &str) -> Result<Value> {
    let turn = daemon.get(&format!("{turn}?wait=60")).await?.body;
    anyhow::ensure!(!turn["endedAt"].is_null(), "it has not ended: {turn}\n{}", daemon.log());
    Ok(turn)
}

/// Codex's process.
pub(crate) async fn codex(daemon: &Daemon) -> Result<u64> {
    daemon.agent().await?["pid"].as_u64().context("no Codex runs")
}

/// Waits until a process is gone.
pub(crate) async fn gone(pid: u64) -> Result<()> {
    eventually("a process to be gone", async || (!lives(pid)).then_some(())).await
}

/// Whether a process runs.
pub(crate) fn lives(pid: u64) -> bool {
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    state.is_ok_and(|state| {
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        !state.is_empty() && !state.starts_with('Z')
    })
}
