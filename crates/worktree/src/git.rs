//! Which git, and where worktrees are.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::{
    Error, Tree, os,
    run::{Deadline, Overrides, Run, Said},
};

/// How many worktrees are worked on at once: each may read and write all files of a large repository.
const AT_ONCE: usize = 4;

/// The names of folders of ours among the worktrees. No session has an id with a dot.
pub(crate) const BENCH: &str = ".bench-";
pub(crate) const GONE: &str = ".gone-";

/// The hooks that what is done here could run. Newer versions of git know hooks that are named in the configuration, and switch them off by
/// their event; what is in a folder is switched off by `core.hooksPath`.
const HOOKS: [&str; 5] =
    ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "fsmonitor-watchman"];

/// The first version that lets the environment win over every file of configuration.
const OLDEST: (u32, u32) = (2, 32);

/// Git, and the folder in which worktrees are made; cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    program: Option<PathBuf>,
    home: PathBuf,
    limit: Duration,
    slots: Semaphore,
    known: OnceCell<()>,
}

impl Git {
    /// `program` is absolute, and nothing that an agent may write; `None` when there is none. `home` is the folder for worktrees; it is made
    /// with the first one, and is canonical as far as it is there. Everything that is asked for takes at most `limit`.
    #[must_use]
    pub fn new(program: Option<PathBuf>, home: PathBuf, limit: Duration) -> Self {
        let (slots, known) = (Semaphore::new(AT_ONCE), OnceCell::new());
        Self { inner: Arc::new(Inner { program, home, limit, slots, known }) }
    }

    /// No git: for who needs none.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(None, PathBuf::new(), Duration::ZERO)
    }

    /// The folder for worktrees.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.inner.home
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::within(self.inner.limit)
    }

    /// A place among those who work at once.
    pub(crate) async fn slot(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>, Error> {
        match tokio::time::timeout_at(deadline.at(), self.inner.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(deadline.passed()),
        }
    }

    /// Makes the folder for worktrees.
    pub(crate) fn make_home(&self) -> Result<(), Error> {
        match os::make_folder(self.home()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io(self.home(), error)),
            _ => Ok(()),
        }
    }

    /// Runs git with these variables and overrides.
    pub(crate) async fn run(
        &self,
        env: Vec<(&'static str, OsString)>,
        overrides: &Overrides,
        deadline: Deadline,
        args: &[&OsStr],
    ) -> Result<Said, Error> {
        let program = self.inner.program.as_deref().ok_or(Error::NoGit)?;
        let from = program.parent().unwrap_or(program);
        let run = Run { program, from, env, overrides, deadline };
        self.inner.known.get_or_try_init(|| new_enough(&run)).await?;
        run.git(args).await
    }

    /// What holds for every run: no hook, no watcher, no submodule, nothing by itself, and paths in the one form that is looked for.
    pub(crate) fn overrides(&self) -> Overrides {
        let nowhere = self.home().join(".no-hooks");
        let mut all: Overrides = [
            ("core.fsmonitor", "false"),
            ("submodule.recurse", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("worktree.useRelativePaths", "false"),
            ("core.longpaths", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        // A folder that is never there.
        all.push(("core.hooksPath".to_owned(), nowhere.to_string_lossy().into_owned()));
        all.extend(HOOKS.map(|hook| (format!("hook.{hook}.enabled"), "false".to_owned())));
        all
    }

    /// What a crash left of the bench, and of worktrees that were being removed; and the worktrees that are there. To be asked before
    /// anything else is, because afterwards it may be somebody's. Blocks the thread.
    #[must_use]
    pub fn leftovers(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(self.home()) else { return Default::default() };
        let (mut scraps, mut worktrees) = (Vec::new(), Vec::new());
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(BENCH) || name.starts_with(GONE) {
                scraps.push(path);
            } else if !name.starts_with('.') {
                worktrees.push(path);
            }
        }
        (scraps, worktrees)
    }

    /// Removes what a crash left. Blocks the thread.
    pub fn clear(&self, scraps: &[PathBuf]) {
        for path in scraps {
            if let Err(error) = remove_all(path) {
                tracing::warn!(%error, "{} can't be removed", path.display());
            }
        }
    }

    /// How somebody takes the worktree away by hand.
    #[must_use]
    pub fn by_hand(tree: &Tree) -> String {
        let (repository, path) = (quoted(&tree.repository), quoted(&tree.path));
        format!(
            "git -C {repository} worktree remove --force {path}, then git -C {repository} branch -D {}",
            tree.branch
        )
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_alphanumeric() || "/._-:\\".contains(char);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Removes a folder with everything in it, and nothing that links in it lead to.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            os::open_up(path);
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

async fn new_enough(run: &Run<'_>) -> Result<(), Error> {
    let said = run.git(&[OsStr::new("--version")]).await?;
    let text = String::from_utf8_lossy(&said.out).trim().to_owned();
    match version(&text) {
        Some(found) if said.success && found >= OLDEST => Ok(()),
        _ => Err(Error::OldGit(text)),
    }
}

/// The first two numbers of `git version 2.47.3 (Apple Git-1)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod version_tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, found) in [
            ("git version 2.47.3", Some((2, 47))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39))),
            ("git version 2.55.0.windows.1", Some((2, 55))),
            ("git version 3.0.0-rc1", Some((3, 0))),
            ("something else", None),
        ] {
            assert_eq!(version(text), found, "{text}");
        }
        assert!((2, 31) < OLDEST && (3, 0) > OLDEST);
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
