//! Worktrees that sessions have to themselves: who may have one, and what becomes of it.
//!
//! # Theory of operation
//!
//! Git takes its time, so it is run by the task of the request and never by the hub or by a session's task. What is intended is on disk before
//! git is run ([`store::WorktreeState`]):
//!
//! ```text
//!  planned ──(git makes it)──► used ──(DELETE)──► leaving ──► gone, and the row with it
//!     │ the session can't be made     │                └────► kept: something would be lost
//!     ▼                               └──(DELETE ?worktree=keep)──► kept
//!   gone
//! ```
//!
//! A row becomes `used` in the commit that makes the session. So at a start, a row without a session tells what to do: one that is `planned` was
//! never worked in and goes; one that is `used` or `leaving` goes when nothing would be lost; one that is `kept` stays, until somebody has
//! taken it away. Whatever can't be found out keeps it.
//!
//! What would be lost is for [`worktree::Git::loss`] to say.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use store::{Batch, Store, StoreError, StoredWorktree, WorktreeState, Write};
use types::{Code, Principal, SessionId, Timestamp, Worktree, WorktreeFate, WorktreeLeft};
use worktree::{Error, Found, Git, Snapshot, Tree};

use crate::{Policy, Refusal, work::blocking};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Worktrees {
    git: Git,
    store: Store,
}

/// What the last daemon left.
pub(crate) struct Leftovers {
    rows: Vec<StoredWorktree>,
    scraps: Vec<PathBuf>,
}

impl Worktrees {
    pub(crate) const fn new(git: Git, store: Store) -> Self {
        Self { git, store }
    }

    /// Makes one for a session that is to be. Gives the folder in it that the session works in.
    pub(crate) async fn make(
        &self,
        policy: &Arc<Policy>,
        who: &Principal,
        session: &SessionId,
        cwd: &Path,
    ) -> Result<(PathBuf, Worktree), Refusal> {
        let found = self.git.find(cwd).await.map_err(refusal)?;
        let (policy, asker, of) = (policy.clone(), who.clone(), found.clone());
        // The worktree has the whole of the repository, and makes a branch in it.
        blocking(move || {
            policy.check_cwd(&asker, &of.top).and_then(|_| policy.check_cwd(&asker, &of.common)).map_err(|refused| {
                let detail = format!("the repository of the folder can't be used: {}", refused.detail);
                Refusal { detail, ..refused }
            })
        })
        .await??;
        self.begin(session, &found, None).await
    }

    /// Makes one for a fork, with what is in the other one now.
    pub(crate) async fn copy(
        &self,
        of: &SessionId,
        session: &SessionId,
        cwd: &Path,
    ) -> Result<(PathBuf, Worktree), Refusal> {
        let gone = || Refusal::new(Code::BadCwd, "the worktree of the session is gone").of_its_folder(of);
        let first = self.store.worktree(of).await?.ok_or_else(gone)?;
        let below = cwd.strip_prefix(&first.worktree.path).map_err(|_| gone())?.to_owned();
        let tree = tree(&first);
        let picture = self.git.snapshot(&tree).await.map_err(refusal)?;
        let found = self.git.beside(&tree, &picture, &below).await.map_err(refusal)?;
        self.begin(session, &found, Some(&picture)).await
    }

    async fn begin(
        &self,
        session: &SessionId,
        found: &Found,
        files: Option<&Snapshot>,
    ) -> Result<(PathBuf, Worktree), Refusal> {
        let tree = self.git.plan(session.as_str(), found);
        let worktree = Worktree {
            path: tree.path.clone(),
            repository: tree.repository.clone(),
            branch: tree.branch.clone(),
            base: tree.base.clone(),
        };
        let planned = StoredWorktree {
            session: session.clone(),
            worktree: worktree.clone(),
            common: tree.common.clone(),
            state: WorktreeState::Planned,
            at: Timestamp::now(),
        };
        self.commit(Write::PlanWorktree(Box::new(planned))).await?;
        match self.git.make(&tree, &found.below, files).await {
            Ok(cwd) => Ok((cwd, worktree)),
            Err(error) => {
                self.discard(session).await;
                Err(refusal(error))
            }
        }
    }

    /// Takes away one whose session could not be made. What fails here is done by the next start.
    pub(crate) async fn discard(&self, session: &SessionId) {
        // It may be there all the same, when codexd stops in this moment.
        let Ok(None) = self.store.session(session).await else { return };
        let Ok(Some(stored)) = self.store.worktree(session).await else { return };
        if stored.state == WorktreeState::Planned
            && let Err(why) = self.remove(&stored).await
        {
            tracing::warn!(%session, why, "a worktree whose session could not be made is still there");
        }
    }

    /// Notes what is to become of it, before its session goes.
    pub(crate) async fn mark(&self, session: &SessionId, state: WorktreeState) -> Result<(), Refusal> {
        let mark = Write::MarkWorktree { session: session.clone(), state, at: Timestamp::now() };
        Ok(self.commit(mark).await?)
    }

