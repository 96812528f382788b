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

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use agent::locate::{self, ExactVersion, Platform};
use anyhow::{Context as _, bail};
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::MissedTickBehavior;

/// What is installed when no version is named: the newest that codexd is tested with.
pub(crate) const DEFAULT_VERSION: &str = "0.169.0";

/// The first version whose platforms are published one by one; before, one package brought all of them.
const FIRST_SPLIT: [u64; 3] = [0, 99, 0];

/// How long npm may take: 150 MB over a slow line.
const NPM_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// How long the new Codex may take to say its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// How often the size on disk is looked at, and whether another installation has ended.
const TICK: Duration = Duration::from_millis(500);

/// How much of npm's last words is shown.
const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 12;

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
    let version = version.unwrap_or(DEFAULT_VERSION);
    let Some(exact) = ExactVersion::parse(version) else {
        bail!(
            "`{version}` is not an exact version of Codex; give one such as {DEFAULT_VERSION} (ranges and tags such as `latest` \
             are not taken, so that what runs is what was asked for)"
        );
    };
    let Some(platform) = locate::platform() else {
        bail!(
            "Codex is not published for {} on {}; build it and name it with --codex-cmd",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    };

    let installed = std::path::absolute(installed_dir(store_dir)).context("can't tell where the store is")?;
    let target = installed.join(version);
    let done = |path: PathBuf, already, on: &mut dyn FnMut(Progress)| {
        on(Progress::Done { path: path.clone() });
        Ok(Installed { path, version: version.to_owned(), already })
    };
    if let Some(path) = locate::native_in(&target) {
        return done(path, true, &mut on);
    }

    let npm = Npm::find(path)?;
    create_private(&installed).with_context(|| format!("can't create `{}`", installed.display()))?;
    let lock = lock(&installed, || on(Progress::Waiting)).await?;
    // The other one may have installed the same.
    if let Some(path) = locate::native_in(&target) {
        return done(path, true, &mut on);
    }
    if lock.is_some() {
        remove_leftovers(&installed);
    }

    let mut partial = Partial::create(installed.join(format!("{version}.partial-{}", std::process::id())))?;
    npm.install(&partial.0, version, &exact, platform, path, &mut on).await?;

    on(Progress::Verifying);
    let Some(program) = locate::native_in(&partial.0) else {
        bail!("the package of Codex {version} brings no program for {}", platform.npm_suffix);
    };
    let said = ask_version(&program, &partial.0).await?;
    if said != version {
        bail!("the package of Codex {version} brings a program that calls itself `{said}`; it was not installed");
    }
    let folder = partial.0.clone();
    tokio::task::spawn_blocking(move || {
        remove_what_is_not_needed(&folder, platform);
        sync(&folder);
    })
    .await
    .context("can't finish the installation")?;

    // What lies there has no program in it, as was seen above.
    remove_tree(&target);
    rename(&partial.0, &target)
        .with_context(|| format!("can't rename `{}` to `{}`", partial.0.display(), target.display()))?;
    partial.0 = PathBuf::new();
    let path = locate::native_in(&target)
        .with_context(|| format!("Codex {version} has vanished from `{}`", target.display()))?;
    done(path, false, &mut on)
}

/// How npm is started.
struct Npm {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Npm {
    fn find(path: Option<&OsStr>) -> anyhow::Result<Self> {
        let Some(npm) = locate::find_on_path("npm", path, &[]) else {
            bail!(
                "`codexd codex install` needs npm, and none is on PATH (relative entries are not looked at); install Node.js \
                 with npm, or install Codex in another way and name it with --codex-cmd"
            );
        };
        Ok(Self::started_by(npm, path))
    }

    /// On Windows npm is a `npm.cmd`, and killing its shell would leave Node behind: start Node with npm's script instead.
    fn started_by(npm: PathBuf, path: Option<&OsStr>) -> Self {
        let script = npm.with_file_name("node_modules").join("npm/bin/npm-cli.js");
        if cfg!(windows)
            && script.is_file()
            && let Some(node) = locate::find_on_path("node", path, &[])
        {
            return Self { program: node, args: vec![script.into_os_string()] };
        }
        Self { program: npm, args: Vec::new() }
    }

