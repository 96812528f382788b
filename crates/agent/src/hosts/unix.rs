//! Starting a host on Unix.

use std::io;

use tokio::process::{Child, Command};

/// Not in a group of its own: it begins a session, which a leader of a group can't.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}
