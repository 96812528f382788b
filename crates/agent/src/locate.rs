//! Which program is Codex.
//!
//! # Theory of operation
//!
//! A command given by the operator wins, then `codex` on `PATH`, then the newest that `codexd codex install` put into the
//! store. What is found is looked through: npm, pnpm and bun put a Node script in front of the native binary, and killing
//! that script leaves the binary behind, so [`locate`] answers with the binary itself and with what the script would have
//! set for it ([`Located::changes`]). A program that is not the npm wrapper (a build from elsewhere, a version manager's
//! shim, a stub of a test) is run as it is.
//!
//! **Nothing that an agent may write is ever run.** A program is refused when it, or any symlink on the way to it, lies
//! in one of [`Search::roots`]; so is a script that is named as an argument. Relative `PATH` entries mean the folder that
//! somebody happens to stand in, and are skipped.
//!
//! Nothing is started here and nothing is read from the environment: the answer is a function of [`Search`] and the disk.
//! What was passed over on the way is told ([`PassedOver`]), so that `codexd doctor` can say why a Codex that is there is
//! not the one that runs.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// What npm calls the wrapper package.
const PACKAGE: &str = "@openai/codex";

/// Says which package manager owns Codex; the wrapper sets one of them and deletes the others.
const MANAGED_BY: [&str; 4] =
    ["CODEX_MANAGED_BY_NPM", "CODEX_MANAGED_BY_BUN", "CODEX_MANAGED_BY_PNPM", "CODEX_MANAGED_BY_VITE_PLUS"];

/// Where the wrapper package lies (0.153.4 and later); Codex reads it to update itself.
const MANAGED_ROOT: &str = "CODEX_MANAGED_PACKAGE_ROOT";

/// A shim that is longer than this is not one.
const SHIM_LIMIT: u64 = 16 * 1024;

/// As many symlinks as Linux follows in one path.
const LINK_LIMIT: usize = 40;

