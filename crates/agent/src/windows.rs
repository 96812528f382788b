//! Processes on Windows: a Job Object each.

use std::process::ExitStatus;

use process_wrap::tokio::{CommandWrap, JobObject};

/// Puts the child into a Job Object of its own, so that it ends with everything that it started.
pub(super) fn own_group(command: &mut CommandWrap) {
    command.wrap(JobObject);
}

/// How many bytes of memory a process has: not asked here.
pub(super) fn resident(_pid: u32) -> Option<u64> {
    None
}

/// What ended a process, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}
