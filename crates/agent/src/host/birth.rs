//! What stands in an agent's folder, and what a host is told when it is born.
//!
//! ```text
//!  <store>/agents/<agent-id>/   0700
//!      lock        held by the host for as long as it lives: the system releases it, however the host ends
//!      secret      what a client must say; made by codexd
//!      host.json   who the host and its Codex are, and where the socket is; made by the host when Codex runs
//!      socket      unless its path would be too long; on Windows it is a pipe, which is in no folder
//!      lines-N     what Codex wrote, when it is too much for the host's memory
//! ```
//!
//! Whoever finds the lock free and takes it may end what is left and remove the folder. A host that finds its lock taken, or its
//! folder removed, ends before it has started anything.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use types::{AgentId, Timestamp, agent::Backend};

use super::private;
use crate::processes::Born;

/// The longest birth message, and the longest file of ours that is read.
pub(crate) const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// What a host is told on its stdin. Texts of the system's are kept as they are, also where they are not UTF-8.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Birth {
    /// The agent; its Codex carries it in the environment.
    pub(crate) agent: AgentId,
    /// The agent's folder; there already, with its lock and its secret.
    pub(crate) folder: OsString,
    /// What a client must say.
    pub(crate) secret: String,
    /// What to start, with all of its arguments.
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// What to change in the environment; none removes.
    pub(crate) environment: Vec<(OsString, Option<OsString>)>,
    /// Where to start it.
    pub(crate) work_dir: OsString,
    /// What it speaks.
    pub(crate) backend: Backend,
    /// How long the host goes on alone while no turn runs.
    pub(crate) orphan_grace: Duration,
    /// How long the host goes on alone at all.
    pub(crate) orphan_max: Duration,
    /// What of Codex's lines is kept in memory, in bytes, and what in files.
    pub(crate) memory: u64,
    pub(crate) files: u64,
}

/// The one thing that a host says on its stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum First {
    /// Codex runs and the host listens.
    Ready,
    /// It could not be started.
    Failed {
        /// Why, for people.
        error: String,
        /// There is no such program.
        missing: bool,
    },
}

/// `host.json`: who is who.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Card {
    pub(crate) protocol: u32,
    pub(crate) version: String,
    pub(crate) agent: AgentId,
    pub(crate) host_pid: u32,
    pub(crate) host_start: Option<Born>,
    pub(crate) codex_pid: u32,
    pub(crate) codex_start: Option<Born>,
    /// In the folder, or elsewhere when that path would be too long.
    pub(crate) socket: OsString,
    pub(crate) started_at: Timestamp,
}

/// An agent's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes it, with its lock and its secret.
    pub(crate) fn make(agents: &Path, agent: &AgentId, secret: &str) -> io::Result<Self> {
        private::own_folder(agents)?;
        let folder = Self(agents.join(agent.as_str()));
        private::folder(&folder.0)?;
        private::empty(&folder.lock_path())?;
        private::empty(&folder.0.join("secret"))?.write_all(secret.as_bytes())?;
        Ok(folder)
    }

    /// Whose it is.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        AgentId::parse(self.0.file_name()?.to_str()?).ok()
    }

    fn lock_path(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Takes the lock; none when a host lives, or the folder is gone.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let lock = match OpenOptions::new().read(true).write(true).open(self.lock_path()) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            // Whoever had it may have removed it.
            Ok(()) if private::is_removed(&lock, &self.lock_path())? => Ok(None),
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a host lives. Takes the lock for a moment, which a host that is being born would take for its end: only for those that
    /// were ready.
    pub(crate) fn is_alive(&self) -> bool {
        self.lock_path().exists() && matches!(self.lock(), Ok(None))
    }

    /// What a client must say.
    pub(crate) fn secret(&self) -> io::Result<String> {
        fs::read_to_string(self.0.join("secret"))
    }

    /// Who is who; none while the host has not said.
    pub(crate) fn card(&self) -> io::Result<Option<Card>> {
        match fs::read(self.0.join("host.json")) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Written beside and moved, so that a reader sees a whole one.
    pub(crate) fn write_card(&self, card: &Card) -> io::Result<()> {
        let part = self.0.join("host.json.part");
        private::empty(&part)?.write_all(&serde_json::to_vec(card)?)?;
        fs::rename(part, self.0.join("host.json"))
    }

    /// Where the socket is to be.
    pub(crate) fn socket_path(&self, agent: &AgentId) -> io::Result<PathBuf> {
        private::socket_path(&self.0, agent)
    }

    /// Removes it with all that is in it, and the socket wherever that is. The lock goes last but one: who finds it free does the same.
    pub(crate) fn remove(&self) {
        if let (Ok(Some(card)), Some(agent)) = (self.card(), self.agent()) {
            let socket = PathBuf::from(card.socket);
            // Nothing but a socket of this agent's, whatever the file says.
            if socket.file_name().is_some_and(|name| name == format!("{agent}.sock").as_str()) {
                let _ = fs::remove_file(socket);
            }
        }
        if let Err(error) = self.try_remove() {
            tracing::warn!(%error, folder = %self.0.display(), "the folder of an agent that is gone can't be removed");
        }
    }

    /// The same by who holds its lock. Where a file that is open keeps its folder (some file systems of Windows), the lock goes first.
    pub(crate) fn remove_locked(&self, lock: File) {
        if cfg!(unix) || self.try_remove().is_err() {
            // On Unix the lock is held until all has gone.
            let _held = cfg!(unix).then_some(lock);
            self.remove();
        }
    }

    fn try_remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
