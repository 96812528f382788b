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

mod confine;
mod error;
mod installed;
mod on_path;
mod platform;
mod words;
mod wrapper;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

pub use error::{LocateError, PassedOver, Reason};
use installed::installed_versions;
pub use installed::{ExactVersion, native_in};
pub use on_path::find_on_path;
pub use platform::{Platform, platform};

use confine::Roots;
use on_path::{is_bare, on_path};
use wrapper::{MANAGED_BY, MANAGED_ROOT, Wrapper};

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
    /// A program that is run without what the wrapper sets.
    fn new(program: PathBuf, args: Vec<OsString>, source: Source, via: Option<PathBuf>) -> Self {
        let path_prefix = platform::old_tools_of(&program).into_iter().collect();
        let env_remove = MANAGED_BY.into_iter().chain([MANAGED_ROOT]).collect();
        Self { program, args, source, via, path_prefix, env: Vec::new(), env_remove, passed_over: Vec::new() }
    }

    /// What the environment of the child must have, given the `PATH` that it would inherit: `None` removes a variable.
    #[must_use]
    pub fn changes(&self, path: Option<&OsStr>) -> Vec<(&'static str, Option<OsString>)> {
        let mut changes: Vec<_> = self.env_remove.iter().map(|name| (*name, None)).collect();
        changes.extend(self.env.iter().map(|(name, value)| (*name, Some(value.clone()))));
        // An empty entry means the current folder, and so does a relative one something else in each folder: Codex looks for `git` and the
        // like outside of its sandbox, in folders that agents may write in.
        let inherited: Vec<PathBuf> = path.map(std::env::split_paths).into_iter().flatten().collect();
        let absolute = inherited.iter().filter(|entry| entry.is_absolute()).cloned();
        let wanted: Vec<PathBuf> = self.path_prefix.iter().cloned().chain(absolute).collect();
        if wanted != inherited
            && let Ok(joined) = std::env::join_paths(wanted)
        {
            changes.push(("PATH", Some(joined)));
        }
        changes
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
                let located = Located::new(program, Vec::new(), Source::Installed, None);
                return Ok(Located { passed_over, ..located });
            }
        }
    }

    let entries = search.path.as_deref().map_or(0, |path| std::env::split_paths(path).count());
    Err(broken.unwrap_or(LocateError::NotFound { entries, installed: search.installed.clone(), passed_over }))
}

/// A file that an argument names, seen from here: Codex is started in another folder.
fn anchored(word: OsString) -> OsString {
    match std::path::absolute(&word) {
        Ok(path) if path.is_file() && Path::new(&word).components().count() > 1 => path.into_os_string(),
        _ => word,
    }
}

fn explicit(command: &OsStr, search: &Search, roots: &Roots) -> Result<Located, LocateError> {
    let whole = Path::new(command);
    let (program, args) = if whole.is_file() && !is_bare(whole) {
        (whole.to_owned(), Vec::new())
    } else {
        let words = match command.to_str() {
            Some(text) => words::split(text).ok_or_else(|| LocateError::OpenQuote(text.to_owned()))?,
            // What is not text can only be the name of a file.
            None => vec![command.to_owned()],
        };
        let mut words = words.into_iter();
        let Some(first) = words.next().filter(|word| !word.is_empty()) else { return Err(LocateError::Empty) };
        (PathBuf::from(first), words.map(anchored).collect())
    };

    let found = if is_bare(&program) {
        let mut passed_over = Vec::new();
        let name = program.to_string_lossy();
        match on_path(&name, search.path.as_deref(), roots, &mut passed_over) {
            Some(found) => found,
            None => return Err(LocateError::NoSuchProgram { program, on_path: true, passed_over }),
        }
    } else {
        let absolute = std::path::absolute(&program).unwrap_or(program);
        roots.permit(&absolute)?;
        if fs::metadata(&absolute).is_err() {
            return Err(LocateError::NoSuchProgram { program: absolute, on_path: false, passed_over: Vec::new() });
        }
        // The wrapper itself is not started, so that it need not be executable.
        if !os::is_executable(&absolute) && Wrapper::at(&absolute).is_none() {
            return Err(LocateError::NotExecutable(absolute));
        }
        absolute
    };
    resolve(&found, args, Source::Explicit, roots)
}

/// Looks through the wrapper, if it is one, and makes sure that what will run is not in a root.
fn resolve(found: &Path, mut args: Vec<OsString>, source: Source, roots: &Roots) -> Result<Located, LocateError> {
    roots.permit(found)?;
    for arg in args.iter().map(Path::new).filter(|arg| arg.is_absolute() && arg.is_file()) {
        roots.permit(arg)?;
    }

    let mut wrapper = Wrapper::at(found);
    if wrapper.is_none() && is_javascript_runtime(found) {
        wrapper = args.first().and_then(|script| Wrapper::at(Path::new(script)));
        if wrapper.is_some() {
            args.remove(0);
        }
    }
    if let Some(wrapper) = wrapper {
        let program = wrapper.native()?;
        roots.permit(&program)?;
        let program = dunce::canonicalize(&program).unwrap_or(program);
        let env = wrapper.env();
        return Ok(Located { env, ..Located::new(program, args, source, Some(wrapper.file)) });
    }

    let program = match dunce::canonicalize(found) {
        Ok(real) if is_codex_by_name(&real) => real,
        _ => found.to_owned(),
    };
    Ok(Located::new(program, args, source, None))
}

fn is_codex_by_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("codex"))
}

fn is_javascript_runtime(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| ["node", "nodejs", "bun"].iter().any(|known| name == *known))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
