//! Worktrees of git: made for a session, looked at, taken away. The only crate that knows git, which is the program; no library of it.
//!
//! # Theory of operation
//!
//! codexd runs git as the user and outside of any sandbox, in repositories that strangers made and agents write in. A repository can name
//! programs that git runs: hooks, filters of its files, a watcher of its files, helpers that fetch. None of them may run here. So there are two kinds of
//! runs, and nothing in between:
//!
//! ```text
//!  in the repository  (repository.rs)  what is where, who has which commit, `worktree add --no-checkout`, a branch that goes.
//!                                      Reads the repository's own configuration. Of what that can name only hooks could run,
//!                                      and a fetch: hooks are switched off, and nothing may be fetched.
//!  on the bench       (bench.rs)       everything that touches files: checking out, comparing, taking a picture. In an empty repository
//!                                      of ours, which lasts as long as the run and borrows the objects. The repository's
//!                                      configuration is not read at all, and neither is the `.git` in the worktree, which an agent
//!                                      may have replaced. Filters of the user's own configuration are switched off as well:
//!                                      some of them (git-lfs) do what the repository says.
//! ```
//!
//! A consequence: files that git-lfs keeps elsewhere are pointers in a new worktree, until somebody runs `git lfs pull` there. Submodules are
//! empty folders, as in any new worktree. A sparse checkout is checked out whole.
//!
//! **Nothing is lost** ([`Git::loss`]): a worktree is taken away by itself only when all its files are those of its commit (what git ignores
//! does not count: it can be made again), nothing is staged, nothing is under way (a merge, a rebase, a bisection), it is not locked, and every commit
//! of it is on another branch, a tag, or a branch of a remote. Files are compared by what is in them and not by what the index says. What
//! can't be found out counts as a loss.
//!
//! **A crash** leaves what [`Tree`] tells, in any state between nothing and all of it, and files of the bench ([`Git::leftovers`]). [`Git::remove`] goes on from
//! wherever that was. Whoever calls keeps the [`Tree`] on disk before [`Git::make`] and until after [`Git::remove`].
//!
//! Architecture invariant: no program that a repository names is ever run.
//! Architecture invariant: git is run by its absolute path, with a deadline, and reads nothing from us.

mod bench;
mod error;
mod git;
mod loss;
mod make;
mod remove;
mod repository;
mod run;
#[cfg(test)]
#[cfg(unix)]
mod tests;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

use std::path::PathBuf;

pub use error::Error;
pub use git::Git;
pub use loss::Snapshot;
pub use repository::Found;

/// A worktree, made or to be made: all that is needed to find every part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its folder, canonical.
    pub path: PathBuf,
    /// The checkout that it was made from: the top folder, canonical.
    pub repository: PathBuf,
    /// Where the repository keeps what all its worktrees share, canonical.
    pub common: PathBuf,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// The commit that it began with.
    pub base: String,
}

impl Tree {
    /// Where the repository keeps what is this worktree's alone. git names it after the folder.
    fn admin(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        self.common.join("worktrees").join(name)
    }

    fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}
