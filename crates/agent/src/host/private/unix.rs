//! Files and folders of ours alone, on Unix.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use types::AgentId;

/// The longest path of a socket: 108 bytes with the closing NUL on Linux, 104 on macOS.
const SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A file that is not there yet, to read and to write.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A file with nothing in it.
pub(super) fn empty(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Makes a folder that is not there yet.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// A folder that is ours alone, made when it is missing. Anybody can make one in the temporary folder before us; then it is not ours to use.
pub(super) fn own_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a folder of ours alone", path.display()),
        ));
    }
    Ok(())
}

/// Whether an open file has been removed.
pub(super) fn is_removed(file: &File, _path: &Path) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(bytes, at)
}

/// Where an agent's socket is to be: in its folder, or in a short private folder elsewhere.
pub(super) fn socket_path(folder: &Path, agent: &AgentId) -> io::Result<PathBuf> {
    let near = folder.join("socket");
    if near.as_os_str().len() <= SOCKET_PATH_BYTES {
        return Ok(near);
    }
    let name = format!("{agent}.sock");
    let user = rustix::process::geteuid().as_raw();
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("codexd"));
    let temp = std::env::temp_dir().join(format!("codexd-{user}"));
    for folder in run.into_iter().chain([temp]) {
        let path = folder.join(&name);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES && own_folder(&folder).is_ok() {
            return Ok(path);
        }
    }
    Err(io::Error::other("there is no folder of our own whose path is short enough for a socket"))
}
