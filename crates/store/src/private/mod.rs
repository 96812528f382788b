//! The store's folder and what is in it belong to this user, and nobody else can read, write or replace them.
//!
//! This is seen to each time that the store is opened, because a copy, a restored backup or a careless `chmod` may have changed it, and what is
//! written later is made so whatever the umask is. What is ours and open to others is closed, with a word in the log. What belongs to somebody
//! else, can't be closed (a file system without rights), or lies in a folder in which others can put something else in its place, is refused:
//! then [`crate::OpenError`] says what to do.
//!
//! On Windows a folder inherits the rights of the one that it is in, and that of the user (`%LOCALAPPDATA%`) keeps others out; nothing is
//! looked at there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

pub(crate) use os::own;
pub use os::private_dir;

/// A file that only this user can read; an existing one keeps what is in it.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    os::open(&mut options, path)
}

/// Writes a file that only this user can read: beside its place, and moved there, so that a reader sees a whole one.
///
/// # Errors
/// When the folder or the disk does not take it. Then what was there before is there.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    os::open(&mut options, &part)?.write_all(bytes)?;
    fs::rename(part, path)
}
