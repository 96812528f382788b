//! Commands and files on Windows.

use std::{fs::Metadata, process::ExitStatus};

use process_wrap::tokio::{CommandWrap, JobObject};

/// Puts the child into a Job Object of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(JobObject);
}

/// What ended a process, for people.
pub(crate) fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// A file's rights are its folder's here, and the folder is the user's choice.
pub(crate) fn open_to_others(_metadata: &Metadata) -> Option<u32> {
    None
}
