//! Programs on Unix: what may be executed is said by the mode of the file, not by its name.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What a native program is called on disk.
pub(super) fn executable_name(name: &str) -> String {
    name.to_owned()
}

/// What a bare name may be called on disk.
pub(super) fn file_names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}
