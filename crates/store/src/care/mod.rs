//! Looking after the file: backups and their return, checks, sizes.
//!
//! # Theory of operation
//!
//! **A backup** is the store as it was at one moment, written by SQLite itself (`VACUUM INTO`) from a snapshot, so that a daemon goes
//! on meanwhile and what is deleted is not in it. It is written beside its place, checked, and only then moved there. It carries a
//! mark: whoever opens it as a store gives it a new epoch, because the numbers of its next events were given once already.
//!
//! **Its return** takes the store's lock, so that no daemon has it. What was there stays beside it under another name. The log
//! (`-wal`) of the old file must not stand beside the new one: SQLite would write it into that.
//!
//! **A check** asks SQLite whether the file is sound, and then what only we know: that counts, states, labels and the search index
//! agree with what they are made from ([`rules`]). It changes nothing unless it is told to repair, and repairs only what can be
//! made again from something else. While a daemon has the store it only reads.

mod backup;
mod check;
mod restore;
mod rules;
mod sizes;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

pub use backup::{Backup, backup};
pub use check::{Checked, Problem, check};
pub use restore::{Restored, restore};
pub use sizes::{Sizes, sizes};

use crate::{OpenError, migrate::MIGRATIONS};

/// The store's file in its folder.
pub(crate) const FILE: &str = "store.db";

/// The mark of a backup in `meta`.
pub(crate) const MARK: &str = "backup";

/// Why the file could not be looked after. Each text is for people and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// There is no store here.
    #[error("there is no store in {}; another folder is named with --store-dir", .0.display())]
    NoStore(PathBuf),
    /// Something would be overwritten.
    #[error("{} is there already; choose another name, or overwrite it with --force", .0.display())]
    Exists(PathBuf),
    /// It is the store itself.
    #[error("{} is the store itself; name another file", .0.display())]
    Itself(PathBuf),
    /// It is something else.
    #[error("{} is not a store of codexd, nor a backup of one", .0.display())]
    NotAStore(PathBuf),
    /// A newer codexd has written it.
    #[error("{} was written by a newer codexd (format {found}; this one knows up to {known}); install that version", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// What was written, or is to be taken back, is not sound.
    #[error("{} is damaged ({detail}); {advice}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
        /// What to do.
        advice: &'static str,
    },
    /// Somebody said to stop.
    #[error("stopped; nothing was changed")]
    Stopped,
    /// It needs the store for itself.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system.
    #[error("{} can't be used: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite.
    #[error("{}: {detail}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
}

impl CareError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::Stopped,
            Some(rusqlite::ErrorCode::NotADatabase) => Self::NotAStore(path.clone()),
            _ => Self::Sqlite { path: path.clone(), detail: error.to_string() },
        }
    }
}

/// Opens a file that is there, as it is: nothing is migrated.
fn open(path: &Path) -> Result<Connection, CareError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(CareError::sqlite(path))?;
    crate::migrate::set(&conn, 2_048).map_err(CareError::sqlite(path))?;
    Ok(conn)
}

/// The number of migrations that a store has seen. An error when it is none, or a newer one.
fn version(conn: &Connection, path: &Path) -> Result<i64, CareError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(CareError::sqlite(path))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(CareError::Newer { path: path.to_owned(), found, known });
    }
    let epoch = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'sessions', 'turns')";
    let tables: i64 = conn.query_row(epoch, [], |row| row.get(0)).map_err(CareError::sqlite(path))?;
    if found == 0 || tables != 3 {
        return Err(CareError::NotAStore(path.to_owned()));
    }
    Ok(found)
}

/// What SQLite finds wrong with the file; nothing when it is sound.
fn unsound(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// A number that the file has.
fn number(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|number| number.max(0) as u64)
}

/// The folder of a file.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Waits until the names in a folder are on disk.
fn sync_folder(dir: &Path) -> Result<(), CareError> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(CareError::file(dir))?;
    }
    Ok(())
}
