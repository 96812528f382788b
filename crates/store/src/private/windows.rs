//! Rights on Windows: those of the user's own folder, which are inherited.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use crate::OpenError;

/// Makes the folder when it is missing.
pub(crate) fn own(dir: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(dir).map_err(|source| OpenError::NotWritable { path: dir.to_owned(), source })
}

/// Makes a folder.
///
/// # Errors
/// When it can't be made.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Opens a file.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}
