//! The npm package in front of Codex: its script, the shims that start it, and what it would start and set itself.

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    LocateError, os,
    platform::{Platform, binaries, platform, platform_package, runnable_platforms},
};

/// What npm calls the wrapper package.
pub(super) const PACKAGE: &str = "@openai/codex";

/// Says which package manager owns Codex; the wrapper sets one of them and deletes the others.
pub(super) const MANAGED_BY: [&str; 4] =
    ["CODEX_MANAGED_BY_NPM", "CODEX_MANAGED_BY_BUN", "CODEX_MANAGED_BY_PNPM", "CODEX_MANAGED_BY_VITE_PLUS"];

/// Where the wrapper package lies (0.153.4 and later); Codex reads it to update itself.
pub(super) const MANAGED_ROOT: &str = "CODEX_MANAGED_PACKAGE_ROOT";

/// A shim of more bytes than this is not one.
const SHIM_LIMIT: usize = 16 * 1024;

/// A wrapper for a platform that Codex is published for.
pub(super) struct Wrapper {
    /// The script or shim, by the name that it was found by.
    pub(super) file: PathBuf,
    /// The root of the package.
    package: PathBuf,
    platform: Platform,
}

impl Wrapper {
    /// The wrapper that a file belongs to: the script itself, or a shim that starts it.
    pub(super) fn at(file: &Path) -> Option<Self> {
        let real = dunce::canonicalize(file).ok()?;
        let package = package_of(&real)
            .or_else(|| shim_targets(&real).iter().find_map(|target| package_of(&dunce::canonicalize(target).ok()?)))?;
        Some(Self { file: file.to_owned(), package, platform: platform()? })
    }

    /// The binary that it would start.
    ///
    /// Node looks for the platform's package in the `node_modules` of every folder above the wrapper (beside it for npm
    /// and bun, in the store for pnpm, nested for `npm --install-strategy=nested`); without one the wrapper's own `vendor`
    /// counts.
    pub(super) fn native(&self) -> Result<PathBuf, LocateError> {
        let package = &self.package;
        let mut expected = Vec::new();
        for platform in runnable_platforms() {
            let installed = package.ancestors().map(|above| platform_package(&above.join("node_modules"), platform));
            let installed = installed.filter(|folder| folder.join("package.json").is_file());
            for vendor in installed.take(1).chain([package.clone()]).map(|folder| folder.join("vendor")) {
                for binary in binaries(&vendor, platform) {
                    if os::is_executable(&binary) {
                        return Ok(binary);
                    }
                    expected.push(binary);
                }
            }
        }
        if let Some(modules) = package.parent().and_then(Path::parent) {
            let [usual, _] = binaries(&platform_package(modules, self.platform).join("vendor"), self.platform);
            if !expected.contains(&usual) {
                expected.insert(0, usual);
            }
        }
        let package = format!("{PACKAGE}-{}", self.platform.npm_suffix);
        Err(LocateError::NoNative { wrapper: self.file.clone(), package, expected })
    }

    /// The variables that it would set.
    pub(super) fn env(&self) -> Vec<(&'static str, OsString)> {
        vec![(MANAGED_ROOT, self.package.clone().into_os_string()), (self.managed_by(), OsString::from("1"))]
    }

    /// Which package manager it would say that it belongs to, by where it lies. (It also looks at what started it, which
    /// for a daemon is nothing.)
    fn managed_by(&self) -> &'static str {
        let [npm, bun, pnpm, vite_plus] = MANAGED_BY;
        let text = self.package.to_string_lossy().replace('\\', "/");
        if text.contains(".bun/install/global") {
            return bun;
        }
        let mut above = self.file.ancestors().chain(self.package.ancestors());
        if text.contains("/packages/@openai/")
            && above.clone().any(|folder| folder.join("packages/@openai/codex.json").exists())
        {
            return vite_plus;
        }
        let owned_by_pnpm = |folder: &Path| {
            let modules = folder.join("node_modules");
            modules.join(".modules.yaml").exists()
                && dunce::canonicalize(modules.join(PACKAGE)).is_ok_and(|real| real == self.package)
        };
        if above.any(owned_by_pnpm) { pnpm } else { npm }
    }
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
    let read = fs::File::open(shim).and_then(|file| file.take(SHIM_LIMIT as u64 + 1).read_to_end(&mut text));
    let script = text.starts_with(b"#!") || shim.extension().is_some_and(|end| end == "cmd" || end == "ps1");
    let (Ok(0..=SHIM_LIMIT), true, Ok(text), Some(folder)) = (read, script, std::str::from_utf8(&text), shim.parent())
    else {
        return Vec::new();
    };
    let words = text.split(['"', '\'', '\n']).chain(text.split_whitespace()).filter(|word| word.ends_with("codex.js"));
    words
        .filter_map(|word| {
            let starts = ["$basedir/", "%dp0%\\", "%~dp0\\", "%~dp0"];
            match starts.iter().find_map(|start| word.strip_prefix(start)) {
                // Windows takes both separators; the shims of both kinds may be on either system.
                Some(rest) => Some(folder.join(rest.split(['/', '\\']).collect::<PathBuf>())),
                None => Path::new(word).is_absolute().then(|| PathBuf::from(word)),
            }
        })
        .collect()
}
