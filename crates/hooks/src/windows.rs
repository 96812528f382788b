//! Commands and files on Windows.

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
    process::ExitStatus,
};

use process_wrap::tokio::{CommandWrap, JobObject};

/// Puts the child into a Job Object of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(JobObject);
}

/// Makes a folder; its rights are those of the store's.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes a file, or empties it.
pub(crate) fn make_file(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// What ended a process, for people.
pub(crate) fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// A file's rights are its folder's here, and the folder is the user's choice.
pub(crate) fn open_to_others(_metadata: &Metadata) -> Option<u32> {
    None
}
