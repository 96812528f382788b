//! The folders that agents may write in, and every place where the way to a program could be turned into one.

use std::{
    collections::VecDeque,
    fs,
    path::{Component, Path, PathBuf},
};

use super::LocateError;

/// As many symlinks as Linux follows in one path.
const LINK_LIMIT: usize = 40;

/// The folders that agents may write in, canonical.
pub(super) struct Roots(Vec<PathBuf>);

impl Roots {
    pub(super) fn new(roots: &[PathBuf]) -> Self {
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
    pub(super) fn holding(&self, path: &Path) -> Option<PathBuf> {
        if self.0.is_empty() {
            return None;
        }
        let mut places = places_of(path);
        places.extend(dunce::canonicalize(path));
        self.0.iter().find(|root| places.iter().any(|place| place.starts_with(root))).cloned()
    }

    /// Refuses what lies in a root.
    pub(super) fn permit(&self, path: &Path) -> Result<(), LocateError> {
        match self.holding(path) {
            Some(root) => Err(LocateError::InsideRoot { program: path.to_owned(), root }),
            None => Ok(()),
        }
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
