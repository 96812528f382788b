//! Threads on disk: `$CODEX_HOME/fake-sessions/<id>.jsonl`, archived ones in `archived/` below it.
//!
//! A file is made when a thread has something worth keeping (a user's message, or injected items), as with the real one: a thread that
//! was only started cannot be resumed. Each line is a [`Record`]; a turn whose `ended` is missing was interrupted by the process's death.
//! While a process has a thread loaded it holds a lock on the file, and another one is refused.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fake_model::answers::Said;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of a thread's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub(crate) enum Record {
    /// The first line.
    Thread { cwd: String, model: String, created: u64, forked_from: Option<String> },
    /// The model and the effort in force from here on.
    Settings { model: String, effort: Option<String> },
    /// What was said before is this summary now, and the user's words.
    Compacted { summary: String },
    /// A message that was injected.
    Injected { role: String, text: String },
    /// A turn began.
    Begun { turn: String, started: u64 },
    /// A prompt that is remembered, and not recorded yet.
    Heard { text: String },
    /// This turn, and all that came after it, was taken out.
    Reverted { turn: String },
    /// A completed item.
    Item { turn: String, started: u64, item: Value },
    /// A turn's end.
    Ended { turn: String, status: String, error: Value, completed: u64 },
    /// A new name.
    Name { name: String },
}

/// Why a thread could not be read.
#[derive(Debug)]
pub(crate) enum Missing {
    NoRollout,
    Empty(PathBuf),
    Archived,
    Locked,
}

/// The folder of a `CODEX_HOME`.
#[derive(Debug)]
pub(crate) struct Sessions {
    folder: PathBuf,
}

impl Sessions {
    pub(crate) fn new(home: &Path) -> Self {
        Self { folder: home.join("fake-sessions") }
    }

    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.jsonl"))
    }

    pub(crate) fn archived_path(&self, id: &str) -> PathBuf {
        self.folder.join("archived").join(format!("{id}.jsonl"))
    }

    /// Makes the file of a new thread.
    pub(crate) fn create(&self, id: &str) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new().create(true).append(true).open(self.path(id))?;
        // A new file of ours: nobody else can hold it.
        let _ = file.try_lock();
        Ok(file)
    }

    /// Opens a thread for going on with it, and reads what it holds.
    pub(crate) fn open(&self, id: &str) -> Result<(File, Vec<Record>), Missing> {
        let path = self.path(id);
        if !path.exists() && self.archived_path(id).exists() {
            return Err(Missing::Archived);
        }
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(|_| Missing::NoRollout)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Missing::Locked),
            Err(TryLockError::Error(_)) => return Err(Missing::NoRollout),
        }
        let records = read(&path);
        if records.is_empty() { Err(Missing::Empty(path)) } else { Ok((file, records)) }
    }

    /// Reads a thread for a fork of it, whoever has it loaded.
    pub(crate) fn copy(&self, id: &str) -> Result<Vec<Record>, Missing> {
        if !self.path(id).exists() && self.archived_path(id).exists() {
            return Err(Missing::Archived);
        }
        self.peek(id)
    }

    /// Reads a thread that need not be loaded.
    pub(crate) fn peek(&self, id: &str) -> Result<Vec<Record>, Missing> {
        let path = [self.path(id), self.archived_path(id)].into_iter().find(|path| path.exists());
        let path = path.ok_or(Missing::NoRollout)?;
        let records = read(&path);
        if records.is_empty() { Err(Missing::Empty(path)) } else { Ok(records) }
    }

    /// The ids of all threads that are not archived.
    pub(crate) fn ids(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned()))
            .collect();
        // Ids begin with the time: newest first.
        ids.sort_by(|a, b| b.cmp(a));
        ids
    }

    pub(crate) fn archive(&self, id: &str) -> Result<(), Missing> {
        let to = self.archived_path(id);
        let moved = fs::create_dir_all(self.folder.join("archived")).and_then(|()| fs::rename(self.path(id), to));
        moved.map_err(|_| Missing::NoRollout)
    }

    pub(crate) fn unarchive(&self, id: &str) -> Result<(), Missing> {
        fs::rename(self.archived_path(id), self.path(id)).map_err(|_| Missing::NoRollout)
    }

    /// Removes a thread that this process has not loaded.
    pub(crate) fn delete(&self, id: &str) -> Result<(), Missing> {
        if let Err(Missing::Locked) = self.open(id) {
            return Err(Missing::Locked);
        }
        let removed = fs::remove_file(self.path(id)).or_else(|_| fs::remove_file(self.archived_path(id)));
        removed.map_err(|_| Missing::NoRollout)
    }
}

/// Appends records in one write.
pub(crate) fn append(mut file: &File, records: &[Record]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record)?;
        bytes.push(b'\n');
    }
    file.write_all(&bytes)
}

/// The records of a file, without what a kill left half written.
fn read(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What is left when what was taken out is.
pub(crate) fn without_reverted(records: Vec<Record>) -> Vec<Record> {
    let mut left: Vec<Record> = Vec::new();
    for record in records {
        let Record::Reverted { turn } = record else {
            left.push(record);
            continue;
        };
        let begun = |record: &Record| matches!(record, Record::Begun { turn: begun, .. } if *begun == turn);
        left.truncate(left.iter().position(begun).unwrap_or(left.len()));
    }
    left
}

/// A message of `thread/inject_items` or of a record, if it is one that is remembered.
pub(crate) fn injected(role: &str, text: String) -> Option<Said> {
    let role = match role {
        "user" => "user",
        "assistant" => "assistant",
        _ => return None,
    };
    Some(Said { role, text })
}
