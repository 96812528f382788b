//! npm: how it is started, watched and ended, and what it may see of our environment.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use agent::locate;
use anyhow::{Context as _, bail};
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::{io::AsyncReadExt as _, process::Command, time::MissedTickBehavior};

use super::{
    NPM_DEADLINE, Progress, TICK,
    folder::{CACHE, size},
    last_words::{keep, last_words},
    wanted::Wanted,
};

/// How npm is started.
pub(super) struct Npm<'a> {
    program: PathBuf,
    args: Vec<OsString>,
    /// The value of `PATH`.
    path: Option<&'a OsStr>,
}

impl<'a> Npm<'a> {
    pub(super) fn find(path: Option<&'a OsStr>) -> anyhow::Result<Self> {
        let Some(npm) = locate::find_on_path("npm", path, &[]) else {
            bail!(
                "`codexd codex install` needs npm, and none is on PATH (relative entries are not looked at); install Node.js \
                 with npm, or install Codex in another way and name it with --codex-cmd"
            );
        };
        Ok(Self::started_by(npm, path))
    }

    /// On Windows npm is a `npm.cmd`, and killing its shell would leave Node behind: start Node with npm's script instead.
    fn started_by(npm: PathBuf, path: Option<&'a OsStr>) -> Self {
        let script = npm.with_file_name("node_modules").join("npm/bin/npm-cli.js");
        if cfg!(windows)
            && script.is_file()
            && let Some(node) = locate::find_on_path("node", path, &[])
        {
            return Self { program: node, args: vec![script.into_os_string()], path };
        }
        Self { program: npm, args: Vec::new(), path }
    }

    /// Installs into a folder that is a project of its own.
    pub(super) async fn install(
        &self,
        wanted: &Wanted<'_>,
        folder: &Path,
        on: &mut impl FnMut(Progress),
    ) -> anyhow::Result<()> {
        on(Progress::Resolving);
        let started = Instant::now();
        let mut process = self.start(wanted, folder)?;
        let mut stderr = process.child.stderr().take().context("npm has no standard error")?;
        let mut tail = Vec::new();
        let mut chunk = [0; 1024];
        let mut open = true;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

        let status = loop {
            tokio::select! {
                status = process.child.wait() => break status.context("can't wait for npm")?,
                read = stderr.read(&mut chunk), if open => {
                    let count = read.unwrap_or(0);
                    open = count > 0;
                    keep(&mut tail, &chunk[..count]);
                }
                _ = ticks.tick() => {
                    let elapsed = started.elapsed();
                    if elapsed > NPM_DEADLINE {
                        bail!("npm did not finish in {} minutes{}", NPM_DEADLINE.as_secs() / 60, last_words(&tail));
                    }
                    let modules = folder.join("node_modules");
                    let bytes_on_disk = tokio::task::spawn_blocking(move || size(&modules)).await.unwrap_or(0);
                    if bytes_on_disk > 0 {
                        on(Progress::Downloading { bytes_on_disk, elapsed });
                    }
                }
            }
        };
        process.ended = true;
        // What npm said last may still be in the pipe. It is not waited for: a child of npm's may hold the other end.
        while let Ok(Ok(count @ 1..)) = tokio::time::timeout(Duration::from_millis(200), stderr.read(&mut chunk)).await
        {
            keep(&mut tail, &chunk[..count]);
        }

        if status.success() {
            return Ok(());
        }
        let version = wanted.version;
        let said = String::from_utf8_lossy(&tail);
        if said.contains("ETARGET") || said.contains("E404") {
            bail!(
                "npm knows no Codex {version} for {} (`npm view @openai/codex versions` lists what it knows){}",
                wanted.platform.npm_suffix,
                last_words(&tail)
            );
        }
        bail!("npm could not install Codex {version} ({status}){}", last_words(&tail));
    }

    fn start(&self, wanted: &Wanted<'_>, folder: &Path) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg("install").arg(wanted.package());
        command.args([
            "--ignore-scripts",
            "--no-save",
            "--no-package-lock",
            "--no-global",
            "--location=project",
            "--no-dry-run",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--no-progress",
            "--no-color",
            "--loglevel=error",
        ]);
        // The platform is ours, whatever Node itself was built for.
        command.arg(format!("--os={}", wanted.platform.os)).arg(format!("--cpu={}", wanted.platform.cpu));
        command.arg("--prefix").arg(folder);
        if std::env::vars_os().all(|(name, _)| npm_setting(&name).as_deref() != Some("cache")) {
            command.arg("--cache").arg(folder.join(CACHE));
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| !npm_may_have(name)) {
            command.env_remove(name);
        }
        // npm is a script that looks Node up; relative entries would be looked up in whatever folder it runs in.
        let entries = self.path.map(std::env::split_paths).into_iter().flatten().filter(|entry| entry.is_absolute());
        command.env("PATH", std::env::join_paths(entries).context("PATH can't be used")?);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());

        let mut wrap = CommandWrap::from(command);
        wrap.wrap(KillOnDrop);
        wrap.wrap(whole_family());
        let child = wrap.spawn().with_context(|| format!("can't start npm (`{}`)", self.program.display()))?;
        Ok(Process { child, ended: false })
    }
}

/// npm and what it started; killed when dropped.
struct Process {
    child: Box<dyn ChildWrapper>,
    ended: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number of a group that has ended may be another's by now.
        if !self.ended {
            // A failure means that it ended just now.
            let _ = self.child.start_kill();
        }
    }
}

/// A version manager's npm is the parent of the real one: both end together.
#[cfg(unix)]
fn whole_family() -> process_wrap::tokio::ProcessGroup {
    process_wrap::tokio::ProcessGroup::leader()
}

/// As on Unix, by a job.
#[cfg(windows)]
fn whole_family() -> process_wrap::tokio::JobObject {
    process_wrap::tokio::JobObject
}

/// The npm setting that a variable makes, as npm reads it: any case, `-` and `_` alike.
fn npm_setting(variable: &OsStr) -> Option<String> {
    let name = variable.to_str()?.to_ascii_lowercase().replace('-', "_");
    name.strip_prefix("npm_config_").map(str::to_owned)
}

/// Whether npm may see a variable: none that says where or what to install, and none of ours, which may hold a token.
pub(super) fn npm_may_have(variable: &OsStr) -> bool {
    const WHERE_AND_WHAT: [&str; 20] = [
        "also",
        "cpu",
        "dry_run",
        "global",
        "global_style",
        "ignore_scripts",
        "include_workspace_root",
        "install_links",
        "install_strategy",
        "legacy_bundling",
        "libc",
        "local_prefix",
        "location",
        "omit",
        "only",
        "os",
        "package_lock_only",
        "prefix",
        "workspace",
        "workspaces",
    ];
    let ours = variable.to_string_lossy().to_ascii_uppercase().starts_with("CODEX");
    !ours && npm_setting(variable).is_none_or(|setting| !WHERE_AND_WHAT.contains(&setting.as_str()))
}
