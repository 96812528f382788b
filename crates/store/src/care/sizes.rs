//! How large it is.

use std::{fs, path::Path};

use super::{CareError, FILE, number};
use crate::migrate::open_reader;

/// How large a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The file and its log, in bytes.
    pub bytes: u64,
    /// So many of them are free, for what comes.
    pub free: u64,
    /// Sessions, archived ones too.
    pub sessions: u64,
    /// Archived ones.
    pub archived: u64,
    /// Turns.
    pub turns: u64,
}

/// Looks at the store of this folder, also while a daemon has it. Blocks the thread.
///
/// # Errors
/// When there is none, or it can't be read.
pub fn sizes(dir: &Path) -> Result<Sizes, CareError> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Err(CareError::NoStore(dir.to_owned()));
    }
    let failed = CareError::sqlite(&path);
    let conn = open_reader(&path).map_err(&failed)?;
    let count = |sql: &str| number(&conn, sql).map_err(&failed);
    let size_of = |name: &str| fs::metadata(dir.join(name)).map_or(0, |found| found.len());
    Ok(Sizes {
        bytes: size_of(FILE) + size_of("store.db-wal"),
        free: count("SELECT f.freelist_count * s.page_size FROM pragma_freelist_count f, pragma_page_size s")?,
        sessions: count("SELECT count(*) FROM sessions")?,
        archived: count("SELECT count(*) FROM sessions WHERE archived_at IS NOT NULL")?,
        turns: count("SELECT count(*) FROM turns")?,
    })
}
