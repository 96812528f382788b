//! What is in the folder: the index, and the files of the sessions in the order in which they are read.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::{self, FileType},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::Deserialize;
use serde_json::{Map, Value};
use types::{DaemonFile, SessionId, Timestamp};

use crate::{ImportError, json, old::Listed, report::Damages};

/// The index of the first version, and what is left of one that was not finished.
const INDEX: &str = "sessions.json";
const INDEX_PART: &str = "sessions.json.tmp";

/// Our own files of JSON: the first version's folder may be ours, too.
const OURS: [&str; 2] = [DaemonFile::NAME, "owner.json"];

/// The index, as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct RawIndex {
    sessions: Map<String, Value>,
}

/// A file that should be a session.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: SessionId,
    /// When it was written.
    pub(crate) modified: Timestamp,
    /// In bytes, for the size of portions.
    pub(crate) size: u64,
    /// Why it is not read.
    pub(crate) not: Option<&'static str>,
}

impl Entry {
    pub(crate) fn file(&self) -> String {
        format!("{}.json", self.id)
    }
}

/// A folder of the first version.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Absolute.
    pub(crate) dir: PathBuf,
    /// The oldest first.
    pub(crate) entries: Vec<Entry>,
    /// The index by id.
    pub(crate) index: HashMap<String, Listed>,
    pub(crate) damaged: Damages,
    pub(crate) notes: Damages,
}

impl Scan {
    /// Lists a folder and reads its index.
    pub(crate) fn of(dir: &Path) -> Result<Self, ImportError> {
        let unreadable = |source: io::Error| ImportError::Unreadable { dir: dir.to_owned(), source };
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(ImportError::NotAFolder { dir: dir.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ImportError::NotAFolder { dir: dir.to_owned() });
            }
            Err(error) => return Err(unreadable(error)),
        }
        let mut scan = Self {
            dir: std::path::absolute(dir).map_err(unreadable)?,
            entries: Vec::new(),
            index: HashMap::new(),
            damaged: Damages::default(),
            notes: Damages::default(),
        };
        let mut index = None;
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if name == INDEX {
                index = Some(entry.file_type().map_err(unreadable)?);
            } else if name == INDEX_PART {
                scan.notes.push(INDEX_PART, "is what is left of an index that was not finished; it is not read");
            } else if let Some(id) = session_id(&name) {
                scan.entries.push(found(id, &entry));
            } else if name.to_string_lossy().ends_with(".json") && !OURS.iter().any(|ours| name == *ours) {
                let reason = "is skipped: a session's file is named by 12 hex digits (0-9, a-f) and .json";
                scan.notes.push(name.to_string_lossy(), reason);
            }
        }
        if index.is_none() && scan.entries.is_empty() {
            return Err(ImportError::NotAStore { dir: dir.to_owned() });
        }
        match index {
            None => scan.notes.push(INDEX, "is missing: the sessions come in by their own files alone"),
            Some(kind) => scan.read_index(kind),
        }
        let index = &scan.index;
        scan.entries.sort_by_cached_key(|entry| {
            let listed = index.get(entry.id.as_str()).and_then(|listed| listed.updated_at);
            (listed.unwrap_or(entry.modified), entry.id.clone())
        });
        Ok(scan)
    }

    fn read_index(&mut self, kind: FileType) {
        let read = match not_a_file(kind) {
            Some(reason) => Err(reason.to_owned()),
            None => json::read::<RawIndex>(&self.dir.join(INDEX), "an index of sessions"),
        };
        let raw = match read {
            Ok(raw) => raw,
            Err(reason) => {
                let reason = format!("{reason}; the sessions come in by their own files alone");
                self.damaged.push(INDEX, reason);
                return;
            }
        };
        let files: HashSet<&str> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
        for (id, entry) in raw.sessions {
            let Some(id) = session_id(OsStr::new(&format!("{id}.json"))) else {
                self.damaged.push(INDEX, format!("lists {id:?}, which is no session's id (12 hex digits)"));
                continue;
            };
            if !files.contains(id.as_str()) {
                self.damaged.push(format!("{id}.json"), "listed in sessions.json, but there is no file");
                continue;
            }
            let Value::Object(entry) = entry else {
                self.notes.push(INDEX, format!("what it says of {id} is not an object, and is left out"));
                continue;
            };
            let mut notes = Vec::new();
            let listed = Listed::read(&entry, &mut notes);
            for note in notes {
                self.notes.push(INDEX, format!("of {id}: {note}"));
            }
            self.index.insert(id.as_str().to_owned(), listed);
        }
    }
}

/// The id in the name of a session's file.
fn session_id(name: &OsStr) -> Option<SessionId> {
    let id = name.to_str()?.strip_suffix(".json")?;
    let hex = id.len() == 12 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex { SessionId::parse(id).ok() } else { None }
}

/// What is known of it without opening it. What can't be looked at can't be read either, and that has a reason to tell.
fn found(id: SessionId, entry: &fs::DirEntry) -> Entry {
    let metadata = entry.metadata().ok();
    let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Entry {
        id,
        modified: Timestamp::from_millis(i64::try_from(modified.as_millis()).unwrap_or(0)),
        size: metadata.as_ref().map_or(0, fs::Metadata::len),
        not: metadata.and_then(|metadata| not_a_file(metadata.file_type())),
    }
}

/// Links are not followed: the folder may be somebody else's, and lead to what only this user may read. What is no file may
/// never end.
fn not_a_file(kind: FileType) -> Option<&'static str> {
    if kind.is_symlink() {
        Some("is a symbolic link, which is not followed; put the file itself there and import again")
    } else if kind.is_dir() {
        Some("is a folder, not a file")
    } else if kind.is_file() {
        None
    } else {
        Some("is not a regular file")
    }
}
