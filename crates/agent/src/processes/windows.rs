//! Windows: a process is known by when it was started, and tells which one started it. Environments are not looked at.
//!
//! What a host leaves behind is ended by the system, when its Job Object goes with it; what is left to do is to make sure of Codex itself.

use super::{Ancestor, Born, Leftover, MOST_ANCESTORS};

pub(super) fn born(pid: u32) -> Option<String> {
    win32::process::start(pid).map(|start| start.to_string())
}

/// Ends what a host left behind, if anything is. Says how many processes there were.
pub(crate) fn reap(leftover: Leftover<'_>) -> usize {
    leftover.codex.map_or(0, |(pid, started)| usize::from(end(pid, started)))
}

/// Ends the one process that has this pid and started then.
pub(crate) fn end_one(pid: u32, started: &Born) {
    end(pid, started);
}

fn end(pid: u32, started: &Born) -> bool {
    let Ok(started) = started.0.parse() else { return false };
    win32::process::end(pid, started).unwrap_or_else(|error| {
        tracing::warn!(pid, %error, "some of what Codex left behind can't be ended");
        false
    })
}

/// A number that is used again is no ancestor's: who started a process is older than it.
pub(super) fn lineage(first: u32) -> Option<Vec<Ancestor>> {
    let parents = win32::process::parents().ok()?;
    let (mut found, mut here, mut younger) = (Vec::new(), first, u64::MAX);
    while let Some(parent) = parents.get(&here).filter(|_| here != 0 && found.len() < MOST_ANCESTORS) {
        // That of one that we may not look at is not known; it is taken for what it says.
        let start = win32::process::start(here);
        if start.is_some_and(|start| start > younger) {
            break;
        }
        younger = start.unwrap_or(younger);
        found.push(Ancestor { pid: here, environ: Vec::new() });
        here = *parent;
    }
    (!found.is_empty()).then_some(found)
}
