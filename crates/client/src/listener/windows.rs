//! What Windows tells of the process that should listen.

use std::{net::SocketAddr, path::Path};

use types::DaemonFile;
use win32::process::Process;

pub(super) fn process_start(pid: u32) -> Option<u64> {
    win32::process::start(pid)
}

/// Who has the port is not looked at: a port that a process has bound can't be taken beside it.
pub(super) fn is_somebody_else(_file: &Path, daemon: &DaemonFile, _address: SocketAddr) -> Result<(), String> {
    let pid = daemon.pid;
    match Process::open(pid) {
        Ok(Some(process)) if process.runs() => {
            if daemon.process_start.is_some_and(|start| process.start().ok() != Some(start)) {
                return Err(format!("the process {pid} is another one, started after the daemon"));
            }
            match process.is_ours() {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("the process {pid} belongs to another user now")),
                Err(error) => Err(format!("whose the process {pid} is can't be seen ({error})")),
            }
        }
        Ok(_) => Err(format!("the process {pid} is gone")),
        Err(error) => Err(format!("the process {pid} can't be looked at ({error})")),
    }
}