    async fn install(
        &self,
        folder: &Path,
        version: &str,
        exact: &ExactVersion,
        platform: Platform,
        path: Option<&OsStr>,
        on: &mut impl FnMut(Progress),
    ) -> anyhow::Result<()> {
        on(Progress::Resolving);
        let started = Instant::now();
        let mut process = self.start(folder, version, exact, platform, path)?;
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
                    open = matches!(read, Ok(1..));
                    tail.extend_from_slice(&chunk[..read.unwrap_or(0)]);
                    tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
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
            tail.extend_from_slice(&chunk[..count]);
            tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        }

        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&tail);
        if said.contains("ETARGET") || said.contains("E404") {
            bail!(
                "npm knows no Codex {version} for {} (`npm view @openai/codex versions` lists what it knows){}",
                platform.npm_suffix,
                last_words(&tail)
            );
        }
        bail!("npm could not install Codex {version} ({status}){}", last_words(&tail));
    }

    fn start(
        &self,
        folder: &Path,
        version: &str,
        exact: &ExactVersion,
        platform: Platform,
        path: Option<&OsStr>,
    ) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg("install").arg(package(version, exact, platform));
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
        command.arg(format!("--os={}", platform.os)).arg(format!("--cpu={}", platform.cpu));
        command.arg("--prefix").arg(folder);
        if std::env::vars_os().all(|(name, _)| npm_setting(&name).as_deref() != Some("cache")) {
            command.arg("--cache").arg(folder.join(CACHE));
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| !npm_may_have(name)) {
            command.env_remove(name);
        }
        // npm is a script that looks Node up; relative entries would be looked up in whatever folder it runs in.
        let entries = path.map(std::env::split_paths).into_iter().flatten().filter(|entry| entry.is_absolute());
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

/// npm's cache, and a home for the Codex that is asked for its version.
const CACHE: &str = ".npm";
const HOME: &str = ".codex";

/// What npm is to install. Under its own name the package of a platform would be another version of `@openai/codex`; the
/// name is the one that the wrapper gives it.
fn package(version: &str, exact: &ExactVersion, platform: Platform) -> String {
    let suffix = platform.npm_suffix;
    if exact.core >= FIRST_SPLIT {
        format!("@openai/codex-{suffix}@npm:@openai/codex@{version}-{suffix}")
    } else {
        format!("@openai/codex@{version}")
    }
}

/// The npm setting that a variable makes, as npm reads it: any case, `-` and `_` alike.
fn npm_setting(variable: &OsStr) -> Option<String> {
    let name = variable.to_str()?.to_ascii_lowercase().replace('-', "_");
    name.strip_prefix("npm_config_").map(str::to_owned)
}

/// Whether npm may see a variable: none that says where or what to install, and none of ours, which may hold a token.
fn npm_may_have(variable: &OsStr) -> bool {
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

/// npm's last lines, below ours. Without where its log is: that goes with the partial folder.
fn last_words(tail: &[u8]) -> String {
    let said = String::from_utf8_lossy(tail);
    let lines: Vec<_> = said
        .lines()
        .map(|line| line.trim_end().replace(|letter: char| letter.is_control(), " "))
        .filter(|line| {
            !line.trim().is_empty() && !line.contains("complete log of this run") && !line.ends_with("-debug-0.log")
        })
        .collect();
    if lines.is_empty() {
        return "; it said nothing".to_owned();
    }
    let mut text = "; its last lines:".to_owned();
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        let _ = write!(text, "\n  {line}");
    }
    text
}

