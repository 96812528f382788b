//! How a worktree comes to be: its folder, what its repository knows of it, its branch, and only then its files.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Error, Git, Snapshot, Tree,
    bench::{Bench, Index},
    os,
    repository::failed,
    run::Deadline,
};

impl Git {
    /// Makes a worktree as planned, with the files of a picture if there is one; gives the folder in it that `below` names. Where this fails, or
    /// breaks off, what there is of it is still there: [`Git::remove`] takes it away.
    ///
    /// # Errors
    /// Says what is in the way.
    pub async fn make(&self, tree: &Tree, below: &Path, files: Option<&Snapshot>) -> Result<PathBuf, Error> {
        let deadline = self.deadline();
        let _slot = self.slot(deadline).await?;
        self.make_home()?;
        os::make_folder(&tree.path).map_err(|error| Error::io(&tree.path, error))?;
        self.register(tree, deadline).await?;
        let bench = Bench::new(self, tree, deadline).await?;
        let content = files.map_or(tree.base.as_str(), |files| &files.content);
        bench.must("write the files", Index::Own, &["read-tree", "--reset", "-u", content]).await?;
        if files.is_some() {
            // What differs from the commit is as it was there: changed, and not yet noted.
            bench.must("note the files", Index::Own, &["read-tree", &tree.base]).await?;
            let refresh = ["update-index", "-q", "--ignore-submodules", "--refresh"];
            // It says by its status that some differ.
            bench.git(Index::Own, &refresh).await?;
        }
        folder_in(tree, below)
    }

    /// Has the repository know it. No file is written but `.git`, so no filter of the repository's is looked at.
    async fn register(&self, tree: &Tree, deadline: Deadline) -> Result<(), Error> {
        let args = ["worktree", "add", "--quiet", "--no-checkout", "--no-track", "-b", &tree.branch, "--"];
        let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        all.extend([tree.path.as_os_str(), OsStr::new(&tree.base)]);
        // In the repository that was looked at, whatever its checkout says by now.
        let said = self.shared_os(tree, deadline, &all).await?;
        if !said.success {
            return Err(failed("make the worktree", &said));
        }
        if tree.is_linked() {
            return Ok(());
        }
        let words = format!("{} does not lead to {}", tree.path.join(".git").display(), tree.admin().display());
        Err(Error::Failed { doing: "make the worktree as it was asked to", words })
    }
}

impl Tree {
    /// Whether `.git` in the worktree leads to where the repository keeps it, and back.
    pub(crate) fn is_linked(&self) -> bool {
        let file = self.path.join(".git");
        let is_file = fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
        let there = is_file.then(|| first_line(&file)).flatten();
        let there = there.and_then(|line| line.strip_prefix("gitdir:").map(|path| PathBuf::from(path.trim())));
        let back = first_line(&self.admin().join("gitdir")).map(PathBuf::from);
        there.is_some_and(|there| same(&there, &self.admin())) && back.is_some_and(|back| same(&back, &file))
    }
}

/// The folder of the session: the same in the worktree as it was in the checkout. A link may lead out of it.
fn folder_in(tree: &Tree, below: &Path) -> Result<PathBuf, Error> {
    let folder = tree.path.join(below);
    match dunce::canonicalize(&folder) {
        Ok(real) if real.starts_with(&tree.path) && real.is_dir() => Ok(real),
        _ => Err(Error::NotCommitted(tree.repository.join(below))),
    }
}

fn first_line(file: &Path) -> Option<String> {
    // A path, and no more.
    if fs::metadata(file).ok()?.len() > 8192 {
        return None;
    }
    fs::read_to_string(file).ok()?.lines().next().map(str::to_owned)
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || dunce::canonicalize(one).is_ok_and(|one| dunce::canonicalize(other).is_ok_and(|other| one == other))
}
