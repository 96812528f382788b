//! Looking a bare name up on `PATH`.

use std::{
    ffi::OsStr,
    path::{Component, Path, PathBuf},
};

use super::{PassedOver, Reason, confine::Roots, os};

/// Finds a program on the absolute entries of `path` that are not in `roots`. Bare names only.
#[must_use]
pub fn find_on_path(name: &str, path: Option<&OsStr>, roots: &[PathBuf]) -> Option<PathBuf> {
    on_path(name, path, &Roots::new(roots), &mut Vec::new())
}

pub(super) fn on_path(
    name: &str,
    path: Option<&OsStr>,
    roots: &Roots,
    passed_over: &mut Vec<PassedOver>,
) -> Option<PathBuf> {
    for entry in std::env::split_paths(path?) {
        if entry.as_os_str().is_empty() {
            continue;
        }
        let mut pass = |path: &Path, reason| passed_over.push(PassedOver { path: path.to_owned(), reason });
        for file in os::file_names(name) {
            let candidate = entry.join(file);
            if !candidate.is_file() {
                continue;
            }
            if !entry.is_absolute() {
                pass(&entry, Reason::Relative);
            } else if let Some(root) = roots.holding(&candidate) {
                pass(&candidate, Reason::InsideRoot(root));
            } else if !os::is_executable(&candidate) {
                pass(&candidate, Reason::NotExecutable);
            } else {
                return Some(candidate);
            }
        }
    }
    None
}

/// A name without any folder is looked up on `PATH`, never in the folder that we happen to be in.
pub(super) fn is_bare(path: &Path) -> bool {
    let mut parts = path.components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == path.as_os_str())
}
