//! Linux: `/proc` tells who is who, and a pidfd holds on to a process while it is looked at.

use std::{fs, io::Read as _};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Ancestor, Leftover, MOST_ANCESTORS, signals::pid};
use crate::process::MARKER;

/// An environment that is longer is not looked through further.
const ENVIRON_BYTES: u64 = 4 * 1024 * 1024;

/// A flag of the kernel's, `PF_EXITING`.
const EXITING: u64 = 4;

/// So often a family is looked at whose members come and go meanwhile.
const LOOKS: usize = 32;

/// What `/proc/PID/stat` says.
struct Stat {
    zombie: bool,
    /// It ends, and has no environment any more.
    exiting: bool,
    parent: u32,
    group: u32,
    session: u32,
    /// Ticks since the machine booted.
    start: u64,
}

pub(super) fn born(pid: u32) -> Option<String> {
    let stat = stat(pid).filter(|stat| !stat.zombie)?;
    Some(format!("{}/{}", boot()?, stat.start))
}

/// Ticks mean something only within one boot.
fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in front may hold anything, also brackets.
    let rest = text.get(text.rfind(')')? + 2..)?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let short = |index: usize| u32::try_from(number(index)?).ok();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        exiting: number(6)? & EXITING != 0,
        parent: short(1)?,
        group: short(2)?,
        session: short(3)?,
        start: number(19)?,
    })
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Also those that nobody has waited for yet.
pub(super) fn children() -> Vec<u32> {
    let ours = std::process::id();
    all().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == ours)).collect()
}

pub(super) fn count(leftover: Leftover<'_>) -> usize {
    all().filter(|pid| is(leftover, *pid)).count()
}

pub(super) fn end(leftover: Leftover<'_>, signal: Signal) -> usize {
    let mut ended = 0;
    for found in all().filter(|pid| is(leftover, *pid)) {
        let Some(number) = pid(found) else { continue };
        let Ok(held) = pidfd_open(number, PidfdFlags::empty()) else { continue };
        // From here on the pid can't be another's unnoticed.
        if is(leftover, found) && pidfd_send_signal(&held, signal).is_ok() {
            ended += 1;
        }
    }
    ended
}

fn is(leftover: Leftover<'_>, pid: u32) -> bool {
    let Some(stat) = stat(pid).filter(|stat| !stat.zombie && pid != std::process::id()) else { return false };
    if let Some((codex, started)) = leftover.codex
        && let Some(first) = boot().and_then(|boot| started.0.strip_prefix(&format!("{boot}/"))?.parse::<u64>().ok())
    {
        if pid == codex && stat.start == first {
            return true;
        }
        // Its group in the host's session. Neither number is given to another process while one of these lives, so what has both
        // of them is of that Codex, unless both came to life anew, together, after all of those were gone: then the host's number is
        // that of a living process.
        let both = stat.group == codex && Some(stat.session) == leftover.host && stat.start >= first;
        if both && leftover.host.is_some_and(|host| self::stat(host).is_none_or(|stat| stat.zombie)) {
            return true;
        }
    }
    marked(pid, leftover.marker)
}

fn marked(pid: u32, marker: &str) -> bool {
    let wanted = format!("{MARKER}={marker}");
    environ(pid).split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// The environment that a process was started with; empty when it may not be read.
fn environ(pid: u32) -> Vec<u8> {
    let mut environ = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/environ")) {
        let _ = file.take(ENVIRON_BYTES).read_to_end(&mut environ);
    }
    environ
}

/// A process's parent, and when it started; of one that is hidden from us (`hidepid`) nothing but that it is there.
type Link = (u32, Option<(u32, u64)>);

fn links(first: u32) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut here = first;
    while here > 1 && links.len() < MOST_ANCESTORS {
        let seen = stat(here).map(|stat| (stat.parent, stat.start));
        links.push((here, seen));
        here = seen.map_or(0, |(parent, _)| parent);
    }
    links
}

/// Two looks that see the same: whoever had that parent before and after had it all the while, and so no pid in between was used again.
/// One whose parent ends is given another at once, which the second look sees.
pub(super) fn lineage(first: u32) -> Option<Vec<Ancestor>> {
    for _ in 0..LOOKS {
        let links = links(first);
        let found = links.iter().map(|(pid, _)| Ancestor { pid: *pid, environ: environ(*pid) }).collect();
        if stat(first).is_none_or(|stat| stat.zombie || stat.exiting) {
            return None;
        }
        if self::links(first) == links {
            return Some(found);
        }
    }
    None
}