async fn ask_version(program: &Path, folder: &Path) -> anyhow::Result<String> {
    let home = folder.join(HOME);
    fs::create_dir_all(&home).with_context(|| format!("can't create `{}`", home.display()))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CODEX")) {
        command.env_remove(name);
    }
    command.arg("--version").env("CODEX_HOME", home).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_DEADLINE, command.output())
        .await
        .with_context(|| format!("the installed Codex did not say its version in {} s", VERSION_DEADLINE.as_secs()))?
        .context("the installed Codex does not start")?;
    if !output.status.success() {
        bail!("the installed Codex does not run ({}){}", output.status, last_words(&output.stderr));
    }
    // `codex-cli 0.169.0`
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned())
}

/// Waits until nobody else installs here. `None`: the file system has no locks.
async fn lock(installed: &Path, on_wait: impl FnOnce()) -> anyhow::Result<Option<fs::File>> {
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

/// The folder that npm installs into; removed when dropped, unless its name was taken away.
struct Partial(PathBuf);

impl Partial {
    fn create(folder: PathBuf) -> anyhow::Result<Self> {
        // Of an earlier process with our number, on a file system without locks.
        remove_tree(&folder);
        fs::create_dir(&folder).with_context(|| format!("can't create `{}`", folder.display()))?;
        let partial = Self(folder);
        // npm takes the nearest folder above that has one for its project.
        fs::write(partial.0.join("package.json"), "{\"private\":true}\n")
            .with_context(|| format!("can't write in `{}`", partial.0.display()))?;
        Ok(partial)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            remove_tree(&self.0);
        }
    }
}

fn remove_leftovers(installed: &Path) {
    for entry in fs::read_dir(installed).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let partial = name.to_str().and_then(|name| name.split_once(".partial-"));
        let is_one =
            |(version, pid): (&str, &str)| ExactVersion::parse(version).is_some() && pid.parse::<u32>().is_ok();
        if partial.is_some_and(is_one) {
            remove_tree(&entry.path());
        }
    }
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

fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|(_, length)| length).sum()
}

