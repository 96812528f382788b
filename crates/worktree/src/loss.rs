//! What would be lost with a worktree, and a picture of what is in it.

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use crate::{
    Error, Git, Tree,
    bench::{Bench, Index},
    run::Deadline,
};

/// What a repository may keep of a worktree at rest. Anything else is a sign of something under way: MERGE_HEAD, rebase-merge, BISECT_LOG, locked...
const AT_REST: [&str; 11] = [
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "COMMIT_EDITMSG",
    "commondir",
    "gitdir",
    "index",
    "logs",
    "refs",
    "info",
    "config.worktree",
];

/// How many files are named.
const NAMED: usize = 3;

/// What is in a worktree now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that is checked out.
    pub head: String,
    /// The tree of all its files, changed and new ones too.
    pub(crate) content: String,
}

impl Git {
    /// What would be lost if the worktree went, in words that go on from "it stays, because"; nothing when nothing would be. What can't be found
    /// out is an error, and counts as a loss.
    ///
    /// # Errors
    /// When the repository is gone, or git can't look.
    pub async fn loss(&self, tree: &Tree) -> Result<Option<String>, Error> {
        let deadline = self.deadline();
        let _slot = self.slot(deadline).await?;
        self.look_for_loss(tree, deadline).await
    }

    async fn look_for_loss(&self, tree: &Tree, deadline: Deadline) -> Result<Option<String>, Error> {
        if !tree.common.is_dir() {
            return Err(Error::Gone(tree.repository.clone()));
        }
        let found = fs::symlink_metadata(&tree.path);
        if found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Somebody took it away, or a crash came in the middle of that. Its commits may be all that there is.
            let tip = self.commit(tree, &tree.branch_ref(), deadline).await?;
            return self.lost_commits(tree, tip, deadline).await;
        }
        if !found.is_ok_and(|found| found.is_dir()) || !tree.is_linked() {
            let why = "its `.git` file is not what git made, so that its repository does not know it any more; look at that file before you run git there";
            return Ok(Some(why.to_owned()));
        }
        if let Some(name) = under_way(&tree.admin()) {
            let why = match name.as_str() {
                "locked" => "it is locked (`git worktree lock`)".to_owned(),
                "modules" => "a submodule is checked out in it".to_owned(),
                _ => format!("something is under way in it ({name})"),
            };
            return Ok(Some(why));
        }
        let name = format!("worktrees/{}/HEAD", tree.path.file_name().unwrap_or_default().to_string_lossy());
        let Some(head) = self.commit(tree, &name, deadline).await? else {
            return Ok(Some("nothing is checked out in it".to_owned()));
        };
        let tip = self.commit(tree, &tree.branch_ref(), deadline).await?;
        if let Some(why) = self.lost_commits(tree, [Some(head.clone()), tip].into_iter().flatten(), deadline).await? {
            return Ok(Some(why));
        }
        let bench = Bench::new(self, tree, deadline).await?;
        lost_files(&bench, tree, &head).await
    }

    async fn lost_commits(
        &self,
        tree: &Tree,
        commits: impl IntoIterator<Item = String>,
        deadline: Deadline,
    ) -> Result<Option<String>, Error> {
        for commit in commits {
            if commit != tree.base && !self.is_kept(tree, &commit, deadline).await? {
                let short: String = commit.chars().take(12).collect();
                return Ok(Some(format!("its commit {short} is on no other branch")));
            }
        }
        Ok(None)
    }

    /// A picture of what is in the worktree, with what is changed and what is new, and without what git ignores. Its objects go into the
    /// repository, where nothing names them.
    ///
    /// # Errors
    /// When the repository is gone, or git can't look.
    pub async fn snapshot(&self, tree: &Tree) -> Result<Snapshot, Error> {
        let deadline = self.deadline();
        let _slot = self.slot(deadline).await?;
        if !tree.path.is_dir() || !tree.admin().is_dir() {
            return Err(Error::Gone(tree.path.clone()));
        }
        let name = format!("worktrees/{}/HEAD", tree.path.file_name().unwrap_or_default().to_string_lossy());
        let head = self.commit(tree, &name, deadline).await?.ok_or_else(|| Error::Unborn(tree.path.clone()))?;
        let bench = Bench::new(self, tree, deadline).await?;
        bench.compare_with(&head).await?;
        bench.must("take in the files", Index::Fresh, &["add", "--all", "--", "."]).await?;
        let said = bench.must("take in the files", Index::Fresh, &["write-tree"]).await?;
        let content = String::from_utf8_lossy(&said.out).trim().to_owned();
        Ok(Snapshot { head, content })
    }
}

async fn lost_files(bench: &Bench<'_>, tree: &Tree, head: &str) -> Result<Option<String>, Error> {
    // Both sides are names of contents: nothing is read of files, so no mark on one counts.
    let staged = bench.git(Index::Own, &["diff-index", "--cached", "--name-only", "-z", head, "--"]).await?;
    if !staged.success || !staged.out.is_empty() {
        return Ok(Some(format!("something is staged in it{}", names(&staged.out, 0))));
    }
    bench.compare_with(head).await?;
    let args =
        ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all"];
    let status = bench.must("compare the files", Index::Fresh, &args).await?;
    if !status.out.is_empty() {
        return Ok(Some(format!("files in it are changed or new{}", names(&status.out, 3))));
    }
    let listed = bench.must("list the files", Index::Fresh, &["ls-files", "--stage", "-z"]).await?;
    let submodules = listed.out.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
    for entry in submodules {
        let name = entry.splitn(2, |byte| *byte == b'\t').nth(1).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let folder = tree.path.join(&*name);
        let is_there = fs::symlink_metadata(&folder).is_ok();
        let is_empty = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
        if is_there && !is_empty {
            return Ok(Some(format!("the submodule {name} is checked out in it")));
        }
    }
    Ok(None)
}

/// What git keeps of a worktree that is not at rest.
fn under_way(admin: &Path) -> Option<String> {
    let odd = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match &*name {
            // Refs that are this worktree's alone: of a bisection, or somebody's own.
            "refs" => has_file(&entry.path()),
            name => !AT_REST.contains(&name),
        }
    };
    let entries = fs::read_dir(admin).ok()?;
    entries.flatten().find(odd).map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn has_file(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()) || has_file(&entry.path()))
}

/// The first names of a list that ends each with a zero, without so many characters before them.
fn names(listed: &[u8], skip: usize) -> String {
    let all: Vec<String> = listed
        .split(|byte| *byte == 0)
        .filter_map(|name| name.get(skip..).filter(|name| !name.is_empty()))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let shown: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    match (shown.is_empty(), all.len().saturating_sub(NAMED)) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", shown.join(", ")),
        (false, more) => format!(": {} and {more} more", shown.join(", ")),
    }
}
