//! A backup, while a daemon runs or without one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use types::Timestamp;

use super::{CareError, FILE, MARK, folder, number, open, sync_folder, unsound, version};

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a backup has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// So many sessions.
    pub sessions: u64,
    /// So many turns.
    pub turns: u64,
    /// The number of its last event.
    pub last_event: u64,
}

/// Writes the store of this folder, as it is now, into a file. `progress` is told how many bytes of about how many are written, and
/// says whether to go on. Blocks the thread.
///
/// # Errors
/// Then there is no such file, or the one that was there is as it was.
pub fn backup(
    dir: &Path,
    file: &Path,
    overwrite: bool,
    mut progress: impl FnMut(u64, u64) -> bool + Send,
) -> Result<Backup, CareError> {
    let store = dir.join(FILE);
    if !store.is_file() {
        return Err(CareError::NoStore(dir.to_owned()));
    }
    if file.exists() && is_same(file, &store) {
        return Err(CareError::Itself(file.to_owned()));
    }
    if file.exists() && !overwrite {
        return Err(CareError::Exists(file.to_owned()));
    }
    let place = folder(file);
    let part = tempfile::Builder::new().prefix(".codexd-backup-").tempfile_in(place).map_err(CareError::file(place))?;
    let source = open(&store)?;
    version(&source, &store)?;
    copy(&source, &store, part.path(), &mut progress)?;
    drop(source);
    let (path, failed) = (part.path(), CareError::sqlite(file));
    let conn = open(path)?;
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (MARK, Timestamp::now().to_string()))
        .map_err(&failed)?;
    if let Some(detail) = unsound(&conn).map_err(&failed)?.into_iter().next() {
        let advice = "the store itself may be: look with `codexd check`";
        return Err(CareError::Damaged { path: file.to_owned(), detail, advice });
    }
    let count = |sql: &str| number(&conn, sql).map_err(&failed);
    let (sessions, turns) = (count("SELECT count(*) FROM sessions")?, count("SELECT count(*) FROM turns")?);
    let last_event = count("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")?;
    conn.close().map_err(|(_, error)| failed(error))?;
    part.as_file().sync_all().map_err(CareError::file(file))?;
    let bytes = fs::metadata(path).map_err(CareError::file(file))?.len();
    let moved = if overwrite { part.persist(file) } else { part.persist_noclobber(file) };
    moved.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => CareError::Exists(file.to_owned()),
        _ => CareError::File { path: file.to_owned(), source: error.error },
    })?;
    sync_folder(place)?;
    Ok(Backup { file: file.to_owned(), bytes, sessions, turns, last_event })
}

pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// SQLite says nothing while it copies: the growing file does.
fn copy(
    source: &Connection,
    store: &Path,
    part: &Path,
    progress: &mut (impl FnMut(u64, u64) -> bool + Send),
) -> Result<(), CareError> {
    let failed = CareError::sqlite(store);
    let text = part.to_str().ok_or_else(|| {
        CareError::file(part)(io::Error::new(io::ErrorKind::InvalidInput, "the name of the folder is not UTF-8"))
    })?;
    let pages = "SELECT (p.page_count - f.freelist_count) * s.page_size \
        FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s";
    let of = number(source, pages).map_err(&failed)?;
    // Also a copy that takes no time has a moment at which it can be stopped.
    if !progress(0, of) {
        return Err(CareError::Stopped);
    }
    let stop = source.get_interrupt_handle();
    let (done, ended) = sync_channel::<()>(0);
    let part = part.to_owned();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut goes_on = true;
            while ended.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
                let written = fs::metadata(&part).map_or(0, |found| found.len());
                goes_on = goes_on && progress(written.min(of), of);
                if !goes_on {
                    stop.interrupt();
                }
            }
            goes_on
        });
        let result = source.execute("VACUUM INTO ?1", [text]).map(drop).map_err(&failed);
        drop(done);
        // Who stops it at its last moment is too late for SQLite, and is obeyed all the same.
        match watch.join() {
            Ok(true) => result,
            Ok(false) => Err(CareError::Stopped),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
