//! Processes and folders on Windows.

use std::{fs, io, path::Path};

use process_wrap::tokio::{CommandWrap, JobObject};

/// Puts the child into a Job Object of its own, so that it ends with everything that it started.
pub(crate) fn own_group(command: &mut CommandWrap) {
    command.wrap(JobObject);
}

/// Makes a folder. Its rights are those of the one that it is in.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[allow(clippy::permissions_set_readonly_false, reason = "here it makes nothing writable for others")]
/// Lets files be removed that are read-only, as git's own are.
pub(crate) fn open_up(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            open_up(&entry.path());
        } else if found.permissions().readonly() {
            let mut permissions = found.permissions();
            permissions.set_readonly(false);
            let _ = fs::set_permissions(entry.path(), permissions);
        }
    }
}
