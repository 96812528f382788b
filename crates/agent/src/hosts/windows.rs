//! Starting a host on Windows.

use std::io;

use tokio::process::{Child, Command};

/// A console of its own that nobody sees, so that what Codex starts opens none, and Ctrl-C or the end of ours is not the host's.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Out of a job that codexd may be in, which would end the host with it. Not every job lets go.
const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;

/// Starts it with nothing of ours but its own pipes: whoever reads ours must not wait for a host.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    win32::process::keep_standard_handles();
    match command.creation_flags(CREATE_NO_WINDOW | CREATE_BREAKAWAY_FROM_JOB).spawn() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            command.creation_flags(CREATE_NO_WINDOW).spawn()
        }
        spawned => spawned,
    }
}
