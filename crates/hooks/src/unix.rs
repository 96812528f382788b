//! Commands and files on Unix.

use std::{
    fs::Metadata,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    process::ExitStatus,
};

use process_wrap::tokio::{CommandWrap, ProcessGroup};

/// Makes the child the leader of a group of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(ProcessGroup::leader());
}

/// What ended a process, for people.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The mode of a file that others than its owner can read or write.
pub(crate) fn open_to_others(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}
