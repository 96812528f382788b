//! What every Unix tells: whose a file is, and whether a process is one of ours.

use std::{fs, net::SocketAddr, os::unix::fs::MetadataExt as _, path::Path};

use rustix::process::{Pid, geteuid, test_kill_process};
use types::DaemonFile;

/// It is told in ways of each system's own.
pub(super) const fn process_start(_pid: u32) -> Option<u64> {
    None
}

pub(super) fn is_somebody_else(file: &Path, daemon: &DaemonFile, _address: SocketAddr) -> Result<(), String> {
    let pid = daemon.pid;
    if fs::metadata(file).is_ok_and(|found| found.uid() != geteuid().as_raw()) {
        return Err(format!("{} belongs to another user", file.display()));
    }
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Another user's can't be signalled.
    match process.map(test_kill_process) {
        Some(Ok(())) => Ok(()),
        _ => Err(format!("the process {pid} is gone, or belongs to another user")),
    }
}
