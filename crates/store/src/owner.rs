//! Who has the store: one process at a time.
//!
//! The lock is the system's, on `store.lock`: it ends with the process, however that ends, so nothing has to be cleaned
//! up after a crash. `owner.json` beside it only tells others who it is; it is never trusted for more, and a stale one is
//! overwritten. The lock file itself stays: removing it would let two processes lock two files of the same name.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::{
    OpenError,
    private::{own, private_file, write_private},
};

/// The names of the lock and of the note.
const LOCK: &str = "store.lock";
const NOTE: &str = "owner.json";

/// How often the lock is tried, and how long is waited in between: somebody may only be looking at it ([`owner`]).
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(20);

/// Says who has the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    pid: u32,
    started_at: Timestamp,
}

/// Who has a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Its process; unknown in the moment in which it starts.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// Who has the store in this folder now; nobody when there is none.
///
/// # Errors
/// When the lock is there and can't be looked at.
pub fn owner(dir: &Path) -> io::Result<Option<Owned>> {
    let lock = match OpenOptions::new().read(true).write(true).open(dir.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Those who only look are in nobody's way but a starting daemon's, which tries again.
    match lock.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(noted(&dir.join(NOTE)))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Holds a store's folder, so that no daemon starts on it meanwhile; the store itself is not opened. Ends when it is dropped.
#[derive(Debug)]
pub struct Held {
    _owner: Owner,
}

/// Takes hold of a store's folder.
///
/// # Errors
/// When somebody has it.
pub fn hold(dir: &Path) -> Result<Held, OpenError> {
    Owner::take(dir).map(|owner| Held { _owner: owner })
}

fn noted(note: &Path) -> Owned {
    let note = fs::read(note).ok().and_then(|json| serde_json::from_slice::<Note>(&json).ok());
    let (pid, since) = note.map_or((None, None), |note| (Some(note.pid), Some(note.started_at)));
    Owned { pid, since }
}

/// The lock, held for as long as this lives.
#[derive(Debug)]
pub(crate) struct Owner {
    note: PathBuf,
    /// Closed after the note is gone, which releases the lock.
    _lock: File,
}

impl Owner {
    /// Takes the lock of this folder, or says who has it. Makes the folder when it is missing.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::NotWritable { path, source }
        };
        own(dir)?;
        let lock_path = dir.join(LOCK);
        let note_path = dir.join(NOTE);
        let lock = private_file(&lock_path).map_err(refused(&lock_path))?;
        let mut tries = 1;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    thread::sleep(AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    let Owned { pid, since } = noted(&note_path);
                    return Err(OpenError::Owned { dir: dir.to_owned(), pid, since });
                }
                Err(TryLockError::Error(source)) => return Err(refused(&lock_path)(source)),
            }
        }
        let owner = Self { note: note_path, _lock: lock };
        owner.write_note().map_err(refused(&owner.note))?;
        Ok(owner)
    }

    fn write_note(&self) -> io::Result<()> {
        let note = Note { pid: std::process::id(), started_at: Timestamp::now() };
        write_private(&self.note, &serde_json::to_vec(&note)?)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.note) {
            tracing::debug!(%error, "failed to remove the owner's note");
        }
    }
}
