//! Commands and files on Unix.

use std::{
    fs::{DirBuilder, File, Metadata},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
        process::ExitStatusExt as _,
    },
    path::Path,
    process::ExitStatus,
};

use process_wrap::tokio::{CommandWrap, ProcessGroup};

/// Makes the child the leader of a group of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(ProcessGroup::leader());
}

/// Makes a folder for this user only.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file for this user only, or empties it.
pub(crate) fn make_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
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