/// Where to look for Codex.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--codex-cmd`: a file, a bare name that is looked up on [`Search::path`], or a command line with leading arguments
    /// (`node /opt/codex.js`), cut at whitespace outside of quotes unless the whole of it names a file.
    pub explicit: Option<OsString>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Folders that agents may write in: nothing under them is ever run. A whole file system (`/`, `C:\`) is not counted,
    /// since nothing would be left to run.
    pub roots: Vec<PathBuf>,
    /// `<store-dir>/codex`: a folder for each version that `codexd codex install` installed.
    pub installed: PathBuf,
}

/// Where a Codex was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Named by the operator.
    Explicit,
    /// Found on `PATH`.
    Path,
    /// Installed by `codexd codex install`.
    Installed,
}

/// A Codex that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What to start: absolute. Canonical when it is a Codex by name; any other program keeps the name it was found by,
    /// because the shims of version managers and the interpreters of virtual environments look at it.
    pub program: PathBuf,
    /// Leading arguments, before `app-server` or `mcp-server`. Usually none.
    pub args: Vec<OsString>,
    /// Where it was found.
    pub source: Source,
    /// The npm wrapper or shim that led to it.
    pub via: Option<PathBuf>,
    /// Folders that go in front of `PATH` (up to about 0.130 the wrapper adds its own ripgrep; later binaries find it).
    pub path_prefix: Vec<PathBuf>,
    /// Variables to set, as the wrapper does.
    pub env: Vec<(&'static str, OsString)>,
    /// Variables to remove first: what another Codex, of which we may be a child, left in our environment.
    pub env_remove: Vec<&'static str>,
    /// What would have come first, had it been usable.
    pub passed_over: Vec<PassedOver>,
}

impl Located {
    /// What the environment of the child must have, given the `PATH` that it would inherit: `None` removes a variable.
    #[must_use]
    pub fn changes(&self, path: Option<&OsStr>) -> Vec<(&'static str, Option<OsString>)> {
        let mut changes: Vec<_> = self.env_remove.iter().map(|name| (*name, None)).collect();
        changes.extend(self.env.iter().map(|(name, value)| (*name, Some(value.clone()))));
        if !self.path_prefix.is_empty() {
            // An empty entry means the current folder; the wrapper drops them as well.
            let inherited =
                path.map(std::env::split_paths).into_iter().flatten().filter(|entry| !entry.as_os_str().is_empty());
            if let Ok(joined) = std::env::join_paths(self.path_prefix.iter().cloned().chain(inherited)) {
                changes.push(("PATH", Some(joined)));
            }
        }
        changes
    }
}

/// Something that looked like Codex and was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The `PATH` entry, program or installation.
    pub path: PathBuf,
    /// Why not.
    pub reason: Reason,
}

/// Why something was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A relative `PATH` entry.
    Relative,
    /// It, or a symlink on the way to it, lies in this folder that agents may write in.
    InsideRoot(PathBuf),
    /// A file that may not be executed.
    NotExecutable,
    /// A wrapper without its native binary, which was expected at these places.
    NoNative(Vec<PathBuf>),
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::Relative => write!(f, "`{path}` on PATH is relative"),
            Reason::InsideRoot(root) => {
                write!(f, "`{path}` lies in, or is reached through, `{}`, where agents may write", root.display())
            }
            Reason::NotExecutable => write!(f, "`{path}` is not executable"),
            Reason::NoNative(_) => write!(f, "`{path}` lacks its native binary"),
        }
    }
}

/// Why there is no Codex to start. Each text says what was looked for, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// `--codex-cmd` is empty.
    #[error("the Codex command is empty; give --codex-cmd a program, or leave it out to use `codex` on PATH")]
    Empty,
    /// A quote in `--codex-cmd` is not closed.
    #[error("the Codex command `{0}` has a quote that is not closed; correct --codex-cmd")]
    OpenQuote(String),
    /// What `--codex-cmd` names is not there.
    #[error("no program `{}` {}; correct --codex-cmd, or leave it out to use `codex` on PATH", .program.display(), Places(.on_path, .passed_over))]
    NoSuchProgram {
        /// The first word of the command, or its file.
        program: PathBuf,
        /// Whether it is a bare name, which is looked up on `PATH`.
        on_path: bool,
        /// What was seen on the way.
        passed_over: Vec<PassedOver>,
    },
    /// What `--codex-cmd` names can't be started.
    #[error("`{}` is not a program that may be executed; correct --codex-cmd, or make the file executable", .0.display())]
    NotExecutable(PathBuf),
    /// What `--codex-cmd` names may be written by agents.
    #[error(
        "`{}` lies in, or is reached through, `{}`, where agents may write, and is therefore not run; name a Codex elsewhere with --codex-cmd, or take that folder from the roots",
        .program.display(), .root.display()
    )]
    InsideRoot {
        /// The program or script.
        program: PathBuf,
        /// The root that it lies in.
        root: PathBuf,
    },
    /// The npm wrapper is there, the optional dependency with the native binary is not.
    #[error(
        "found the npm wrapper `{}`, but not the native Codex that it starts (npm's optional dependency {package}; looked for {}); install @openai/codex again, or run `codexd codex install`, or name another with --codex-cmd",
        .wrapper.display(), Paths(.expected)
    )]
    NoNative {
        /// The wrapper.
        wrapper: PathBuf,
        /// The package that should bring the native binary.
        package: String,
        /// The places that were looked at.
        expected: Vec<PathBuf>,
    },
    /// There is no Codex anywhere.
    #[error("no Codex found: no usable `codex` on PATH ({}) and none in `{}`; run `codexd codex install`, or name one with --codex-cmd", Seen(*.entries, .passed_over), .installed.display())]
    NotFound {
        /// How many entries `PATH` has.
        entries: usize,
        /// Where installations of ours would be.
        installed: PathBuf,
        /// What was seen on the way.
        passed_over: Vec<PassedOver>,
    },
}

struct Paths<'a>(&'a [PathBuf]);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if at == 0 { "" } else { ", " }, path.display())?;
        }
        Ok(())
    }
}

struct Places<'a>(&'a bool, &'a [PassedOver]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !*self.0 {
            return f.write_str("exists");
        }
        f.write_str("is on PATH")?;
        self.1.iter().try_for_each(|passed| write!(f, "; {passed}"))
    }
}

struct Seen<'a>(usize, &'a [PassedOver]);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("which is empty")?,
            1 => f.write_str("1 entry")?,
            many => write!(f, "{many} entries")?,
        }
        self.1.iter().try_for_each(|passed| write!(f, "; {passed}"))
    }
}

/// Names the Codex to start.
///
/// # Errors
///
/// See [`LocateError`]. A command of the operator that can't be used is an error, never a reason to look further; a
/// broken `codex` on `PATH` is one only when nothing is installed.
pub fn locate(search: &Search) -> Result<Located, LocateError> {
    let roots = Roots::new(&search.roots);
    if let Some(command) = &search.explicit {
        return explicit(command, search, &roots);
    }

    let mut passed_over = Vec::new();
    let mut broken = None;
    if let Some(found) = on_path("codex", search.path.as_deref(), &roots, &mut passed_over) {
        match resolve(&found, Vec::new(), Source::Path, &roots) {
            Ok(located) => return Ok(Located { passed_over, ..located }),
            Err(LocateError::InsideRoot { program, root }) => {
                passed_over.push(PassedOver { path: program, reason: Reason::InsideRoot(root) });
            }
            Err(error) => {
                if let LocateError::NoNative { wrapper, expected, .. } = &error {
                    passed_over.push(PassedOver { path: wrapper.clone(), reason: Reason::NoNative(expected.clone()) });
                }
                broken = Some(error);
            }
        }
    }

    for (_, folder) in installed_versions(&search.installed) {
        let Some(program) = native_in(&folder) else { continue };
        match roots.holding(&program) {
            Some(root) => passed_over.push(PassedOver { path: folder, reason: Reason::InsideRoot(root) }),
            None => {
                let located = native(program, Vec::new(), Source::Installed, None);
                return Ok(Located { passed_over, ..located });
            }
        }
    }

    let entries = search.path.as_deref().map_or(0, |path| std::env::split_paths(path).count());
    Err(broken.unwrap_or(LocateError::NotFound { entries, installed: search.installed.clone(), passed_over }))
}

/// Finds a program on the absolute entries of `path` that are not in `roots`. Bare names only.
#[must_use]
pub fn find_on_path(name: &str, path: Option<&OsStr>, roots: &[PathBuf]) -> Option<PathBuf> {
    on_path(name, path, &Roots::new(roots), &mut Vec::new())
}

/// The facts of a platform for which Codex is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// As npm names it: the end of `@openai/codex-linux-x64` and of the version `0.169.0-linux-x64`.
    pub npm_suffix: &'static str,
    /// `process.platform` of Node.
    pub os: &'static str,
    /// `process.arch` of Node.
    pub cpu: &'static str,
    /// The folder under `vendor`.
    pub triple: &'static str,
}

/// The platform that this program was built for, if Codex is published for it.
#[must_use]
pub fn platform() -> Option<Platform> {
    platform_of(std::env::consts::OS, std::env::consts::ARCH)
}

/// The table that all three wrappers (0.98.0, 0.153.4, 0.169.0) agree on, by Rust's names.
fn platform_of(os: &str, arch: &str) -> Option<Platform> {
    let (npm_suffix, os, cpu, triple) = match (os, arch) {
        ("linux" | "android", "x86_64") => ("linux-x64", "linux", "x64", "x86_64-unknown-linux-musl"),
        ("linux" | "android", "aarch64") => ("linux-arm64", "linux", "arm64", "aarch64-unknown-linux-musl"),
        ("macos", "x86_64") => ("darwin-x64", "darwin", "x64", "x86_64-apple-darwin"),
        ("macos", "aarch64") => ("darwin-arm64", "darwin", "arm64", "aarch64-apple-darwin"),
        ("windows", "x86_64") => ("win32-x64", "win32", "x64", "x86_64-pc-windows-msvc"),
        ("windows", "aarch64") => ("win32-arm64", "win32", "arm64", "aarch64-pc-windows-msvc"),
        _ => return None,
    };
    Some(Platform { npm_suffix, os, cpu, triple })
}

/// Our own platform, then what it can emulate: Node may be an x64 build on an arm64 Mac, and then so is its Codex.
fn runnable_platforms() -> impl Iterator<Item = Platform> {
    let emulated = match (std::env::consts::OS, std::env::consts::ARCH) {
        (os @ ("macos" | "windows"), "aarch64") => platform_of(os, "x86_64"),
        // We may ourselves be the emulated one.
        (os @ ("macos" | "windows"), "x86_64") => platform_of(os, "aarch64"),
        _ => None,
    };
    platform().into_iter().chain(emulated)
}

/// The native Codex in a folder that npm installed into, with or without the wrapper package.
#[must_use]
pub fn native_in(folder: &Path) -> Option<PathBuf> {
    let modules = folder.join("node_modules");
    let found = runnable_platforms().find_map(|platform| {
        let vendors = [platform_package(&modules, platform).join("vendor"), modules.join(PACKAGE).join("vendor")];
        vendors.iter().flat_map(|vendor| binaries(vendor, platform)).find(|path| is_executable(path))
    })?;
    dunce::canonicalize(found).ok()
}

/// What `codexd codex install` has installed, newest version first. Unfinished installations are not among it.
#[must_use]
pub fn installed_versions(installed: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(installed) else { return Vec::new() };
    let mut versions: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = ExactVersion::parse(&name)?;
            entry.path().is_dir().then_some((version, name, entry.path()))
        })
        .collect();
    versions.sort_by(|a, b| b.0.cmp(&a.0));
    versions.into_iter().map(|(_, name, path)| (name, path)).collect()
}

/// An exact version as npm has them: `0.169.0`, `0.162.0-alpha.15`. Ordered as semver orders them; the crate's `Version`, which
/// reads what a running Codex says of itself, takes a pre-release for its release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactVersion {
    /// Major, minor, patch.
    pub core: [u64; 3],
    // A release has no label and comes after all of its pre-releases: `Label::Release` is the greatest.
    label: Label,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Before(String, u64),
    Release,
}

impl ExactVersion {
    /// Reads an exact version; a range, a tag, a platform's version (`0.169.0-linux-x64`) or other text is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        fn number(text: &str) -> Option<u64> {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            if plain { text.parse().ok() } else { None }
        }
        let (core, label) = match text.split_once('-') {
            None => (text, Label::Release),
            Some((core, label)) => {
                let (word, count) = label.split_once('.')?;
                if !["alpha", "beta", "rc"].contains(&word) {
                    return None;
                }
                (core, Label::Before(word.to_owned(), number(count)?))
            }
        };
        let mut parts = core.split('.').map(number);
        let core = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { core, label })
    }
}

/// The folders that agents may write in, canonical.
struct Roots(Vec<PathBuf>);

impl Roots {
    fn new(roots: &[PathBuf]) -> Self {
        let mut known = Vec::new();
        for root in roots {
            // Both names of a root, since a path is compared before and after its symlinks are followed.
            let lexical = std::path::absolute(root).unwrap_or_else(|_| root.clone());
            let canonical = dunce::canonicalize(root).unwrap_or_else(|_| lexical.clone());
            if canonical.parent().is_some() {
                known.push(canonical);
            }
            if lexical.parent().is_some() && !known.contains(&lexical) {
                known.push(lexical);
            }
        }
        Self(known)
    }

    /// The root that decides what `path` is: one that it, or any symlink that is followed to reach it, lies in.
    fn holding(&self, path: &Path) -> Option<PathBuf> {
        if self.0.is_empty() {
            return None;
        }
        let mut places = places_of(path);
        places.extend(dunce::canonicalize(path));
        self.0.iter().find(|root| places.iter().any(|place| place.starts_with(root))).cloned()
    }
}

/// Every place that is looked at when a path is followed: each symlink where it really lies, and the end of the way.
fn places_of(path: &Path) -> Vec<PathBuf> {
    let owned = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<VecDeque<_>>();
    let mut places = vec![path.to_owned()];
    let mut ahead = owned(path);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                here.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            Some(_) => here.push(&part),
        }
        let Ok(target) = fs::read_link(&here) else { continue };
        links += 1;
        if links > LINK_LIMIT {
            break;
        }
        places.push(here.clone());
        if target.has_root() {
            here = PathBuf::new();
        } else {
            here.pop();
        }
        let mut rest = owned(&target);
        rest.append(&mut ahead);
        ahead = rest;
    }
    places.push(here);
    places
}

fn on_path(name: &str, path: Option<&OsStr>, roots: &Roots, passed_over: &mut Vec<PassedOver>) -> Option<PathBuf> {
    for entry in std::env::split_paths(path?) {
        if entry.as_os_str().is_empty() {
            continue;
        }
        let mut pass = |path: &Path, reason| passed_over.push(PassedOver { path: path.to_owned(), reason });
        for file in file_names(name) {
            let candidate = entry.join(file);
            if !candidate.is_file() {
                continue;
            }
            if !entry.is_absolute() {
                pass(&entry, Reason::Relative);
            } else if let Some(root) = roots.holding(&candidate) {
                pass(&candidate, Reason::InsideRoot(root));
            } else if !is_executable(&candidate) {
                pass(&candidate, Reason::NotExecutable);
            } else {
                return Some(candidate);
            }
        }
    }
    None
}

fn explicit(command: &OsStr, search: &Search, roots: &Roots) -> Result<Located, LocateError> {
    let whole = Path::new(command);
    let (program, args) = if whole.is_file() && !is_bare(whole) {
        (whole.to_owned(), Vec::new())
    } else {
        let words = match command.to_str() {
            Some(text) => split(text).ok_or_else(|| LocateError::OpenQuote(text.to_owned()))?,
            // What is not text can only be the name of a file.
            None => vec![command.to_owned()],
        };
        let mut words = words.into_iter();
        let Some(first) = words.next().filter(|word| !word.is_empty()) else { return Err(LocateError::Empty) };
        (PathBuf::from(first), words.collect())
    };

    let found = if is_bare(&program) {
        let mut passed_over = Vec::new();
        let name = program.to_string_lossy();
        match on_path(&name, search.path.as_deref(), roots, &mut passed_over) {
            Some(found) => found,
            None => return Err(LocateError::NoSuchProgram { program, on_path: true, passed_over }),
        }
    } else {
        let absolute = std::path::absolute(&program).unwrap_or_else(|_| program.clone());
        if let Some(root) = roots.holding(&absolute) {
            return Err(LocateError::InsideRoot { program: absolute, root });
        }
        match fs::metadata(&absolute) {
            Err(_) => {
                return Err(LocateError::NoSuchProgram { program: absolute, on_path: false, passed_over: Vec::new() });
            }
            // The wrapper itself is not started, so that it need not be executable.
            Ok(_) if !is_executable(&absolute) && wrapper_at(&absolute).is_none() => {
                return Err(LocateError::NotExecutable(absolute));
            }
            Ok(_) => absolute,
        }
    };
    resolve(&found, args, Source::Explicit, roots)
}

/// Looks through the wrapper, if it is one, and makes sure that what will run is not in a root.
fn resolve(found: &Path, mut args: Vec<OsString>, source: Source, roots: &Roots) -> Result<Located, LocateError> {
    let permitted = |path: &Path| match roots.holding(path) {
        Some(root) => Err(LocateError::InsideRoot { program: path.to_owned(), root }),
        None => Ok(()),
    };
    permitted(found)?;
    for arg in args.iter().map(Path::new).filter(|arg| arg.is_absolute() && arg.is_file()) {
        permitted(arg)?;
    }

    let mut wrapper = wrapper_at(found).map(|package| (found.to_owned(), package));
    if wrapper.is_none() && is_javascript_runtime(found) {
        wrapper = args.first().map(Path::new).and_then(|script| Some((script.to_owned(), wrapper_at(script)?)));
        if wrapper.is_some() {
            args.remove(0);
        }
    }
    if let (Some((wrapper, package)), Some(platform)) = (wrapper, platform()) {
        let missing = |expected| LocateError::NoNative {
            wrapper: wrapper.clone(),
            package: format!("{PACKAGE}-{}", platform.npm_suffix),
            expected,
        };
        let program = native_of(&package).map_err(missing)?;
        permitted(&program)?;
        let program = dunce::canonicalize(&program).unwrap_or(program);
        let located = native(program, args, source, Some(wrapper.clone()));
        let owner = managed_by(&wrapper, &package);
        let env = vec![(MANAGED_ROOT, package.into_os_string()), (owner, OsString::from("1"))];
        return Ok(Located { env, ..located });
    }

    let program = match dunce::canonicalize(found) {
        Ok(real) if is_codex_by_name(&real) => real,
        _ => found.to_owned(),
    };
    Ok(native(program, args, source, None))
}

fn native(program: PathBuf, args: Vec<OsString>, source: Source, via: Option<PathBuf>) -> Located {
    let path_prefix = old_tools_of(&program).into_iter().collect();
    let mut env_remove = MANAGED_BY.to_vec();
    env_remove.push(MANAGED_ROOT);
    Located { program, args, source, via, path_prefix, env: Vec::new(), env_remove, passed_over: Vec::new() }
}

/// `vendor/<triple>/path` beside `vendor/<triple>/codex/codex`: the older layout (0.98.0 to about 0.130), whose binary does
/// not find its tools itself. The newer one has `codex-path` beside `bin`, and a `codex-package.json` that tells of it.
fn old_tools_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let tools = folder.parent()?.join("path");
    (folder.file_name()? == "codex" && tools.is_dir()).then_some(tools)
}

/// The root of the wrapper package that a file belongs to: the script itself, or a shim that starts it.
fn wrapper_at(file: &Path) -> Option<PathBuf> {
    let real = dunce::canonicalize(file).ok()?;
    package_of(&real)
        .or_else(|| shim_targets(&real).iter().find_map(|target| package_of(&dunce::canonicalize(target).ok()?)))
}

/// `<package>/bin/codex.js`, and the package says that it is Codex's.
fn package_of(script: &Path) -> Option<PathBuf> {
    if script.file_name()? != "codex.js" {
        return None;
    }
    let package = script.parent()?.parent()?;
    let manifest = fs::read(package.join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    (manifest.get("name")?.as_str()? == PACKAGE).then(|| package.to_owned())
}

/// The `codex.js` that a small script names, relative to its own folder: npm writes such a `codex.cmd` (and a `codex` for
/// Git Bash) on Windows, pnpm everywhere.
fn shim_targets(shim: &Path) -> Vec<PathBuf> {
    let mut text = Vec::new();
    let read = fs::File::open(shim).and_then(|file| file.take(SHIM_LIMIT + 1).read_to_end(&mut text));
    let script = text.starts_with(b"#!") || shim.extension().is_some_and(|end| end == "cmd" || end == "ps1");
    let (Ok(_), true, Ok(text), Some(folder)) = (read, script, std::str::from_utf8(&text), shim.parent()) else {
        return Vec::new();
    };
    if u64::try_from(text.len()).is_ok_and(|length| length > SHIM_LIMIT) {
        return Vec::new();
    }
    let words = text.split(['"', '\'', '\n']).chain(text.split_whitespace());
    let mut targets = Vec::new();
    for word in words.filter(|word| word.ends_with("codex.js")) {
        let relative = ["$basedir/", "%dp0%\\", "%~dp0\\", "%~dp0"].iter().find_map(|start| word.strip_prefix(start));
        // Windows takes both separators; the shims of both kinds may be on either system.
        let place = |text: &str| text.split(['/', '\\']).collect::<PathBuf>();
        let target = match relative {
            Some(rest) => folder.join(place(rest)),
            None if Path::new(word).is_absolute() => PathBuf::from(word),
            None => continue,
        };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

/// The binary that the wrapper would start, or the places where it is not.
///
/// Node looks for the platform's package in the `node_modules` of every folder above the wrapper (beside it for npm and
/// bun, in the store for pnpm, nested for `npm --install-strategy=nested`); without one the wrapper's own `vendor` counts.
fn native_of(package: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let mut expected = Vec::new();
    for platform in runnable_platforms() {
        let installed = package.ancestors().map(|above| platform_package(&above.join("node_modules"), platform));
        let installed = installed.filter(|folder| folder.join("package.json").is_file());
        for vendor in installed.take(1).chain([package.to_owned()]).map(|folder| folder.join("vendor")) {
            for binary in binaries(&vendor, platform) {
                if is_executable(&binary) {
                    return Ok(binary);
                }
                expected.push(binary);
            }
        }
    }
    if let (Some(modules), Some(platform)) = (package.parent().and_then(Path::parent), platform()) {
        let usual = platform_package(modules, platform).join("vendor");
        let usual = binaries(&usual, platform).into_iter().next().filter(|path| !expected.contains(path));
        expected.splice(0..0, usual);
    }
    Err(expected)
}

fn platform_package(modules: &Path, platform: Platform) -> PathBuf {
    modules.join("@openai").join(format!("codex-{}", platform.npm_suffix))
}

/// `bin` since about 0.140, `codex` before.
fn binaries(vendor: &Path, platform: Platform) -> [PathBuf; 2] {
    ["bin", "codex"].map(|folder| vendor.join(platform.triple).join(folder).join(executable_name("codex")))
}

/// Which package manager the wrapper would say that it belongs to, by where it lies. (It also looks at what started it,
/// which for a daemon is nothing.)
fn managed_by(wrapper: &Path, package: &Path) -> &'static str {
    let [npm, bun, pnpm, vite_plus] = MANAGED_BY;
    let text = package.to_string_lossy().replace('\\', "/");
    if text.contains(".bun/install/global") {
        return bun;
    }
    let mut above = wrapper.ancestors().chain(package.ancestors());
    if text.contains("/packages/@openai/")
        && above.clone().any(|folder| folder.join("packages/@openai/codex.json").exists())
    {
        return vite_plus;
    }
    let owned_by_pnpm = |folder: &Path| {
        let modules = folder.join("node_modules");
        modules.join(".modules.yaml").exists()
            && dunce::canonicalize(modules.join(PACKAGE)).is_ok_and(|real| real == package)
    };
    if above.any(owned_by_pnpm) { pnpm } else { npm }
}

fn is_codex_by_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("codex"))
}

fn is_javascript_runtime(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| ["node", "nodejs", "bun"].iter().any(|known| name == *known))
}

/// A name without any folder is looked up on `PATH`, never in the folder that we happen to be in.
fn is_bare(path: &Path) -> bool {
    let mut parts = path.components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == path.as_os_str())
}

/// Cuts a command line at whitespace. Both quotes keep it together; a backslash takes the meaning of the next character,
/// but not in single quotes and, since it separates folders there, not on Windows. `None`: a quote is not closed.
fn split(text: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') if !cfg!(windows) => {
                word.get_or_insert_default().push(letters.next().unwrap_or('\\'))
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take().map(OsString::from)),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word.map(OsString::from));
    quote.is_none().then_some(words)
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(unix)]
fn executable_name(name: &str) -> String {
    name.to_owned()
}

/// What a bare name may be called on disk.
#[cfg(unix)]
fn file_names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

#[cfg(windows)]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(windows)]
fn executable_name(name: &str) -> String {
    format!("{name}.exe")
}

/// What a bare name may be called on disk: the part of the usual PATHEXT that can be started without a shell of its own.
/// npm also writes a `codex` for Git Bash there, which Windows can't start.
#[cfg(windows)]
fn file_names(name: &str) -> Vec<String> {
    const ENDS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];
    let lower = name.to_ascii_lowercase();
    if ENDS.iter().any(|end| lower.ends_with(end)) {
        return vec![name.to_owned()];
    }
    ENDS.iter().map(|end| format!("{name}{end}")).collect()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// A folder of its own, by its canonical name (macOS has its temporary folder behind a symlink).
    struct Disk {
        path: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = dunce::canonicalize(folder.path()).unwrap();
            Self { path, _folder: folder }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.path.join(path)
        }

        fn file(&self, path: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn program(&self, path: &str) -> PathBuf {
            self.file(path, "\u{7f}ELF", 0o755)
        }

        fn link(&self, path: &str, target: &str) -> PathBuf {
            let path = self.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, &path).unwrap();
            path
        }

        /// The wrapper package in a `node_modules` folder.
        fn wrapper(&self, modules: &str) -> PathBuf {
            self.file(&format!("{modules}/@openai/codex/package.json"), r#"{"name":"@openai/codex"}"#, 0o644);
            self.file(&format!("{modules}/@openai/codex/bin/codex.js"), "#!/usr/bin/env node\n", 0o755)
        }

        /// The package of this platform in a `node_modules` folder, and the binary in it.
        fn platform_package(&self, modules: &str, layout: &str) -> PathBuf {
            let Platform { npm_suffix, triple, .. } = platform().unwrap();
            self.file(
                &format!("{modules}/@openai/codex-{npm_suffix}/package.json"),
                r#"{"name":"@openai/codex"}"#,
                0o644,
            );
            self.program(&format!("{modules}/@openai/codex-{npm_suffix}/vendor/{triple}/{layout}/codex"))
        }

        /// `PATH` of these folders, relative ones as they are.
        fn search(&self, path: &[&str]) -> Search {
            let entries = path.iter().map(|entry| match entry.strip_prefix('/') {
                Some(inside) => self.at(inside),
                None => PathBuf::from(entry),
            });
            Search {
                path: Some(std::env::join_paths(entries).unwrap()),
                installed: self.at("store/codex"),
                ..Search::default()
            }
        }

        fn explicit(&self, command: &str) -> Search {
            Search {
                explicit: Some(command.replace('~', self.path.to_str().unwrap()).into()),
                ..self.search(&["/bin"])
            }
        }
    }

    fn expect(search: &Search, program: &Path, source: Source) -> Located {
        let located = locate(search).unwrap();
        assert_eq!((located.program.as_path(), located.source), (program, source));
        located
    }

    #[test]
    fn the_first_usable_path_entry_wins() {
        let disk = Disk::new();
        disk.file("a/codex", "not executable", 0o644);
        fs::create_dir_all(disk.at("b/codex")).unwrap();
        let first = disk.program("c/codex");
        disk.program("d/codex");
        let located = expect(&disk.search(&["/nowhere", "/a", "/b", "/c", "/d"]), &first, Source::Path);
        assert_eq!(located.passed_over, [PassedOver { path: disk.at("a/codex"), reason: Reason::NotExecutable }]);
        assert!(located.args.is_empty() && located.env.is_empty() && located.via.is_none());
    }

    #[test]
    fn relative_and_empty_entries_are_skipped() {
        // Tests run in the crate's folder: a relative way from there to a program that is there.
        let here = std::env::current_dir().unwrap();
        let disk = Disk::new();
        disk.program("bin/codex");
        let up = here.components().skip(1).map(|_| "..").collect::<PathBuf>();
        let relative = up.join(disk.at("bin").strip_prefix("/").unwrap());
        assert!(relative.join("codex").is_file());
        let search = disk.search(&["", relative.to_str().unwrap(), "."]);
        let error = locate(&search).unwrap_err().to_string();
        assert!(error.contains("is relative") && error.contains("codexd codex install"), "{error}");
        assert_eq!(find_on_path("codex", search.path.as_deref(), &[]), None);
    }

    #[test]
    fn nothing_in_a_root_is_run() {
        let disk = Disk::new();
        disk.program("project/bin/codex");
        disk.program("project/evil");
        disk.link("by-file/codex", "../project/evil");
        disk.link("by-folder", "project/bin");
        // Ends outside, but an agent may turn it.
        disk.link("project/turn", "../good/codex");
        disk.link("by-way/codex", "../project/turn");
        let good = disk.program("good/codex");
        let bad = ["/project/bin", "/by-file", "/by-folder", "/by-way"];
        let mut search = disk.search(&[&bad[..], &["/good"]].concat());
        search.roots = vec![disk.at("project"), disk.at("not-there"), PathBuf::from("/")];
        let located = expect(&search, &good, Source::Path);
        assert_eq!(located.passed_over.len(), 4, "{:?}", located.passed_over);

        // A root that is itself named through a symlink.
        disk.link("alias", "project");
        search.roots = vec![disk.at("alias")];
        expect(&search, &good, Source::Path);

        for command in ["~/project/evil", "~/by-file/codex --flag", "'~/good/codex' ~/project/evil"] {
            let search = Search { roots: search.roots.clone(), ..disk.explicit(command) };
            let error = locate(&search).unwrap_err();
            assert!(matches!(error, LocateError::InsideRoot { .. }), "{command}: {error}");
        }

        // Ours as well.
        let folder = disk.at("store/codex/0.169.0");
        disk.platform_package("store/codex/0.169.0/node_modules", "bin");
        let search = Search { roots: vec![disk.at("store")], ..disk.search(&[]) };
        let LocateError::NotFound { passed_over, .. } = locate(&search).unwrap_err() else { panic!() };
        assert_eq!(passed_over, [PassedOver { path: folder, reason: Reason::InsideRoot(disk.at("store")) }]);
    }

    #[test]
    fn looks_through_the_wrapper_beside_its_platform_package() {
        for (modules, layout) in [
            ("lib/node_modules", "bin"),
            ("lib/node_modules/@openai/codex/node_modules", "bin"),
            // 0.99 to about 0.130
            ("lib/node_modules", "codex"),
        ] {
            let disk = Disk::new();
            let script = disk.wrapper("lib/node_modules");
            let native = disk.platform_package(modules, layout);
            let link = disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
            let located = expect(&disk.search(&["/bin"]), &native, Source::Path);
            assert_eq!(located.via, Some(link));
            let package = disk.at("lib/node_modules/@openai/codex").into_os_string();
            assert_eq!(located.env, [(MANAGED_ROOT, package), (MANAGED_BY[0], "1".into())]);
            assert!(located.path_prefix.is_empty());
            let changes = located.changes(Some(OsStr::new("/usr/bin")));
            assert!(changes.contains(&(MANAGED_BY[2], None)) && changes.iter().all(|(name, _)| *name != "PATH"));

            // Named outright, and through Node, which may be elsewhere.
            let explicit = disk.explicit(&format!("{} -c x=1", script.display()));
            assert_eq!(expect(&explicit, &native, Source::Explicit).args, ["-c", "x=1"]);
            disk.program("bin/node");
            let explicit = disk.explicit(&format!("node {} -c x=1", script.display()));
            let located = expect(&explicit, &native, Source::Explicit);
            assert_eq!((located.args, located.via), (vec!["-c".into(), "x=1".into()], Some(script)));
        }
    }

    #[test]
    fn looks_through_the_wrapper_that_brings_all_platforms() {
        let disk = Disk::new();
        let triple = platform().unwrap().triple;
        disk.wrapper("lib/node_modules");
        let vendor = format!("lib/node_modules/@openai/codex/vendor/{triple}");
        let native = disk.program(&format!("{vendor}/codex/codex"));
        disk.program(&format!("{vendor}/path/rg"));
        disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
        let located = expect(&disk.search(&["/bin"]), &native, Source::Path);
        let path = located.changes(Some(OsStr::new("/usr/bin::/bin"))).pop().unwrap();
        let tools = disk.at(&format!("{vendor}/path"));
        assert_eq!(path, ("PATH", Some(format!("{}:/usr/bin:/bin", tools.display()).into())));
        assert_eq!(located.changes(None).pop(), Some(("PATH", Some(tools.into_os_string()))));
    }

    #[test]
    fn looks_through_the_shims_of_npm_and_pnpm() {
        let disk = Disk::new();
        let store = "pnpm/5/.pnpm/@openai+codex@0.169.0/node_modules";
        disk.wrapper(store);
        let native = disk.platform_package("pnpm/5/.pnpm/@openai+codex@0.169.0-linux/node_modules", "bin");
        let npm_suffix = platform().unwrap().npm_suffix;
        let package = format!("@openai/codex-{npm_suffix}");
        disk.link(
            &format!("{store}/{package}"),
            &format!("../../../@openai+codex@0.169.0-linux/node_modules/{package}"),
        );
        disk.link("pnpm/5/node_modules/@openai/codex", "../../.pnpm/@openai+codex@0.169.0/node_modules/@openai/codex");
        disk.file("pnpm/5/node_modules/.modules.yaml", "", 0o644);
        let shim = disk.file(
            "pnpm/codex",
            "#!/bin/sh\nbasedir=$(dirname \"$(echo \"$0\" | sed -e 's,\\\\,/,g')\")\n\
             if [ -x \"$basedir/node\" ]; then\n  exec \"$basedir/node\"  \"$basedir/5/node_modules/@openai/codex/bin/codex.js\" \"$@\"\n\
             else\n  exec node  \"$basedir/5/node_modules/@openai/codex/bin/codex.js\" \"$@\"\nfi\n",
            0o755,
        );
        let located = expect(&disk.search(&["/pnpm"]), &native, Source::Path);
        assert_eq!(located.via.as_deref(), Some(shim.as_path()));
        let wrapper = disk.at("pnpm/5/node_modules/@openai/codex/bin/codex.js");
        let located = expect(&disk.explicit(wrapper.to_str().unwrap()), &native, Source::Explicit);
        assert_eq!(located.env[1].0, "CODEX_MANAGED_BY_PNPM");

        disk.wrapper("npm/node_modules");
        let native = disk.platform_package("npm/node_modules", "bin");
        let cmd = disk.file(
            "npm/codex.cmd",
            "@ECHO off\r\nGOTO start\r\n:find_dp0\r\nSET dp0=%~dp0\r\nEXIT /b\r\n:start\r\nSETLOCAL\r\nCALL :find_dp0\r\n\
             endLocal & goto #_undefined_# 2>NUL || title %COMSPEC% & \"%_prog%\"  \"%dp0%\\node_modules\\@openai\\codex\\bin\\codex.js\" %*\r\n",
            0o755,
        );
        let located = expect(&disk.explicit("~/npm/codex.cmd"), &native, Source::Explicit);
        assert_eq!(located.via, Some(cmd));
    }

    #[test]
    fn a_wrapper_without_its_binary_is_named_with_it() {
        let disk = Disk::new();
        disk.wrapper("lib/node_modules");
        let link = disk.link("bin/codex", "../lib/node_modules/@openai/codex/bin/codex.js");
        let search = disk.search(&["/bin"]);
        let error = locate(&search).unwrap_err();
        let LocateError::NoNative { wrapper, package, expected } = &error else { panic!("{error}") };
        assert_eq!(wrapper, &link);
        let Platform { npm_suffix, triple, .. } = platform().unwrap();
        assert_eq!(package, &format!("@openai/codex-{npm_suffix}"));
        let usual = format!("lib/node_modules/@openai/codex-{npm_suffix}/vendor/{triple}/bin/codex");
        assert_eq!(expected.first(), Some(&disk.at(&usual)));
        let text = error.to_string();
        assert!(text.contains(&usual) && text.contains("bin/codex`, but not"), "{text}");

        // What we installed helps, and what was wrong is still told.
        let native = disk.platform_package("store/codex/0.169.0/node_modules", "bin");
        let located = expect(&search, &native, Source::Installed);
        assert!(matches!(&located.passed_over[..], [PassedOver { reason: Reason::NoNative(_), .. }]));
    }

    #[test]
    fn the_newest_finished_installation_is_taken() {
        let disk = Disk::new();
        for version in ["0.98.0", "0.169.0-alpha.10", "0.169.0-alpha.9", "0.153.4", "0.170.0.partial-1"] {
            disk.platform_package(&format!("store/codex/{version}/node_modules"), "bin");
        }
        fs::create_dir_all(disk.at("store/codex/0.171.0")).unwrap();
        let mut search = disk.search(&[]);
        search.path = None;
        let program = locate(&search).unwrap().program;
        assert!(program.starts_with(disk.at("store/codex/0.169.0-alpha.10")), "{}", program.display());
        let native = disk.platform_package("store/codex/0.169.0/node_modules", "bin");
        let located = expect(&search, &native, Source::Installed);
        assert!(located.env.is_empty());
        let versions: Vec<_> = installed_versions(&search.installed).into_iter().map(|(version, _)| version).collect();
        assert_eq!(versions, ["0.171.0", "0.169.0", "0.169.0-alpha.10", "0.169.0-alpha.9", "0.153.4", "0.98.0"]);
    }

    #[test]
    fn a_script_is_run_as_it_is() {
        let disk = Disk::new();
        let stub = disk.file("bin/codex", "#!/usr/bin/env python3\nprint('codex.js')\n", 0o755);
        assert_eq!(expect(&disk.search(&["/bin"]), &stub, Source::Path).via, None);
        assert_eq!(expect(&disk.explicit("codex"), &stub, Source::Explicit).args, [""; 0]);
        // The shim of a version manager knows what to do by the name that it is called by.
        disk.program("volta/volta-shim");
        let shim = disk.link("volta/codex", "volta-shim");
        expect(&disk.search(&["/volta"]), &shim, Source::Path);
        // A native build under another name is taken by its own.
        let real = disk.program("cask/codex-aarch64-apple-darwin");
        disk.link("brew/codex", "../cask/codex-aarch64-apple-darwin");
        expect(&disk.search(&["/brew"]), &real, Source::Path);
    }

    #[test]
    fn a_command_may_be_a_file_a_name_or_a_line() {
        let disk = Disk::new();
        let spaced = disk.program("with space/my codex");
        expect(&disk.explicit("~/with space/my codex"), &spaced, Source::Explicit);
        let located =
            expect(&disk.explicit("'~/with space/my codex'  --a \"b c\" d\\ e ''"), &spaced, Source::Explicit);
        assert_eq!(located.args, ["--a", "b c", "d e", ""]);
        let python = disk.program("bin/python3");
        assert_eq!(expect(&disk.explicit("python3 -u ~/fake.py"), &python, Source::Explicit).args.len(), 2);

        disk.file("bin/plain", "", 0o644);
        for (command, part) in [
            ("", "is empty"),
            ("  ", "is empty"),
            ("'~/bin/python3", "not closed"),
            ("~/bin/absent", "/bin/absent` exists; correct --codex-cmd"),
            ("absent", "no program `absent` is on PATH"),
            ("plain", "is not executable"),
            ("~/bin/plain", "not a program that may be executed"),
            ("~/bin", "not a program that may be executed"),
        ] {
            let error = locate(&disk.explicit(command)).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("--codex-cmd"), "{command}: {error}");
        }
    }

    #[test]
    fn only_exact_versions_are_versions() {
        for good in ["0.98.0", "0.169.0", "10.0.0", "0.162.0-alpha.15", "1.0.0-rc.1"] {
            assert!(ExactVersion::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "latest",
            "0.169",
            "^0.169.0",
            "~0.1.0",
            "0.x",
            "0.169.0-linux-x64",
            "v0.169.0",
            "0.169.00",
            "0.1.2.3",
            "../0.1.2",
            "0.169.0 ",
            "0.169.0.partial-12",
            ">=0.1.0",
            "0.1.0-alpha",
            "0.1.0-alpha.1.2",
            "+1.0.0",
            "0.1.0+build",
            "99999999999999999999.0.0",
        ] {
            assert!(ExactVersion::parse(bad).is_none(), "{bad}");
        }
        let ordered = ["0.98.0", "0.100.0", "0.162.0-alpha.9", "0.162.0-alpha.15", "0.162.0-beta.1", "0.162.0"];
        assert!(ordered.map(ExactVersion::parse).is_sorted());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let disk = Disk::new();
        disk.link("a", "b");
        disk.link("b", "a");
        assert!(Roots::new(&[disk.at("root")]).holding(&disk.at("a/codex")).is_none());
        assert_eq!(Roots::new(std::slice::from_ref(&disk.path)).holding(&disk.at("a/codex")), Some(disk.path.clone()));
    }
}
