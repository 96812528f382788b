//! The agent host: a small process that owns Codex's pipes, so that `codexd` need not.
//!
//! # Theory of operation
//!
//! ```text
//!  codexd --socket--> host --pipes--> Codex, its group, and what left the group
//!         <-lines----  |  <-lines---
//!                   journal: what codexd has not committed yet
//! ```
//!
//! A host is born by `codexd` and outlives it. It numbers each line that Codex writes, from 1, and keeps it until it is acknowledged
//! (`journal.rs`). A client that attaches is given all that is kept, in order, and then what comes. What it says to Codex carries a tag, and
//! the next client is told which tags went (`tags.rs`). The last client that knows the secret is served; the one before it is told so
//! and let go.
//!
//! One thread, one loop around `poll` (on Windows around a runtime that does the same; `os`), everything in it (`desk.rs`): no locks, no queues between threads, nothing that waits for
//! anything else. Codex is held back by not being polled. One more thread only waits for Codex's end. No runtime, and nothing of the
//! engine: it knows no word of Codex's but those by which a turn begins and ends.
//!
//! It ends Codex when it is told to, when it has been alone for a while with no turn running, or alone for very long. When Codex ends it
//! ends what that left behind: its group, and, where orphans come to the host (Linux) or nobody can leave its job (Windows), everything else. Then it stays until what Codex
//! wrote is acknowledged.
//!
//! **What a crash leaves behind.** Of the client: nothing is lost, half a frame was never said. Of the host: Codex sees its stdin close and
//! ends; the next `codexd` finds the lock free and reaps what is left. Of the machine: the folder, which the next `codexd` removes.

pub(crate) mod birth;
mod codex;
mod desk;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod journal;
#[cfg(unix)]
#[path = "os/unix.rs"]
mod os;
#[cfg(windows)]
#[path = "os/windows.rs"]
mod os;
mod peer;
#[cfg(unix)]
#[path = "private/unix.rs"]
mod private;
#[cfg(windows)]
#[path = "private/windows.rs"]
mod private;
mod tags;
pub mod wire;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    process::ExitCode,
};

use birth::{Birth, Card, First, Folder, MOST_BYTES};
use desk::Desk;
use os::{Listener, Loop};
use types::Timestamp;

use crate::processes::born;

/// Runs a host. What it is to do comes as one message on stdin, which then closes; how that went is said once, on stdout.
///
/// Only for a process of its own: it leaves the terminal, and takes in orphans.
#[must_use]
pub fn main() -> ExitCode {
    let (first, desk) = match begin() {
        Ok(desk) => (First::Ready, Some(desk)),
        Err(error) => {
            (First::Failed { missing: error.kind() == io::ErrorKind::NotFound, error: error.to_string() }, None)
        }
    };
    let text = serde_json::to_string(&first).unwrap_or_default();
    // Whoever does not read it has died, and the next one finds the host by its folder.
    let _ = writeln!(io::stdout(), "{text}");
    let Some(desk) = desk else { return ExitCode::FAILURE };
    let _ = os::let_go();
    desk.run();
    ExitCode::SUCCESS
}

fn begin() -> io::Result<Desk> {
    let by_hand = || {
        io::Error::other("this is the part of codexd that holds Codex's pipes; it is started by codexd, not by hand")
    };
    if io::stdin().is_terminal() {
        return Err(by_hand());
    }
    let mut text = Vec::new();
    io::stdin().take(MOST_BYTES).read_to_end(&mut text)?;
    let birth: Birth = serde_json::from_slice(&text).map_err(|_| by_hand())?;
    drop(text);
    let folder = Folder((&birth.folder).into());
    let lock = folder.lock()?.ok_or_else(|| io::Error::other("the agent's folder is gone, or another host's"))?;
    let started = start(&birth, &folder, lock);
    if started.is_err() {
        folder.remove();
    }
    started
}

fn start(birth: &Birth, folder: &Folder, lock: File) -> io::Result<Desk> {
    os::stand_alone()?;
    let waiting = Loop::new()?;
    let listener = Listener::bind(&waiting, folder, &birth.agent)?;
    let socket = listener.path().to_owned();
    let desk = Desk::new(birth, folder.clone(), lock, waiting, listener)?;
    let codex_pid = desk.codex().family.pid();
    let card = Card {
        protocol: wire::PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: birth.agent.clone(),
        host_pid: std::process::id(),
        host_start: born(std::process::id()),
        codex_pid,
        codex_start: born(codex_pid),
        socket: socket.into(),
        started_at: Timestamp::now(),
    };
    match folder.write_card(&card) {
        Ok(()) => Ok(desk),
        Err(error) => {
            desk.codex().family.kill();
            Err(error)
        }
    }
}
