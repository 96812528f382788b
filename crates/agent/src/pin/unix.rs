//! A file on Unix: its inode is another one when it was replaced, and nobody sets the time of its last change (`ctime`) back.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

/// By what a file is known, in words that are compared with nothing but their like.
pub(super) fn identity(of: &Metadata) -> String {
    let (modified, changed) = ((of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec()));
    format!("{}:{} {} {}.{:09} {}.{:09}", of.dev(), of.ino(), of.size(), modified.0, modified.1, changed.0, changed.1)
}
