//! Who listens where the daemon of a store should be. Looked at before anything is said there.
//!
//! # Theory of operation
//!
//! `daemon.json` says where a daemon listened when it started. It may be dead by now, without having cleaned up, and somebody else may have
//! taken the port: another user of the machine, who would be shown a token and told prompts. So whoever goes by TCP to where that file says first
//! connects, and before the first byte makes sure that
//!
//! 1. the file is this user's own;
//! 2. its process lives, is one of this user's, and was started when the file says (a number is given again);
//! 3. that process has the listening socket of that address.
//!
//! | platform | looks at |
//! |---|---|
//! | Linux | all of it: `/proc/net/tcp`, `/proc/PID/fd`, `/proc/PID/stat` |
//! | macOS and others | 1, and that the process lives and is ours; who has a port is told to root alone |
//! | Windows | 2. The file lies in the user's own folder, and a port that a process has bound can't be taken beside it |
//!
//! The socket of the store has ways of its own ([`crate::socket`]). Nor does an address that somebody names
//! themselves ([`crate::Client::tcp`]): it may be a tunnel.

use std::{net::SocketAddr, path::PathBuf};

use types::DaemonFile;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as os;

#[cfg(all(unix, not(target_os = "linux")))]
#[path = "unix.rs"]
mod os;

#[cfg(windows)]
#[path = "windows.rs"]
mod os;

/// When a process was started, as the system counts it: in ticks since it was booted, or on Windows in 100 ns since 1601. `None` where that is
/// not told.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    os::process_start(pid)
}

/// The daemon that is expected somewhere.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// What it left of itself.
    pub(crate) file: PathBuf,
    pub(crate) daemon: DaemonFile,
}

impl Expected {
    /// Says why whoever listens at this address is not that daemon; nothing when it is, or the platform does not tell.
    pub(crate) fn is_somebody_else(&self, address: SocketAddr) -> Option<String> {
        os::is_somebody_else(&self.file, &self.daemon, address).err()
    }
}
