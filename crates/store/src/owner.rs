//! Who has the store: one process at a time.
//!
//! The lock is the system's, on `store.lock`: it ends with the process, however that ends, so nothing has to be cleaned
//! up after a crash. `owner.json` beside it only tells others who it is; it is never trusted for more, and a stale one is
//! overwritten. The lock file itself stays: removing it would let two processes lock two files of the same name.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::{
    OpenError,
    private::{own, private_file, write_private},
};

/// Says who has the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    pid: u32,
    started_at: Timestamp,
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
        let lock_path = dir.join("store.lock");
        let note_path = dir.join("owner.json");
        let lock = private_file(&lock_path).map_err(refused(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let note = fs::read(&note_path).ok().and_then(|json| serde_json::from_slice::<Note>(&json).ok());
                let (pid, since) = note.map_or((None, None), |note| (Some(note.pid), Some(note.started_at)));
                return Err(OpenError::Owned { dir: dir.to_owned(), pid, since });
            }
            Err(TryLockError::Error(source)) => return Err(refused(&lock_path)(source)),
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