/// The name of a finished installation must not outlive its contents when the power fails. As good as the system allows.
fn sync(folder: &Path) {
    for (file, _) in files(folder) {
        if let Ok(file) = fs::File::open(file) {
            let _ = file.sync_all();
        }
    }
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

/// The store holds what people told Codex: when we are the first to create it, nobody else may look in.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A folder with an npm that is a shell script, and a store.
    struct Bench {
        folder: tempfile::TempDir,
        path: OsString,
    }

    impl Bench {
        /// `script` runs in the partial folder with npm's arguments; `$codex` is where the program of a platform goes.
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let Platform { npm_suffix, triple, .. } = locate::platform().unwrap();
            let npm = folder.path().join("npm");
            let codex = format!("node_modules/@openai/codex-{npm_suffix}/vendor/{triple}/bin");
            let text = format!("#!/bin/sh\nset -e\ncodex={codex}/codex\nmkdir -p {codex} .npm/_cacache\n{script}\n");
            fs::write(&npm, text).unwrap();
            fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
            let system = std::env::var_os("PATH").unwrap_or_default();
            let entries = [folder.path().to_owned()].into_iter().chain(std::env::split_paths(&system));
            let path = std::env::join_paths(entries).unwrap();
            Self { folder, path }
        }

        fn store(&self) -> PathBuf {
            self.folder.path().join("new/store")
        }

        async fn install(&self, version: &str) -> (anyhow::Result<Installed>, Vec<Progress>) {
            let mut seen = Vec::new();
            let done =
                install_with(&self.store(), Some(version), Some(&self.path), |progress| seen.push(progress)).await;
            (done, seen)
        }

        /// The text of the error, after which nothing may be left.
        async fn fails(&self, version: &str) -> String {
            let (done, _) = self.install(version).await;
            assert_eq!(self.left(), [""; 0]);
            done.unwrap_err().to_string()
        }

        fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(installed_dir(&self.store())).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name != ".lock").collect()
        }
    }

    const GOOD: &str = r#"printf '#!/bin/sh\necho codex-cli 0.169.0\n' > $codex; chmod +x $codex; echo "$@" > said"#;

    #[tokio::test]
    async fn installs_verifies_and_finds_it_again() {
        let bench = Bench::new(GOOD);
        let codex = installed_dir(&bench.store());
        let (done, seen) = bench.install("0.169.0").await;
        let done = done.unwrap();
        assert!(!done.already && done.path.starts_with(fs::canonicalize(codex.join("0.169.0")).unwrap()));
        assert_eq!(seen.first(), Some(&Progress::Resolving));
        assert!(seen.ends_with(&[Progress::Verifying, Progress::Done { path: done.path.clone() }]), "{seen:?}");
        assert_eq!(bench.left(), ["0.169.0"]);
        assert!(!codex.join("0.169.0/.npm").exists() && !codex.join("0.169.0/.codex").exists());
        assert_eq!(fs::metadata(bench.store()).unwrap().permissions().mode() & 0o777, 0o700);

        let said = fs::read_to_string(codex.join("0.169.0/said")).unwrap();
        let suffix = locate::platform().unwrap().npm_suffix;
        let wanted = format!("install @openai/codex-{suffix}@npm:@openai/codex@0.169.0-{suffix} --ignore-scripts ");
        assert!(said.starts_with(&wanted) && said.contains(&format!("--prefix {}", codex.display())), "{said}");

        let search = locate::Search { installed: codex, ..locate::Search::default() };
        assert_eq!(locate::locate(&search).unwrap().program, done.path);

        // Again, now without npm.
        let mut seen = Vec::new();
        let again = install_with(&bench.store(), None, None, |progress| seen.push(progress)).await.unwrap();
        assert_eq!(again, Installed { already: true, ..done.clone() });
        assert_eq!(seen, [Progress::Done { path: done.path }]);
    }

    #[tokio::test]
    async fn a_program_of_another_version_is_not_installed() {
        let bench = Bench::new(GOOD);
        assert!(bench.fails("0.168.0").await.contains("calls itself `0.169.0`"));
        let bench = Bench::new(r#"printf '#!/bin/sh\necho no such library >&2; exit 3\n' > $codex; chmod +x $codex"#);
        let text = bench.fails("0.169.0").await;
        assert!(text.contains("does not run") && text.contains("no such library"), "{text}");
        let text = Bench::new("rm -r node_modules").fails("0.169.0").await;
        assert!(text.contains("brings no program"), "{text}");
    }

    #[tokio::test]
    async fn npm_has_the_last_word_but_not_all_of_them() {
        let bench = Bench::new(
            "i=0; while [ $i -lt 3000 ]; do echo \"line $i\" >&2; i=$((i+1)); done\n\
             echo 'npm error code ETARGET' >&2; echo 'npm error A complete log of this run can be found in: /x' >&2; exit 1",
        );
        let text = bench.fails("0.168.0").await;
        assert!(text.starts_with("npm knows no Codex 0.168.0") && text.ends_with("npm error code ETARGET"), "{text}");
        assert_eq!(text.lines().count(), 1 + TAIL_LINES);
        let text = Bench::new("exit 7").fails("0.169.0").await;
        assert!(text.contains("exit status: 7") && text.contains("said nothing"), "{text}");
    }

    #[tokio::test]
    async fn what_is_asked_for_must_be_exact_and_npm_must_be_there() {
        let bench = Bench::new("exit 1");
        for version in ["latest", "^0.1", "0.169", "0.169.0-linux-x64", "", "../../x", "0.169.0 --global"] {
            let text = bench.fails(version).await;
            assert!(text.contains("is not an exact version"), "{version}: {text}");
        }
        for path in [None, Some(OsStr::new("")), Some(OsStr::new("bin:.:/nowhere"))] {
            let error = install_with(&bench.store(), None, path, |_| {}).await.unwrap_err().to_string();
            assert!(error.contains("needs npm") && error.contains("--codex-cmd"), "{error}");
        }
        assert!(!bench.store().exists());
    }

    #[tokio::test]
    async fn a_dropped_installation_leaves_nothing() {
        // The npm of a version manager: a parent that waits for the real one.
        let bench =
            Bench::new("echo package > node_modules/some; sh -c 'echo $$ > node_modules/pid; sleep 600'; exit 1");
        let partial = installed_dir(&bench.store()).join(format!("0.169.0.partial-{}", std::process::id()));
        let mut pid = None;
        let (written, mut is_written) = tokio::sync::mpsc::unbounded_channel();
        let store = bench.store();
        let installing = install_with(&store, None, Some(&bench.path), |_| {
            let text = fs::read_to_string(partial.join("node_modules/pid")).unwrap_or_default();
            let _ = text.trim().parse().map(|pid: i32| written.send(pid));
        });
        tokio::select! {
            done = installing => panic!("{done:?}"),
            seen = is_written.recv() => pid = pid.or(seen),
        }
        assert_eq!(bench.left(), [""; 0]);
        let pid = rustix::process::Pid::from_raw(pid.unwrap()).unwrap();
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid.as_raw_nonzero().get()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("npm's child lives on");
    }

    /// Dead, and nobody has asked for how it ended: a container may have no init that does.
    fn is_zombie(pid: i32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }

    #[tokio::test]
    async fn leftovers_of_the_dead_are_removed_and_nothing_else() {
        let bench = Bench::new(GOOD);
        let codex = installed_dir(&bench.store());
        for folder in
            ["0.98.0", "0.98.0.partial-1", "0.169.0.partial-4000000", "notes.partial-1", "0.169.0/node_modules"]
        {
            fs::create_dir_all(codex.join(folder).join("deep")).unwrap();
        }
        // Without a program in it, `0.169.0` is not an installation.
        assert!(!bench.install("0.169.0").await.0.unwrap().already);
        let mut left = bench.left();
        left.sort();
        assert_eq!(left, ["0.169.0", "0.98.0", "notes.partial-1"]);
    }

    #[tokio::test]
    async fn one_at_a_time() {
        // Two at once would find each other's mark.
        let bench = Bench::new(&format!("mkdir ../mark; sleep 0.2; rmdir ../mark; {GOOD}"));
        let (first, second) = tokio::join!(bench.install("0.169.0"), bench.install("0.169.0"));
        assert_eq!([first.0.unwrap().already, second.0.unwrap().already], [false, true]);
        assert_eq!(second.1.iter().filter(|progress| **progress == Progress::Waiting).count(), 1);
    }

    #[test]
    fn npm_is_not_told_to_install_elsewhere() {
        for bad in ["npm_config_prefix", "NPM_CONFIG_GLOBAL", "npm_config_dry-run", "CODEXD_TOKEN", "CODEX_THREAD_ID"] {
            assert!(!npm_may_have(OsStr::new(bad)), "{bad}");
        }
        // How to reach the network is the user's affair.
        for good in
            ["npm_config_registry", "npm_config_proxy", "npm_config_cafile", "npm_config_userconfig", "PATH", "HOME"]
        {
            assert!(npm_may_have(OsStr::new(good)), "{good}");
        }
    }

    #[test]
    fn only_old_versions_bring_all_platforms() {
        let platform = locate::platform().unwrap();
        let of = |version| package(version, &ExactVersion::parse(version).unwrap(), platform);
        assert_eq!(of("0.98.0"), "@openai/codex@0.98.0");
        assert!(of("0.99.0").contains("@npm:@openai/codex@0.99.0-"));
        assert!(of("0.162.0-alpha.15").contains("@npm:@openai/codex@0.162.0-alpha.15-"));
    }

    #[tokio::test]
    #[ignore = "downloads the package of CODEX_INSTALL_VERSION (0.169.0: 150 MB)"]
    async fn really_installs() {
        let store = tempfile::tempdir().unwrap();
        let version = std::env::var("CODEX_INSTALL_VERSION").ok();
        let started = Instant::now();
        let done = install(store.path(), version.as_deref(), |progress| println!("{progress:?}")).await.unwrap();
        println!("{done:?} in {:?}, {} bytes", started.elapsed(), size(store.path()));
    }
}
