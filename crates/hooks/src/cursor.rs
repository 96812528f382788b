//! How far a hook was told, on disk: `hooks/NAME.json` in the store's folder.
//!
//! A file for each hook and not a row of the store: it changes with every event that is told, and a hook must not be in the way
//! of a turn's commit. One task has each file. It is synced before it takes the old one's place, so that a machine that loses its
//! power does not leave an empty one.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use types::EventId;

use crate::os;

/// The file of one hook.
#[derive(Debug, Clone)]
pub(crate) struct CursorFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    store_epoch: String,
    after: i64,
}

impl CursorFile {
    /// That of a hook. The folder is made when it is missing.
    pub(crate) fn of(store_dir: &Path, hook: &str) -> io::Result<Self> {
        let folder = store_dir.join("hooks");
        os::make_folder(&folder)?;
        Ok(Self { path: folder.join(format!("{hook}.json")) })
    }

    /// Up to which event of this store all was told. `None`: nobody knows, as for a new hook, or after a backup was restored.
    pub(crate) fn read(&self, epoch: &str) -> Option<EventId> {
        let kept: Kept = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (kept.store_epoch == epoch).then_some(EventId(kept.after))
    }

    /// Keeps it.
    pub(crate) fn write(&self, epoch: &str, after: EventId) -> io::Result<()> {
        let part = self.path.with_extension("json.part");
        let mut file = os::make_file(&part)?;
        file.write_all(&serde_json::to_vec(&Kept { store_epoch: epoch.to_owned(), after: after.0 })?)?;
        file.sync_data()?;
        drop(file);
        fs::rename(part, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_one_store_and_survives_being_broken() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::of(dir.path(), "a.b").unwrap();
        assert_eq!(file.read("e"), None);
        file.write("e", EventId(7)).unwrap();
        file.write("e", EventId(8)).unwrap();
        let same = CursorFile::of(dir.path(), "a.b").unwrap();
        assert_eq!((same.read("e"), same.read("other")), (Some(EventId(8)), None));
        assert_eq!(CursorFile::of(dir.path(), "a").unwrap().read("e"), None, "each hook has its own");
        fs::write(&file.path, "").unwrap();
        assert_eq!(file.read("e"), None);
    }
}
