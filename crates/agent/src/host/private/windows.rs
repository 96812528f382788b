//! Files and folders of ours on Windows: their rights are those of the store's folder, which they inherit.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::windows::fs::FileExt as _,
    path::{Path, PathBuf},
};

use types::AgentId;

/// A file that is not there yet, to read and to write.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// A file with nothing in it.
pub(super) fn empty(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

/// Makes a folder that is not there yet.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Makes a folder when it is missing.
pub(super) fn own_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Whether an open file has been removed. No agent's folder is made a second time, so what is there is that file.
pub(super) fn is_removed(_file: &File, path: &Path) -> io::Result<bool> {
    Ok(!path.exists())
}

pub(super) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = file.seek_write(bytes, at)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[count..];
        at += count as u64;
    }
    Ok(())
}

pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = file.seek_read(bytes, at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[count..];
        at += count as u64;
    }
    Ok(())
}

/// What an agent's pipe is called. The id can't be guessed, and whoever connects looks whose the pipe is.
pub(super) fn socket_path(_folder: &Path, agent: &AgentId) -> io::Result<PathBuf> {
    Ok(format!(r"\\.\pipe\codexd-agent-{agent}").into())
}
