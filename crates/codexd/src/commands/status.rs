//! `codexd status`: the daemon, its Codex, and what the caller may do.

use client::{Archived, Error, SessionQuery};
use serde_json::{Value, json};
use types::{
    Code, PolicyInfo, SessionStatus,
    agent::{AgentInfo, AgentStatus, Backend},
};

use super::connect;
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output},
};

/// The most running sessions that are counted.
const COUNTED: u32 = 100;

/// Asks and prints. It is a success when Codex takes turns and the store can be written.
pub(crate) async fn run(globals: &Globals) -> anyhow::Result<Exit> {
    let client = connect(globals)?;
    let agent = client.agent().await?;
    let policy = client.policy().await?;
    let which = SessionQuery {
        status: Some(SessionStatus::Running),
        archived: Archived::Too,
        limit: Some(COUNTED),
        ..SessionQuery::default()
    };
    let running = client.sessions(&which).await?;
    let not_ready =
        client.ready().await.map_or_else(Some, |_| None).filter(|error| matches!(error, Error::Refused { .. }));
    let exit = if agent.status == AgentStatus::Ready && not_ready.is_none() { Exit::Completed } else { Exit::Other };
    let store_problem = not_ready.filter(|error| error.code() == Some(Code::StoreFull)).map(|error| error.to_string());

    let output = Output::new(globals.json);
    let daemon = client.daemon();
    let store = globals.store.dir()?;
    let sizes = tokio::task::spawn_blocking({
        let store = store.clone();
        move || (store::sizes(&store).ok(), room(&store))
    });
    // What can't be counted is not told; everything else is.
    let (sizes, room) = sizes.await.unwrap_or_default();
    if output.json() {
        let raw = |json: &[u8]| serde_json::from_slice::<Value>(json);
        let whole = json!({
            "daemon": daemon, "store": store, "agent": raw(&agent.json)?, "policy": raw(&policy.json)?,
            "running": running.sessions.len(), "ready": exit == Exit::Completed, "storeProblem": store_problem,
            "storeSize": sizes.map(|sizes| json!({
                "bytes": sizes.bytes, "freeBytes": sizes.free, "sessions": sizes.sessions, "archived": sizes.archived,
                "turns": sizes.turns,
            })),
            "diskFreeBytes": room,
        });
        output.object(whole.to_string().as_bytes())?;
        return Ok(exit);
    }
    let mut facts = Vec::new();
    if let Some(daemon) = daemon {
        let since = output.time(daemon.started_at);
        facts.push(("daemon", format!("{}, pid {}, started {since}", daemon.version, daemon.pid)));
        facts.push(("address", daemon.http.clone().unwrap_or_else(|| "none".to_owned())));
        facts.extend(daemon.socket.as_ref().map(|socket| ("socket", socket.display().to_string())));
    }
    facts.push(("store", store.display().to_string()));
    facts.extend(sizes.map(|sizes| ("size", told(&sizes, room))));
    facts.extend(store_problem.map(|problem| ("problem", format!("{problem}; until it can, no turn is taken"))));
    let at_work = match running.next_cursor {
        Some(_) => format!("{} or more sessions", running.sessions.len()),
        None => output::count(running.sessions.len() as u64, "session"),
    };
    facts.push(("at work", at_work));
    facts.extend(of_agent(&agent, &output));
    facts.extend(of_policy(&policy));
    output.styled(&output::table::facts(&facts))?;
    Ok(exit)
}

/// What the disk has left for us, where the system says so.
fn room(dir: &std::path::Path) -> Option<u64> {
    #[cfg(unix)]
    let room = rustix::fs::statvfs(dir).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    let room = {
        let _ = dir;
        None
    };
    room
}

fn told(sizes: &store::Sizes, room: Option<u64>) -> String {
    let mut text = format!("{}, {}", output::size(sizes.bytes), output::count(sizes.sessions, "session"));
    if sizes.archived > 0 {
        text.push_str(&format!(" ({} archived)", sizes.archived));
    }
    text.push_str(&format!(", {}", output::count(sizes.turns, "turn")));
    text.push_str(&room.map(|room| format!("; the disk has {} left", output::size(room))).unwrap_or_default());
    text
}

/// What is told of Codex.
pub(super) fn of_agent(agent: &AgentInfo, output: &Output) -> Vec<(&'static str, String)> {
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
        what.push_str(&format!(", started {}", output.time(since)));
    }
    let mut facts = vec![("codex", what)];
    facts.extend(agent.program.clone().map(|program| ("program", program)));
    if agent.restarts > 0 {
        facts.push(("restarts", agent.restarts.to_string()));
    }
    if let Some(restart) = &agent.restart {
        let how = if restart.drain { "once its turns have ended, while new ones wait" } else { "at once" };
        let until = restart.until.map(|until| format!(", at {until} at the latest")).unwrap_or_default();
        facts.push(("restart", format!("{} asked for it, {how}{until}", restart.by)));
    }
    facts.extend(agent.last_error.clone().map(|error| ("last error", error)));
    facts.extend(agent.next_try_at.map(|at| ("next try", at.to_string())));
    facts
}

fn of_policy(policy: &PolicyInfo) -> Vec<(&'static str, String)> {
    let up_to = |value: &str, widest: &str| {
        if value == widest { value.to_owned() } else { format!("{value}, up to {widest}") }
    };
    let mut facts = vec![
        ("sandbox", up_to(policy.sandbox.as_str(), policy.widest_sandbox.as_str())),
        ("asks", up_to(policy.approval_policy.as_str(), policy.widest_approval_policy.as_str())),
        ("folder", policy.cwd.display().to_string()),
    ];
    facts.extend(policy.model.clone().map(|model| ("model", model)));
    facts
}
