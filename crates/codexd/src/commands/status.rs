//! `codexd status`: the daemon, and its Codex.

use serde_json::json;
use types::agent::{AgentInfo, AgentStatus, Backend};

use super::connect;
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output},
};

/// Asks and prints. A daemon that answers is a success, whatever its Codex does.
pub(crate) async fn run(globals: &Globals) -> anyhow::Result<Exit> {
    let client = connect(globals)?;
    let health = client.health().await?;
    let agent = client.agent().await?;
    let output = Output::new(globals.json);
    let daemon = client.daemon();
    if output.json() {
        let whole = json!({ "daemon": daemon, "health": health.value, "agent": serde_json::from_slice::<serde_json::Value>(&agent.json)? });
        output.object(&serde_json::to_vec(&whole)?)?;
        return Ok(Exit::Completed);
    }
    let mut facts = Vec::new();
    if let Some(daemon) = daemon {
        let since = output::ago(daemon.started_at.as_millis());
        facts.push(("daemon", format!("{}, pid {}, started {since}", daemon.version, daemon.pid)));
        facts.extend(daemon.http.clone().map(|http| {
            let token = if health.auth_required { "needs a token" } else { "open" };
            ("address", format!("{http} ({token})"))
        }));
        facts.extend(daemon.socket.as_ref().map(|socket| ("socket", socket.display().to_string())));
    }
    facts.push(("store", globals.store.dir()?.display().to_string()));
    facts.extend(of_agent(&agent));
    output.styled(&output::table::facts(&facts))?;
    Ok(Exit::Completed)
}

fn of_agent(agent: &AgentInfo) -> Vec<(&'static str, String)> {
    let mut what = match agent.status {
        AgentStatus::Starting => "starting",
        AgentStatus::Ready => "ready",
        AgentStatus::Restarting => "restarting",
        AgentStatus::Unavailable => "unavailable",
    }
    .to_owned();
    if let Some(version) = &agent.version {
        what.push_str(&format!(", {version}"));
        if agent.supported.tested == Some(false) {
            what.push_str(&format!(" (tested are {} to {})", agent.supported.from, agent.supported.to));
        }
    }
    what.push_str(&agent.backend.map(|backend: Backend| format!(" by {}", backend.as_str())).unwrap_or_default());
    what.push_str(&agent.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default());
    if let Some(since) = agent.started_at {
        what.push_str(&format!(", started {}", output::ago(since.as_millis())));
    }
    let mut facts = vec![("codex", what)];
    facts.extend(agent.program.clone().map(|program| ("program", program)));
    if agent.restarts > 0 {
        facts.push(("restarts", agent.restarts.to_string()));
    }
    facts.extend(agent.last_error.clone().map(|error| ("last error", error)));
    facts
}
