//! The documents of this checkout: its own, and those of released versions.

use std::{fs, io, path::PathBuf};

use crate::{Exchange, Spec};

/// All documents that a daemon of this checkout keeps to.
#[derive(Debug)]
pub struct Kept(Vec<(String, Spec)>);

impl Kept {
    /// The daemon's own document, and with it the released ones.
    ///
    /// # Errors
    /// When one can't be read, or is none.
    pub fn with(own: &str) -> Result<Self, String> {
        let mut specs = vec![("this version".to_owned(), Spec::own(own)?)];
        for (name, text) in released()? {
            specs.push((name, Spec::older(&text)?));
        }
        Ok(Self(specs))
    }

    /// The same, with the copy of its own document that is checked in.
    ///
    /// # Errors
    /// As [`Kept::with`].
    pub fn checked_in() -> Result<Self, String> {
        let file = folder().join("v1.json");
        Self::with(&fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?)
    }

    /// Compares an exchange with all of them.
    ///
    /// # Errors
    /// A sentence that says what does not fit, and by which document.
    pub fn check(&self, exchange: Exchange<'_>) -> Result<(), String> {
        self.0.iter().try_for_each(|(name, spec)| {
            spec.check(exchange).map_err(|wrong| format!("by the OpenAPI document of {name}: {wrong}"))
        })
    }
}

/// The documents of released versions: names and texts. There is at least one.
///
/// # Errors
/// When one can't be read.
pub fn released() -> Result<Vec<(String, String)>, String> {
    let folder = folder().join("released");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
        let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?));
    }
    found.sort();
    if found.is_empty() {
        return Err(format!("there is no document in {}", folder.display()));
    }
    Ok(found)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../openapi")
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> String {
    format!("{} can't be read: {error}", path.display())
}
