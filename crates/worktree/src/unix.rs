//! Processes and folders on Unix.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use process_wrap::tokio::{CommandWrap, ProcessGroup};

/// Makes the child the leader of a group of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(ProcessGroup::leader());
}

/// Makes a folder that is this user's alone, whatever the umask is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Lets folders be emptied that keep their owner from it, as caches of some package managers do.
pub(crate) fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Not what a link leads to.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
