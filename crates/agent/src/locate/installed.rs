//! What `codexd codex install` put into the store: a folder for each exact version.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    os,
    platform::{binaries, platform_package, runnable_platforms},
    wrapper::PACKAGE,
};

/// The native Codex in a folder that npm installed into, with or without the wrapper package.
#[must_use]
pub fn native_in(folder: &Path) -> Option<PathBuf> {
    let modules = folder.join("node_modules");
    let found = runnable_platforms().find_map(|platform| {
        let vendors = [platform_package(&modules, platform).join("vendor"), modules.join(PACKAGE).join("vendor")];
        vendors.iter().flat_map(|vendor| binaries(vendor, platform)).find(|path| os::is_executable(path))
    })?;
    dunce::canonicalize(found).ok()
}

/// What `codexd codex install` has installed, newest version first. Unfinished installations are not among it.
#[must_use]
pub(super) fn installed_versions(installed: &Path) -> Vec<(String, PathBuf)> {
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
