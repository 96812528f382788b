//! Why there is no worktree. Each text says what is wrong and what to do about it.

use std::{io, path::PathBuf, time::Duration};

/// Why git did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no git that may be run.
    #[error(
        "there is no git that codexd may run: it was looked for on PATH at the start of codexd, outside of the folders that agents work in; install git, then start codexd anew"
    )]
    NoGit,
    /// This git does not know what is needed to keep a repository from running programs.
    #[error("a worktree needs git 2.32 or later, and this one is {0}; install a newer one")]
    OldGit(String),
    /// The folder is in no repository.
    #[error("{} is in no git repository; leave `worktree` out, or make it one with `git init` and a first commit", .0.display())]
    NotARepository(PathBuf),
    /// A repository without files, or the inside of one's `.git`.
    #[error("{} is not among the files of a git repository (it is a bare one, or its .git folder); name a folder of a checkout", .0.display())]
    NoWorkTree(PathBuf),
    /// The repository has no commit.
    #[error("the repository {} has no commit yet, and a worktree begins with one; make a first commit, then try again", .0.display())]
    Unborn(PathBuf),
    /// It belongs to somebody else.
    #[error("git does not trust the repository of {}, because it belongs to another user; if you do, say so with `git config --global --add safe.directory DIR`", .0.display())]
    SomebodyElses(PathBuf),
    /// The folder is not in the commit that the worktree begins with.
    #[error("{} is in no commit of its repository, so the worktree would not have it; commit something in it first, or name another folder", .0.display())]
    NotCommitted(PathBuf),
    /// A path that can't be kept.
    #[error("a path of the repository can't be used: it is not UTF-8, or has a line break in it ({0:?})")]
    Name(PathBuf),
    /// Objects are missing, and nothing is fetched here.
    #[error("the repository {} lacks a part of what belongs to its commit (it is a partial clone?), and codexd fetches nothing; fetch it with git, then try again", repository.display())]
    Missing {
        /// Which one.
        repository: PathBuf,
    },
    /// The repository is not there any more, or not what it was.
    #[error("the repository {} is gone, or is another one than it was", .0.display())]
    Gone(PathBuf),
    /// The disk is full.
    #[error(
        "the disk that holds the store is full, so there is no room for a worktree; free some space, then try again"
    )]
    Full,
    /// It took too long.
    #[error("git took longer than {} seconds and was ended; is the disk very slow, or the repository very large?", .0.as_secs())]
    TookTooLong(Duration),
    /// Something else, in git's own words.
    #[error("git could not {doing}: {words}")]
    Failed {
        /// What it was to do.
        doing: &'static str,
        /// What it said.
        words: String,
    },
    /// The file system refused something.
    #[error("{} can't be used: {source}", path.display())]
    Io {
        /// What was wanted.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io { path: path.into(), source }
    }
}
