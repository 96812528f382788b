//! `daemon.json`: where a daemon can be reached.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::Error;

/// What a daemon writes into its store dir once it listens, and removes when it stops. One that was killed leaves it
/// behind: it says where to knock, not that somebody is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonFile {
    /// The daemon's process.
    pub pid: u32,
    /// When it began to listen.
    pub started_at: Timestamp,
    /// Its version.
    pub version: String,
    /// `http://HOST:PORT`, if it listens on TCP.
    pub http: Option<String>,
    /// The path of its Unix socket, if it has one. Not always in the store dir: such a path has 107 bytes at most.
    pub socket: Option<PathBuf>,
}

impl DaemonFile {
    /// The file of the daemon of a store.
    #[must_use]
    pub fn path(store_dir: &Path) -> PathBuf {
        store_dir.join("daemon.json")
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::NoDaemon`] when there is none, [`Error::DaemonFile`] when it can't be read.
    pub fn read(store_dir: &Path) -> Result<Self, Error> {
        let path = Self::path(store_dir);
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(Error::NoDaemon { store_dir: store_dir.to_owned(), stale: false });
            }
            Err(error) => return Err(Error::DaemonFile { path, reason: error.to_string() }),
        };
        serde_json::from_slice(&json).map_err(|error| Error::DaemonFile { path, reason: error.to_string() })
    }
}
