//! The folder of the installations: one at a time, and nothing half done in it.

use std::{
    fs::{self, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent::locate::{ExactVersion, Platform};
use anyhow::{Context as _, bail};

use super::{NPM_DEADLINE, TICK};

/// npm's cache, and a home for the Codex that is asked for its version: both in the partial folder.
pub(super) const CACHE: &str = ".npm";
pub(super) const HOME: &str = ".codex";

/// The store holds what people told Codex: when we are the first to create it, nobody else may look in.
pub(super) fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Waits until nobody else installs here. `None`: the file system has no locks.
pub(super) async fn lock(installed: &Path, on_wait: impl FnOnce()) -> anyhow::Result<Option<fs::File>> {
    let path = installed.join(".lock");
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't open `{}`", path.display()))?;
    let started = Instant::now();
    let mut on_wait = Some(on_wait);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if started.elapsed() > NPM_DEADLINE => {
                bail!("another codexd has been installing into `{}` for too long", installed.display());
            }
            Err(TryLockError::WouldBlock) => {
                if let Some(on_wait) = on_wait.take() {
                    on_wait();
                }
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// Removes the partial folders of the dead. For the holder of the lock only.
pub(super) fn remove_leftovers(installed: &Path) {
    for entry in fs::read_dir(installed).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_partial = name
            .to_str()
            .and_then(|name| name.split_once(".partial-"))
            .is_some_and(|(version, pid)| ExactVersion::parse(version).is_some() && pid.parse::<u32>().is_ok());
        if is_partial {
            remove_tree(&entry.path());
        }
    }
}

/// The folder that npm installs into. What is there under its name when it is dropped is removed: nothing, once it is
/// finished.
pub(super) struct Partial(PathBuf);

impl Partial {
    pub(super) fn create(folder: PathBuf) -> anyhow::Result<Self> {
        // Of an earlier process with our number, on a file system without locks.
        remove_tree(&folder);
        fs::create_dir(&folder).with_context(|| format!("can't create `{}`", folder.display()))?;
        let partial = Self(folder);
        // npm takes the nearest folder above that has one for its project.
        fs::write(partial.0.join("package.json"), "{\"private\":true}\n")
            .with_context(|| format!("can't write in `{}`", partial.0.display()))?;
        Ok(partial)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it an installation. In its place there must be none.
    pub(super) async fn finish(self, target: &Path, platform: Platform) -> anyhow::Result<()> {
        let folder = self.0.clone();
        tokio::task::spawn_blocking(move || {
            remove_what_is_not_needed(&folder, platform);
            sync(&folder);
        })
        .await
        .context("can't finish the installation")?;
        // A folder without a program in it.
        remove_tree(target);
        rename(&self.0, target)
            .with_context(|| format!("can't rename `{}` to `{}`", self.0.display(), target.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        remove_tree(&self.0);
    }
}

/// npm's cache (a second copy of the package), the home of the test run, and the other platforms of an old package.
fn remove_what_is_not_needed(folder: &Path, platform: Platform) {
    remove_tree(&folder.join(CACHE));
    remove_tree(&folder.join(HOME));
    let vendor = folder.join("node_modules/@openai/codex/vendor");
    for entry in fs::read_dir(vendor).into_iter().flatten().flatten() {
        if entry.file_name() != platform.triple && entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
}

/// The name of a finished installation must not outlive its contents when the power fails. As good as the system allows.
fn sync(folder: &Path) {
    for (file, _) in files(folder) {
        if let Ok(file) = fs::File::open(file) {
            let _ = file.sync_all();
        }
    }
}

pub(super) fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|(_, length)| length).sum()
}

/// All files below a folder with their lengths. What vanishes meanwhile is left out.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) if meta.is_file() => files.push((entry.path(), meta.len())),
                _ => {}
            }
        }
    }
    files
}

/// Removes as much as possible. An npm that was killed just now may still write for some milliseconds, and Windows removes
/// no file that a dying process has open.
fn remove_tree(folder: &Path) {
    for _ in 0..40 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound || folder.exists() => {
                std::thread::sleep(Duration::from_millis(25));
            }
            _ => return,
        }
    }
}

/// Virus scanners on Windows hold a new program for a while after it ran.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let mut tries = if cfg!(windows) { 40 } else { 1 };
    loop {
        tries -= 1;
        match fs::rename(from, to) {
            Err(_) if tries > 0 => std::thread::sleep(Duration::from_millis(250)),
            done => return done,
        }
    }
}
