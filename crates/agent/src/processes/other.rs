//! Unix without `/proc`: `ps` tells when a process started, and whose child it is. What left Codex's group can't be found, and
//! environments are not looked at.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

use rustix::process::{Signal, kill_process_group, test_kill_process_group};

use super::{Ancestor, Leftover, MOST_ANCESTORS, signals::pid};

pub(super) fn born(pid: u32) -> Option<String> {
    let mut ps = Command::new("/bin/ps");
    ps.args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").stdin(Stdio::null());
    let said = ps.output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Orphans go to the first process here, and not to the host.
pub(super) fn children() -> Vec<u32> {
    Vec::new()
}

pub(super) fn count(leftover: Leftover<'_>) -> usize {
    let Some(codex) = leftover.codex.and_then(|(codex, _)| pid(codex)) else { return 0 };
    usize::from(test_kill_process_group(codex).is_ok())
}

/// The whole group, when its leader is still that Codex. Once it was, the group's number is not given to another.
pub(super) fn end(leftover: Leftover<'_>, signal: Signal) -> usize {
    let Some((codex, started)) = leftover.codex else { return 0 };
    let sure = signal == Signal::KILL || born(codex).is_some_and(|now| now == started.0);
    match pid(codex) {
        Some(group) if sure && kill_process_group(group, signal).is_ok() => 1,
        _ => 0,
    }
}

/// One look at all processes, so that it is of one moment.
pub(super) fn lineage(first: u32) -> Option<Vec<Ancestor>> {
    let mut ps = Command::new("/bin/ps");
    ps.args(["-axo", "pid=,ppid="]).env("LC_ALL", "C").stdin(Stdio::null());
    let said = ps.output().ok()?;
    let number = |word: Option<&str>| word?.parse::<u32>().ok();
    let parents: HashMap<u32, u32> = String::from_utf8_lossy(&said.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((number(words.next())?, number(words.next())?))
        })
        .collect();
    let (mut found, mut here) = (Vec::new(), first);
    while let Some(parent) = parents.get(&here).filter(|_| here > 1 && found.len() < MOST_ANCESTORS) {
        found.push(Ancestor { pid: here, environ: Vec::new() });
        here = *parent;
    }
    (!found.is_empty()).then_some(found)
}
