//! A repository of ours, empty and gone after use, by which git works on the files of a worktree without reading anything of what the worktree's own
//! repository configures. Objects are those of the worktree's repository.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    Error, Git, Tree,
    git::BENCH,
    repository::{failed, git_dir, switched_off},
    run::{Deadline, Overrides, Said},
};

/// See the module.
pub(crate) struct Bench<'a> {
    git: &'a Git,
    tree: &'a Tree,
    folder: TempDir,
    overrides: Overrides,
    deadline: Deadline,
}

/// Which list of files a run works with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Index {
    /// The bench's own, which begins empty: nothing that somebody marked in the worktree's own is believed.
    Fresh,
    /// The worktree's own.
    Own,
}

impl<'a> Bench<'a> {
    /// Sets one up for a worktree.
    pub(crate) async fn new(git: &'a Git, tree: &'a Tree, deadline: Deadline) -> Result<Self, Error> {
        if !tree.common.join("objects").is_dir() {
            return Err(Error::Gone(tree.repository.clone()));
        }
        let mut overrides = git.overrides();
        git.make_home()?;
        let home = git.home();
        let folder = tempfile::Builder::new().prefix(BENCH).tempdir_in(home).map_err(|error| Error::io(home, error))?;
        // The hash of a name tells which kind it is.
        let format = if tree.base.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        // By git, because it looks at what the file system can do.
        let args = ["init", "--quiet", "--template=", format, "--"].map(OsStr::new);
        let args = [&args[..], &[folder.path().as_os_str()]].concat();
        let said = git.run(Vec::new(), &overrides, deadline, &args).await?;
        if !said.success {
            return Err(failed("make a repository to work with", &said));
        }
        // Only the user's own and the system's: nobody changes these under us who could not do worse.
        let found = git.names(vec![git_dir(&folder.path().join(".git"))], &overrides, deadline).await?;
        let nothing = [("smudge", ""), ("clean", ""), ("process", ""), ("required", "false")];
        overrides.extend(switched_off(&found, "filter", &nothing));
        overrides.extend(switched_off(&found, "hook", &[("enabled", "false"), ("command", "")]));
        Ok(Self { git, tree, folder, overrides, deadline })
    }

    /// Runs git on the files of the worktree.
    pub(crate) async fn git(&self, index: Index, args: &[&str]) -> Result<Said, Error> {
        let index = match index {
            Index::Fresh => self.folder.path().join("index"),
            Index::Own => self.tree.admin().join("index"),
        };
        let set = |name, path: &Path| (name, path.as_os_str().to_owned());
        let env: Vec<(&'static str, OsString)> = vec![
            git_dir(&self.place()),
            set("GIT_OBJECT_DIRECTORY", &self.tree.common.join("objects")),
            set("GIT_WORK_TREE", &self.tree.path),
            set("GIT_INDEX_FILE", &index),
        ];
        // Paths are told from the top of the worktree.
        let mut all = vec![OsStr::new("-C"), self.tree.path.as_os_str()];
        all.extend(args.iter().map(OsStr::new));
        self.git.run(env, &self.overrides, self.deadline, &all).await
    }

    /// The same; anything but a success is an error.
    pub(crate) async fn must(&self, doing: &'static str, index: Index, args: &[&str]) -> Result<Said, Error> {
        let said = self.git(index, args).await?;
        if said.success {
            return Ok(said);
        }
        let missing = ["unable to read", "missing", "bad object", "promisor", "lazy fetching"];
        if missing.iter().any(|word| said.words.contains(word)) {
            return Err(Error::Missing { repository: self.tree.repository.clone() });
        }
        Err(failed(doing, &said))
    }

    /// Files are compared with this commit from now on.
    pub(crate) async fn compare_with(&self, commit: &str) -> Result<(), Error> {
        let head = self.place().join("HEAD");
        fs::write(&head, format!("{commit}\n")).map_err(|error| Error::io(head, error))?;
        self.must("read the commit", Index::Fresh, &["read-tree", commit]).await.map(drop)
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join(".git")
    }
}
