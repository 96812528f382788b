//! Whether a process is one of an agent's.
//!
//! # Theory of operation
//!
//! It is, when it or one that it comes from is the Codex or the host of an agent of this store (by pid and start time, as the agent's
//! folder has them), or, on Linux, carries the marker of an agent in the environment that it was started with. The marker may be that of
//! another store's agent: that one is nobody of ours either. A marker that this process carries itself says nothing: then codexd was
//! started inside that agent, and so were all that it serves.
//!
//! What unsets the marker has its ancestors still. On Linux what loses its parent is given to the agent's host for as long as that
//! lives, and so does not get away by forking twice.
//!
//! **What is not told.** On macOS, what has been given to the first process, and environments at all. On Windows, environments, and what lost one
//! of its ancestors. Everywhere, what somebody outside
//! does for the agent: a service manager, `cron`, `at`, a terminal server, a container daemon that it may ask to run a command.

use std::{fs, path::Path};

use types::{AgentId, ThreadId, agent::Descent};

use crate::{
    host::birth::Folder,
    process::MARKER,
    processes::{Ancestor, Born, born, lineage},
};

/// Codex puts it into the environment of each command: the thread that the command is of.
const THREAD: &str = "CODEX_THREAD_ID";

/// A Codex or a host.
struct Known {
    pid: u32,
    born: Option<Born>,
    agent: AgentId,
}

/// Whose the process `pid` is. `agents` is where the agents of this store have their folders. Blocks for a moment.
#[must_use]
pub fn descent(agents: &Path, pid: u32) -> Descent {
    let own = std::env::var(MARKER).ok();
    match lineage(pid) {
        Some(family) => among(&known(agents), own.as_deref(), std::process::id(), &family),
        None => Descent::Gone,
    }
}

/// Looks from the process outwards. What stands nearest to Codex counts, because whoever is further from it can have made that up.
fn among(known: &[Known], own: Option<&str>, ours: u32, family: &[Ancestor]) -> Descent {
    let (mut agent, mut thread) = (None, None);
    for member in family.iter().take_while(|member| member.pid != ours) {
        if let Some(known) = known.iter().find(|known| is(known, member)) {
            agent = Some(known.agent.to_string());
            break;
        }
        if let Some(marker) = member.variable(MARKER).filter(|marker| Some(marker.as_str()) != own) {
            agent = Some(AgentId::parse(&marker).map_or_else(|_| "unknown".to_owned(), |agent| agent.to_string()));
        }
        thread = member.variable(THREAD).and_then(|text| ThreadId::parse(&text).ok()).or(thread);
    }
    match agent {
        Some(agent) => Descent::Inside { agent, thread },
        None => Descent::Outside,
    }
}

/// One whose start can't be seen is an ancestor all the same, and so it lives.
fn is(known: &Known, member: &Ancestor) -> bool {
    known.pid == member.pid && known.born.as_ref().is_none_or(|then| born(member.pid).is_none_or(|now| now == *then))
}

fn known(agents: &Path) -> Vec<Known> {
    let entries = fs::read_dir(agents).into_iter().flatten().flatten();
    let cards = entries.filter_map(|entry| Folder(entry.path()).card().ok().flatten());
    let both = cards.flat_map(|card| {
        let codex = Known { pid: card.codex_pid, born: card.codex_start, agent: card.agent.clone() };
        [codex, Known { pid: card.host_pid, born: card.host_start, agent: card.agent }]
    });
    both.collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
