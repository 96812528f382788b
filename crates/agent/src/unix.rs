//! Processes on Unix: a process group each.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use process_wrap::tokio::{CommandWrap, ProcessGroup};

/// Makes the child the leader of a group of its own, so that it ends with everything that it started.
pub(super) fn own_group(command: &mut CommandWrap) {
    command.wrap(ProcessGroup::leader());
}

/// What ended a process, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
