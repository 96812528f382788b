//! What tests need that kill the real Codex, its host or its daemon at a step of a turn.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Daemon, Lab, real_codex};

use crate::sse::Frame;

/// A daemon that runs the real Codex.
pub(crate) async fn serve(lab: &Lab) -> Result<Daemon> {
    lab.serve(&real_codex()?, &["--no-auth"]).await
}

/// Says yes to all that is asked.
pub(crate) async fn approve_all(daemon: &Daemon) -> Result<()> {
    let open = daemon.get("/v1/approvals?status=pending").await?.body;
    for approval in open["approvals"].as_array().into_iter().flatten() {
        let id = approval["id"].as_str().context("no id")?;
        daemon.post(&format!("/v1/approvals/{id}"), json!({"decision": "accept"})).await?;
    }
    Ok(())
}

/// Whether this frame is the step.
pub(crate) fn is_step(step: &str, frame: &Frame) -> bool {
    let kind = frame.data["item"]["kind"].as_str().unwrap_or_default();
    match step {
        "commandExecution" => frame.name == "item.started" && kind == step,
        "agentMessage" => frame.name == "item.completed" && kind == step,
        _ => frame.name == step,
    }
}

/// Who started a process: for Codex, its host.
pub(crate) fn parent(pid: u64) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    Ok(line.trim().parse()?)
}
