//! `codexd`'s side of its agent hosts: giving birth to one, finding those that are there, reaping what dead ones left behind.
//!
//! Each agent has a folder in [`HostOptions::agents`]; what is in it stands in [`host`](crate::host). Its lock says whether the host lives.
//! What is not locked is a dead host's: whoever takes the lock may end what that left behind, found by pid and start time and, on Linux, by
//! the marker in its environment; nothing else is ever ended. On Windows a dead host has left nothing: its Job Object went with it. Only the owner of the store looks here.

mod life;
#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use life::{Found, birth, end, find};

/// The processes of Codex that have a host which lives, by what is in the folder of agents: they go on whether a codexd speaks to them or not.
#[must_use]
pub fn alive(agents: &Path) -> Vec<u32> {
    life::alive(agents)
}

/// Ends every host with its Codex and what that started, and what dead ones left behind; says how many lived. Only for who holds the store:
/// a host that codexd speaks to would be taken from it.
pub async fn end_all(agents: &Path) -> usize {
    life::end_all(agents).await
}

/// How Codex gets a host of its own, so that turns outlive this process.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The program that runs [`host::main`](crate::host), and its arguments: this program, with `agent-host`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where agents have their folders: `<store>/agents`. Made when it is missing, for this user alone.
    pub agents: PathBuf,
    /// How long a host goes on that no codexd speaks to, while no turn runs.
    pub orphan_grace: Duration,
    /// How long a host goes on that no codexd speaks to.
    pub orphan_max: Duration,
    /// How many bytes of what Codex wrote a host keeps in memory,
    pub memory: u64,
    /// and how many in files. When those are full Codex is not read.
    pub files: u64,
}

impl HostOptions {
    /// With what suits most machines.
    #[must_use]
    pub fn new(program: PathBuf, agents: PathBuf) -> Self {
        Self {
            program,
            args: vec!["agent-host".into()],
            agents,
            orphan_grace: Duration::from_secs(15 * 60),
            orphan_max: Duration::from_secs(24 * 60 * 60),
            memory: 2 * 1024 * 1024,
            files: 512 * 1024 * 1024,
        }
    }
}

/// What kept a host from being born.
#[derive(Debug)]
pub(crate) struct Unborn {
    /// What happened, for people.
    pub(crate) error: String,
    /// There is no such Codex.
    pub(crate) missing: bool,
}
