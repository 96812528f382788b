//! Promises of the policy about paths from outside, as functions that panic where one does not hold. `crates/fuzzed` says who calls them.
#![expect(clippy::unwrap_used, reason = "a panic is what a finding is")]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
    },
    path::Path,
    sync::OnceLock,
};

use tempfile::TempDir;
use types::Principal;

use super::Policy;

/// A root, and around it what a path may lead to: a sibling whose name begins as the root's, links out, in, in circles and to nothing.
fn tree() -> &'static TempDir {
    static TREE: OnceLock<TempDir> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        for folder in ["root/inside/deep", "root-evil", "outside/deep"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["root/a.png", "root/inside/b.png", "root-evil/c.png", "outside/secret.png"] {
            fs::write(at(file), b"x").unwrap();
        }
        for (to, link) in [
            ("../outside", "root/out"),
            ("../outside/secret.png", "root/secret.png"),
            ("inside", "root/in"),
            ("..", "root/up"),
            ("/", "root/top"),
            ("circle", "root/circle"),
            ("nothing", "root/dangling"),
            ("../root", "outside/back"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        tree
    })
}

/// Whatever path is asked for: what is allowed lies in the root, by the numbers that the file system has for folders and not by names.
pub fn confinement(data: &[u8]) {
    let Some((base, path)) = data.split_first() else { return };
    let base = ["root", "root/inside", "root-evil", "outside", ""][usize::from(*base) % 5];
    let (tree, root) = (tree().path(), tree().path().join("root").canonicalize().unwrap());
    let policy = Policy::narrowest(root.clone());
    let path = tree.join(base).join(OsStr::from_bytes(path));
    let inode = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let lies_in_root = |real: &Path| real.ancestors().any(|folder| inode(folder) == inode(&root));
    if let Ok(real) = policy.check_cwd(&Principal::Anonymous, &path) {
        assert!(real.is_dir() && lies_in_root(&real), "{} by {}", real.display(), path.display());
    }
    if let Some(text) = path.to_str()
        && let Ok(real) = policy.check_image(&Principal::Anonymous, &root, None, text)
    {
        assert!(real.is_file() && lies_in_root(&real), "{} by {}", real.display(), path.display());
    }
}
