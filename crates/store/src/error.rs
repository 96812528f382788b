//! What can go wrong, as data: once when the store is opened, and with each commit and read.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;
use types::Timestamp;

/// Why a commit or a read did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room. Nothing of the batch is stored; the same batch may succeed when there is room again.
    #[error("the disk that holds the store is full")]
    Full,
    /// The disk or the file system failed when something was read.
    #[error("the store can't be read: {0}")]
    Io(String),
    /// The disk or the file system failed when a batch was written. Nothing of it is stored; the same batch may succeed later.
    #[error("the store can't be written: {0}")]
    Unwritable(String),
    /// Another program held the file's own lock for longer than the store waits. Nothing of the batch is stored.
    #[error("another program has locked the store's file")]
    Busy,
    /// What is on disk can't be what the store wrote. Restoring a backup is the way out.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The store was closed before this was asked of it.
    #[error("the store is closed")]
    Closed,
    /// The batch contradicts what is stored: an id twice, or something that points to nothing. A mistake of the caller;
    /// only this batch failed, and it will fail again.
    #[error("the write contradicts what is stored: {0}")]
    Constraint(String),
}

impl StoreError {
    /// True when not one batch is at fault but the place that all of them go to.
    pub(crate) const fn is_everybodys(&self) -> bool {
        !matches!(self, Self::Constraint(_))
    }

    /// What this means when a commit was tried.
    pub(crate) fn of_a_write(self) -> Self {
        match self {
            Self::Io(why) => Self::Unwritable(why),
            other => other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
                    Self::Constraint(error.to_string())
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(error.to_string()),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                _ => Self::Io(error.to_string()),
            },
            E::ToSqlConversionFailure(_) => Self::Constraint(error.to_string()),
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Corrupt(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Why a store could not be opened. Each text is for people and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error(
        "the store in {dir} belongs to another codexd{}{}; `codexd stop --store-dir '{dir}'` ends it, or give this one another folder",
        .pid.map_or_else(String::new, |pid| format!(" (pid {pid})")),
        .since.map_or_else(String::new, |since| format!(", since {since}")),
        dir = .dir.display()
    )]
    Owned {
        /// The folder.
        dir: PathBuf,
        /// The other process; unknown in the moment in which it starts.
        pid: Option<u32>,
        /// Since when it has the store.
        since: Option<Timestamp>,
    },
    /// A newer codexd has written it.
    #[error(
        "the store {} was written by a newer codexd (format {found}; this one knows up to {known}); \
         install that version again, or give this one another folder",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The folder or a file in it can't be made or written.
    #[error("can't write {}: {source}; check who owns it and that the disk is mounted writable, or choose another folder", .path.display())]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder, or a file in it, belongs to another user, who could read or change what is in it.
    #[error(
        "{} belongs to another user (uid {uid}); run codexd as that user, take it over with `chown`, or choose another folder",
        .path.display()
    )]
    SomebodyElses {
        /// What it is.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Others can read or write it, and that can't be changed.
    #[error(
        "{} is open to others (mode {mode:o}) and can't be closed, perhaps because its file system knows no rights; \
         choose a folder on another disk",
        .path.display()
    )]
    Exposed {
        /// What it is.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others can write in the folder around the store's, and so put another one in its place.
    #[error(
        "others can write in {parent} (mode {mode:o}), and so could put something else in the place of {dir}; \
         run: chmod go-w '{parent}', or choose another folder",
        parent = .parent.display(), dir = .dir.display()
    )]
    Replaceable {
        /// The store's folder.
        dir: PathBuf,
        /// The one that it is in.
        parent: PathBuf,
        /// The mode of that one.
        mode: u32,
    },
    /// Something else stands where the store should be.
    #[error("{} is not a store of codexd; move it away, or choose another folder", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is a store, but a broken one.
    #[error("the store {} is damaged ({detail}); restore a backup, or move the file away to begin anew", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The file system can't hold it: the store needs shared memory and locks beside its file.
    #[error("the file system of {} can't hold a store (no write-ahead log); choose a folder on a local disk", .path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// The disk has no room for a new or migrated store.
    #[error("the disk that holds {} is full; free some space and start again", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("can't open the store {}: {detail}", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        detail: String,
    },
}

impl OpenError {
    /// What a failure of SQLite means while the file is being opened.
    pub(crate) fn from_sqlite(path: &std::path::Path, error: &rusqlite::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, detail },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, source: io::Error::other(detail) }
            }
            _ => Self::Other { path, detail },
        }
    }
}
