//! What a person changes of a session, and how one goes.

use std::{collections::BTreeMap, path::PathBuf};

use store::WorktreeState;
use tokio::sync::oneshot;
use types::{
    Code, Principal, Session, SessionId, TitleSource, Turn, TurnId, WorktreeFate, WorktreeLeft, auto_title, fold_title,
};

use crate::{
    Engine, Refusal,
    hub::Call,
    mail::{Mail, Reply},
    prompt::check_labels,
    state::Patch,
    work::blocking,
};

/// What is to be different about a session; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPatch {
    /// Its title, which is locked from then on.
    pub title: Option<String>,
    /// Whether it is put away.
    pub archived: Option<bool>,
    /// Labels that are set, and without a value those that go.
    pub labels: BTreeMap<String, Option<String>>,
    /// Its folder.
    pub cwd: Option<PathBuf>,
}

impl Engine {
    /// Changes a session, and tells how it is then.
    ///
    /// # Errors
    /// When there is no such session, nothing is left of the title, the folder is not allowed, or a turn runs that is in the
    /// way. Then nothing was changed.
    pub async fn change(&self, who: &Principal, session: &str, patch: SessionPatch) -> Result<Session, Refusal> {
        let found = self.session(session).await?;
        let empty = || Refusal::new(Code::BadRequest, "the title is empty");
        let title = patch.title.map(|title| fold_title(&title).ok_or_else(empty)).transpose()?;
        let mut labels = found.labels.clone();
        for (key, value) in &patch.labels {
            match value {
                Some(value) => drop(labels.insert(key.clone(), value.clone())),
                None => drop(labels.remove(key)),
            }
        }
        check_labels(labels.iter().map(|(key, value)| (key, Some(value))))?;
        let cwd = match patch.cwd {
            None => None,
            Some(_) if *who != Principal::Local && !self.policy.allow_cwd_override => {
                let detail = "this daemon does not let requests choose the folder; it is started with --allow-cwd-override for that";
                return Err(Refusal::new(Code::CwdForbidden, detail));
            }
            Some(cwd) => {
                let (policy, who) = (self.policy.clone(), who.clone());
                let worktree = found.worktree.clone();
                Some(blocking(move || policy.check_place(&who, &cwd, worktree.as_ref())).await??)
            }
        };
        let title = title.map(|title| (title, TitleSource::Manual, true));
        let patch = Patch { title, archived: patch.archived, labels: patch.labels, cwd };
        self.patched(&found.id, patch).await
    }

    /// Titles a session by its latest prompt, unless its title is locked and `force` is not given. A lock stays.
    ///
    /// # Errors
    /// When there is no such session.
    pub async fn autoname(&self, session: &str, force: bool) -> Result<Session, Refusal> {
        let found = self.session(session).await?;
        if found.title_locked && !force {
            return Ok(found);
        }
        let (newest, _) = self.store.turns_page(&found.id, true, None, 8).await?;
        let Some(title) = newest.iter().find_map(|turn| auto_title(&turn.prompt)) else { return Ok(found) };
        let patch = Patch { title: Some((title, TitleSource::Auto, found.title_locked)), ..Patch::default() };
        self.patched(&found.id, patch).await
    }

    /// Deletes a session: what runs in it is interrupted, and everything of ours is gone. With `thread` Codex's own records of
    /// its threads go as well, before. Its worktree goes after it, or stays, as `fate` says; what became of it is told.
    ///
    /// # Errors
    /// When there is no such session, or Codex can't remove a thread; then the session is still there.
    pub async fn delete(
        &self,
        session: &str,
        thread: bool,
        fate: WorktreeFate,
    ) -> Result<Option<WorktreeLeft>, Refusal> {
        let found = self.session(session).await?;
        let threads = if thread { Some(self.store.threads(&found.id).await?) } else { None };
        if found.worktree.is_none() {
            self.tell(&found.id, |reply| Mail::Delete { threads, reply }).await?;
            return Ok(None);
        }
        let engine = self.clone();
        // A task of its own: the worktree is seen to also when the caller goes away.
        let deleted = tokio::spawn(async move {
            let state = if fate == WorktreeFate::Keep { WorktreeState::Kept } else { WorktreeState::Leaving };
            engine.worktrees.mark(&found.id, state).await?;
            if let Err(refusal) = engine.tell(&found.id, |reply| Mail::Delete { threads, reply }).await {
                // Where another deletion was quicker, that one sees to the worktree.
                if engine.store.session(&found.id).await?.is_some() {
                    let _ = engine.worktrees.mark(&found.id, WorktreeState::Used).await;
                }
                return Err(refusal);
            }
            Ok(engine.worktrees.leave(&found.id, fate).await?)
        });
        deleted.await.map_err(|_| Refusal::new(Code::Internal, "the deletion broke off"))?
    }

    /// Stops a turn: one that waits at once, one that runs as soon as Codex stops. What waits behind the one that ran is held.
    /// Tells the turn as it is then; it may still be running. When Codex does not stop it in time, Codex is started anew if that ends
    /// no turn of others, or with `force`.
    ///
    /// # Errors
    /// When there is no such turn, or it has ended.
    pub async fn interrupt(&self, turn: &TurnId, force: bool) -> Result<Turn, Refusal> {
        let found = self.turn(turn).await?;
        if found.status.ended() {
            let refusal = Refusal::new(Code::TurnEnded, "the turn has ended").of_session(&found.session_id);
            return Err(Refusal { turn: Some(found.id), ..refusal });
        }
        self.tell(&found.session_id, |reply| Mail::Interrupt { turn: turn.clone(), force, reply }).await?;
        self.turn(turn).await
    }

    /// Lets the turns that are held go on, and tells how the session is then.
    ///
    /// # Errors
    /// When there is no such session, or the store can't be written.
    pub async fn resume(&self, session: &str) -> Result<Session, Refusal> {
        let found = self.session(session).await?;
        self.tell(&found.id, |reply| Mail::Resume { reply }).await?;
        self.session(found.id.as_str()).await
    }

    async fn patched(&self, id: &SessionId, patch: Patch) -> Result<Session, Refusal> {
        self.tell(id, |reply| Mail::Change { patch: Box::new(patch), reply }).await?;
        self.session(id.as_str()).await
    }

    pub(crate) async fn tell(&self, id: &SessionId, mail: impl FnOnce(Reply) -> Mail) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Deliver { session: id.clone(), mail: mail(reply) }, answer).await.map(drop)
    }
}