    /// Its session is gone. Tells what became of it; nothing when there was none.
    pub(crate) async fn leave(
        &self,
        session: &SessionId,
        fate: WorktreeFate,
    ) -> Result<Option<WorktreeLeft>, StoreError> {
        let Some(stored) = self.store.worktree(session).await? else { return Ok(None) };
        let reason = match fate {
            WorktreeFate::Keep => Some("it was to be kept".to_owned()),
            WorktreeFate::Auto => self.reason(&stored).await,
            WorktreeFate::Remove => None,
        };
        let reason = match reason {
            Some(reason) => Some(reason),
            None => self.remove(&stored).await.err(),
        };
        if let Some(reason) = &reason {
            self.commit(Write::MarkWorktree {
                session: session.clone(),
                state: WorktreeState::Kept,
                at: Timestamp::now(),
            })
            .await?;
            let path = stored.worktree.path.display();
            tracing::info!(%session, reason, "the worktree {path} stays");
        }
        let by_hand = reason.is_some().then(|| Git::by_hand(&tree(&stored)));
        Ok(Some(WorktreeLeft { worktree: stored.worktree, removed: reason.is_none(), reason, by_hand }))
    }

    /// Why it has to stay.
    async fn reason(&self, stored: &StoredWorktree) -> Option<String> {
        match self.store.session_within(&stored.worktree.path).await {
            Ok(None) => {}
            Ok(Some(other)) => return Some(format!("session {other} works in it")),
            Err(error) => return Some(format!("it can't be found out who works in it: {error}")),
        }
        match self.git.loss(&tree(stored)).await {
            Ok(why) => why,
            Err(error) => Some(format!("it can't be found out what would be lost: {error}")),
        }
    }

    async fn remove(&self, stored: &StoredWorktree) -> Result<(), String> {
        self.git.remove(&tree(stored)).await.map_err(|error| format!("it can't be removed: {error}"))?;
        let forgotten = self.commit(Write::ForgetWorktree(stored.session.clone())).await;
        // It is gone; that it is known for longer does no harm.
        if let Err(error) = forgotten {
            tracing::warn!(%error, session = %stored.session, "that a worktree is gone is not written down yet");
        }
        Ok(())
    }

    /// What the last daemon left. To be asked before anything is made.
    pub(crate) async fn leftovers(&self) -> Result<Leftovers, StoreError> {
        let (rows, known) = (self.store.worktrees_without_session().await?, self.store.worktree_paths().await?);
        let git = self.git.clone();
        let (scraps, folders) = tokio::task::spawn_blocking(move || git.leftovers()).await.unwrap_or_default();
        for folder in folders.iter().filter(|folder| !known.contains(folder)) {
            let folder = folder.display();
            tracing::warn!(
                "nothing is known of {folder}; was the store restored? Look at what is in it, then remove it"
            );
        }
        Ok(Leftovers { rows, scraps })
    }

    /// Sees to what the last daemon left.
    pub(crate) async fn tidy(self, Leftovers { rows, scraps }: Leftovers) {
        let git = self.git.clone();
        if tokio::task::spawn_blocking(move || git.clear(&scraps)).await.is_err() {
            tracing::warn!("clearing up among the worktrees broke off");
        }
        for row in rows {
            let (session, path) = (&row.session, row.worktree.path.display());
            let done = match row.state {
                WorktreeState::Planned => {
                    if let Err(why) = self.remove(&row).await {
                        tracing::warn!(%session, why, "the worktree {path}, in which nobody worked, is still there");
                    }
                    Ok(())
                }
                WorktreeState::Used | WorktreeState::Leaving => self.leave(session, WorktreeFate::Auto).await.map(drop),
                WorktreeState::Kept if !row.worktree.path.exists() => {
                    self.commit(Write::ForgetWorktree(session.clone())).await
                }
                WorktreeState::Kept => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(%error, %session, "the worktree {path} is not seen to yet");
            }
        }
    }

    async fn commit(&self, write: Write) -> Result<(), StoreError> {
        self.store.commit(Batch { writes: vec![write] }).await.map(drop)
    }
}

fn tree(stored: &StoredWorktree) -> Tree {
    let Worktree { path, repository, branch, base } = stored.worktree.clone();
    Tree { path, repository, common: stored.common.clone(), branch, base }
}

fn refusal(error: Error) -> Refusal {
    let code = match &error {
        Error::NotARepository(_)
        | Error::NoWorkTree(_)
        | Error::Unborn(_)
        | Error::SomebodyElses(_)
        | Error::NotCommitted(_)
        | Error::Name(_)
        | Error::Gone(_) => Code::BadCwd,
        Error::NoGit | Error::OldGit(_) | Error::Missing { .. } => Code::NotSupported,
        Error::Full => Code::StoreFull,
        Error::TookTooLong(_) => Code::Overloaded,
        Error::Failed { .. } | Error::Io { .. } => Code::Internal,
    };
    Refusal::new(code, error.to_string())
}
