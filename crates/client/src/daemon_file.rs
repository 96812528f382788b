//! Reading `daemon.json`: where a daemon can be reached.

use std::{fs, io, path::Path};

use types::DaemonFile;

use crate::Error;

/// Reads the file of a store's daemon. A daemon that was killed leaves it behind: it says where to knock, not that
/// somebody is there.
pub(crate) fn read(store_dir: &Path) -> Result<DaemonFile, Error> {
    let path = store_dir.join(DaemonFile::NAME);
    let json = match fs::read(&path) {
        Ok(json) => json,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(Error::NoDaemon { store_dir: store_dir.to_owned(), stale: false });
        }
        Err(error) => return Err(Error::DaemonFile { path, reason: error.to_string() }),
    };
    serde_json::from_slice(&json).map_err(|error| Error::DaemonFile { path, reason: error.to_string() })
}
