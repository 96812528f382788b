//! `codexd codex install`: a Codex of our own, beside whatever else is on the machine.
//!
//! # Theory of operation
//!
//! npm fetches one exact version, for this platform only and without running any script of the package, into
//! `<store-dir>/codex/<version>.partial-<pid>/`. The binary is asked for its version, the files are synced, and a rename
//! makes it `<store-dir>/codex/<version>/`: a folder of that name is a Codex that ran once. [`agent::locate`] takes the
//! newest of them when `PATH` has none.
//!
//! Nothing outside of that folder is written: npm's prefix, cache and logs are in it (the cache is the user's own when
//! `npm_config_cache` names one), settings that would make npm install elsewhere or otherwise are overruled, and the
//! home folder may be missing. Where npm downloads from is npm's own setting, never ours.
//!
//! One installation at a time for each store, by a lock that ends with its process; so a partial folder that is seen by
//! the holder of the lock was left by a dead one, and is removed. When the future is dropped, npm with all it started is
//! killed and the partial folder is removed; the caller must therefore turn Ctrl-C into dropping it.

mod folder;
mod last_words;
mod npm;
mod verify;
mod wanted;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::locate;
use anyhow::{Context as _, bail};

use folder::Partial;
use npm::Npm;
use wanted::Wanted;

/// What is installed when no version is named: the newest that codexd is tested with.
pub(crate) const DEFAULT_VERSION: &str = "0.169.0";

/// How long npm may take: 150 MB over a slow line.
const NPM_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// How often the size on disk is looked at, and whether another installation has ended.
const TICK: Duration = Duration::from_millis(500);

/// What an installation is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Another process is installing into the same store; told once.
    Waiting,
    /// npm was started and has not written anything yet.
    Resolving,
    /// Told twice a second.
    Downloading {
        /// The size of what was unpacked so far. 0.169.0 ends at about 420 MB, downloaded as 150 MB.
        bytes_on_disk: u64,
        /// Since npm was started.
        elapsed: Duration,
    },
    /// npm has finished; the binary is asked for its version and everything is synced to the disk.
    Verifying,
    /// It is there, or already was.
    Done {
        /// The binary.
        path: PathBuf,
    },
}

/// A Codex of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The binary.
    pub(crate) path: PathBuf,
    /// Its exact version.
    pub(crate) version: String,
    /// Whether it was there before.
    pub(crate) already: bool,
}

/// Where installations are: a folder for each version.
pub(crate) fn installed_dir(store_dir: &Path) -> PathBuf {
    store_dir.join("codex")
}

/// Installs an exact version of Codex, or finds that it is installed.
///
/// # Errors
///
/// Text for people: no exact version, no npm, npm's last lines, a binary that does not run or says another version.
/// Nothing of a failed installation stays on disk.
pub(crate) async fn install(
    store_dir: &Path,
    version: Option<&str>,
    on: impl FnMut(Progress),
) -> anyhow::Result<Installed> {
    install_with(store_dir, version, std::env::var_os("PATH").as_deref(), on).await
}

async fn install_with(
    store_dir: &Path,
    version: Option<&str>,
    path: Option<&OsStr>,
    mut on: impl FnMut(Progress),
) -> anyhow::Result<Installed> {
    let wanted = Wanted::parse(version.unwrap_or(DEFAULT_VERSION))?;
    let installed = std::path::absolute(installed_dir(store_dir)).context("can't tell where the store is")?;
    let (path, already) = match locate::native_in(&installed.join(wanted.version)) {
        Some(path) => (path, true),
        None => fetch(&wanted, &installed, path, &mut on).await?,
    };
    on(Progress::Done { path: path.clone() });
    Ok(Installed { path, version: wanted.version.to_owned(), already })
}

/// The binary, and whether another process has installed it while we waited for that one.
async fn fetch(
    wanted: &Wanted<'_>,
    installed: &Path,
    path: Option<&OsStr>,
    on: &mut impl FnMut(Progress),
) -> anyhow::Result<(PathBuf, bool)> {
    let Wanted { version, platform, .. } = wanted;
    let target = installed.join(version);
    let npm = Npm::find(path)?;
    folder::create_private(installed).with_context(|| format!("can't create `{}`", installed.display()))?;
    // Held to the end: what is declared later, the partial folder too, is dropped before it.
    let lock = folder::lock(installed, || on(Progress::Waiting)).await?;
    // The other one may have installed the same.
    if let Some(path) = locate::native_in(&target) {
        return Ok((path, true));
    }
    if lock.is_some() {
        folder::remove_leftovers(installed);
    }

    let partial = Partial::create(installed.join(format!("{version}.partial-{}", std::process::id())))?;
    npm.install(wanted, partial.path(), on).await?;

    on(Progress::Verifying);
    let Some(program) = locate::native_in(partial.path()) else {
        bail!("the package of Codex {version} brings no program for {}", platform.npm_suffix);
    };
    let said = verify::ask_version(&program, partial.path()).await?;
    if said != *version {
        bail!("the package of Codex {version} brings a program that calls itself `{said}`; it was not installed");
    }
    partial.finish(&target, *platform).await?;
    let path = locate::native_in(&target)
        .with_context(|| format!("Codex {version} has vanished from `{}`", target.display()))?;
    Ok((path, false))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
