//! A backup becomes the store again.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use types::Timestamp;

use super::{CareError, FILE, MARK, backup::is_same, number, open, sync_folder, unsound, version};
use crate::owner::Owner;

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// So many sessions.
    pub sessions: u64,
    /// So many turns.
    pub turns: u64,
    /// Where the store is that was there before.
    pub kept: Option<PathBuf>,
}

/// Puts a backup in the place of this folder's store, which must have no daemon. What was there is kept beside it. Blocks the
/// thread.
///
/// # Errors
/// Then the store is as it was.
pub fn restore(dir: &Path, file: &Path) -> Result<Restored, CareError> {
    let store = dir.join(FILE);
    if !file.is_file() {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no such file");
        return Err(CareError::File { path: file.to_owned(), source });
    }
    if is_same(file, &store) {
        return Err(CareError::Itself(file.to_owned()));
    }
    let owner = Owner::take(dir)?;
    let mut part =
        tempfile::Builder::new().prefix(".codexd-restore-").tempfile_in(dir).map_err(CareError::file(dir))?;
    let mut from = File::open(file).map_err(CareError::file(file))?;
    io::copy(&mut from, part.as_file_mut()).map_err(CareError::file(dir))?;
    let (sessions, turns) = prepared(part.path(), file)?;
    part.as_file().sync_all().map_err(CareError::file(dir))?;
    let kept = if store.exists() { Some(keep(dir, &store)?) } else { None };
    part.persist(&store).map_err(|error| CareError::File { path: store.clone(), source: error.error })?;
    sync_folder(dir)?;
    drop(owner);
    Ok(Restored { sessions, turns, kept })
}

/// Looks at what is to become the store, and marks it: a copy of a store that was made in another way has no mark.
fn prepared(path: &Path, file: &Path) -> Result<(u64, u64), CareError> {
    let conn = open(path)?;
    version(&conn, file).map_err(|error| match error {
        CareError::NotAStore(_) => CareError::NotAStore(file.to_owned()),
        other => other,
    })?;
    let failed = CareError::sqlite(file);
    if let Some(detail) = unsound(&conn).map_err(&failed)?.into_iter().next() {
        return Err(CareError::Damaged { path: file.to_owned(), detail, advice: "take an older backup" });
    }
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (MARK, Timestamp::now().to_string()))
        .map_err(&failed)?;
    let count = |sql: &str| number(&conn, sql).map_err(&failed);
    let counts = (count("SELECT count(*) FROM sessions")?, count("SELECT count(*) FROM turns")?);
    // One that has a log beside it leaves it with the last connection.
    conn.close().map_err(|(_, error)| failed(error))?;
    Ok(counts)
}

/// Gives the store that is there another name besides, and takes its log away.
fn keep(dir: &Path, store: &Path) -> Result<PathBuf, CareError> {
    let now: String = Timestamp::now().to_string().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let name = format!("{FILE}.before-{now}");
    let kept = dir.join(&name);
    // The last connection takes the log into the file and removes it. A damaged file keeps its log, under the name that belongs to
    // the new one.
    if let Ok(conn) = open(store) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = Connection::close(conn);
    }
    for end in ["-wal", "-shm"] {
        let (log, beside) = (dir.join(format!("{FILE}{end}")), dir.join(format!("{name}{end}")));
        match fs::rename(&log, beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(CareError::file(&log)(error)),
            _ => {}
        }
    }
    // At no moment is there no store: a daemon that starts then would make an empty one.
    if fs::hard_link(store, &kept).is_err() {
        fs::rename(store, &kept).map_err(CareError::file(&kept))?;
    }
    Ok(kept)
}
