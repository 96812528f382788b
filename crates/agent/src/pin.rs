//! Which program Codex is: its hash, kept from one start to the next, so that a change is told.
//!
//! # Theory of operation
//!
//! At each start of Codex the file is looked at. One with the path, size, times and number (inode) that it had before is the one that it was,
//! and is not read; any other is read once, in pieces. When what is in it is not what was there before, or it is another file, the pin
//! says what it was before, for as long as it stays so.
//!
//! It tells, and keeps nothing from being run: an operator updates Codex whenever they like, and a file may be exchanged between two
//! looks at it. Of a script the script is looked at, not what runs it.

#[cfg(unix)]
#[path = "pin/unix.rs"]
mod os;
#[cfg(windows)]
#[path = "pin/windows.rs"]
mod os;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use types::{
    Timestamp,
    agent::{AgentInfo, Pinned, PinnedBefore},
};

/// So much is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// What is known of the program, as it is kept for the next codexd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// What is told of it.
    pub pinned: Pinned,
    /// By what the file is known.
    file: String,
}

impl Pin {
    /// Looks at the program. Blocks, for as long as reading it takes; ends early, with an error, when `stopped`.
    pub(crate) fn of(program: &Path, before: Option<&Self>, stopped: impl Fn() -> bool) -> io::Result<Self> {
        let mut opened = File::open(program)?;
        let (path, file) = (program.display().to_string(), os::identity(&opened.metadata()?));
        if let Some(before) = before.filter(|before| before.pinned.path == path && before.file == file) {
            return Ok(before.clone());
        }
        let sha256 = hash(&mut opened, stopped)?;
        let pinned = match before.map(|before| &before.pinned) {
            Some(same) if same.path == path && same.sha256 == sha256 => same.clone(),
            other => {
                let previous =
                    other.map(|other| PinnedBefore { path: other.path.clone(), sha256: other.sha256.clone() });
                Pinned { path, sha256, since: Timestamp::now(), previous }
            }
        };
        Ok(Self { pinned, file })
    }
}

/// Where it is told what the program is.
#[derive(Clone)]
pub(crate) struct Pins {
    /// For the next codexd.
    pub(crate) kept: watch::Sender<Option<Pin>>,
    /// For whoever asks.
    pub(crate) info: watch::Sender<AgentInfo>,
}

impl Pins {
    /// Looks at the program beside whatever else is done, and tells what it is.
    pub(crate) fn look(&self, program: PathBuf, stopped: impl Fn() -> bool + Send + 'static) -> JoinHandle<()> {
        let Self { kept, info } = self.clone();
        spawn_blocking(move || {
            let before = kept.borrow().clone();
            match Pin::of(&program, before.as_ref(), stopped) {
                Ok(found) if before.as_ref() == Some(&found) => {}
                Ok(found) => {
                    if before.is_none_or(|before| before.pinned != found.pinned) {
                        tell(&found.pinned);
                    }
                    info.send_modify(|info| info.pinned = Some(found.pinned.clone()));
                    kept.send_replace(Some(found));
                }
                Err(error) => tracing::warn!(%error, program = %program.display(), "what Codex is can't be read"),
            }
        })
    }
}

fn tell(Pinned { path, sha256, previous, .. }: &Pinned) {
    match previous {
        None => tracing::info!(path, sha256, "Codex is this program"),
        Some(was) => {
            let (was, was_sha256) = (&was.path, &was.sha256);
            tracing::warn!(path, sha256, was, was_sha256, "Codex is another program than at its last start");
        }
    }
}

fn hash(file: &mut File, stopped: impl Fn() -> bool) -> io::Result<String> {
    let (mut sum, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        if stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => sum.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn look(path: &Path, before: Option<&Pin>) -> Pin {
        Pin::of(path, before, || false).unwrap()
    }

    #[test]
    fn what_is_in_it_counts_and_a_change_says_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("codex");
        fs::write(&program, "hello").unwrap();
        let first = look(&program, None);
        assert_eq!((first.pinned.sha256.as_str(), &first.pinned.previous), (HELLO, &None));
        assert_eq!(first.pinned.path, program.display().to_string());

        // The same again, written anew.
        fs::remove_file(&program).unwrap();
        fs::write(&program, "hello").unwrap();
        let same = look(&program, Some(&first));
        assert_eq!(same.pinned, first.pinned);
        assert_ne!(same.file, first.file);

        // Of the same size, and in place.
        fs::write(&program, "jello").unwrap();
        let other = look(&program, Some(&same));
        let before = other.pinned.previous.clone().unwrap();
        assert_eq!((before.sha256.as_str(), &before.path), (HELLO, &first.pinned.path));
        assert_ne!(other.pinned.sha256, HELLO);
        // And it says so until the next change.
        assert_eq!(look(&program, Some(&other)), other);

        // Another file with the same in it is another program.
        let elsewhere = dir.path().join("codex-2");
        fs::write(&elsewhere, "jello").unwrap();
        let moved = look(&elsewhere, Some(&other));
        assert_eq!(moved.pinned.previous.map(|before| before.path), Some(other.pinned.path));
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("codex");
        fs::write(&program, "hello").unwrap();
        let first = look(&program, None);
        // Reading it would be stopped at once.
        assert_eq!(Pin::of(&program, Some(&first), || true).unwrap(), first);
        fs::write(&program, "hello!").unwrap();
        assert!(Pin::of(&program, Some(&first), || true).is_err());
    }

    #[test]
    fn it_comes_back_from_where_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("codex");
        fs::write(&program, vec![7; 3 * PIECE + 1]).unwrap();
        let first = look(&program, None);
        let kept = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<Pin>(&kept).unwrap(), first);
        assert!(Pin::of(&dir.path().join("nothing"), None, || false).is_err());
    }
}
