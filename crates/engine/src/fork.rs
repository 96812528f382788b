//! A session that begins with the history of another one.

use std::path::PathBuf;

use store::IdempotencyKey;
use tokio::sync::oneshot;
use types::{Code, Origin, Principal, Session, SessionId, SessionStatus, Timestamp, TitleSource, Worktree, fold_title};

use crate::{
    Accepted, Engine, Policy, Refusal,
    hub::Call,
    idempotency::remember,
    mail::{Fork, Mail},
    prompt::Prompt,
};

/// What the title of a fork ends with when nobody gave it one.
const MARK: &str = " (fork)";

impl Engine {
    pub(crate) async fn fork(
        &self,
        who: &Principal,
        origin: Origin,
        session: &str,
        title: Option<String>,
        key: Option<(IdempotencyKey, [u8; 32])>,
    ) -> Result<Accepted, Refusal> {
        let empty = || Refusal::new(Code::BadRequest, "the title is empty");
        let title = title.map(|title| fold_title(&title).ok_or_else(empty)).transpose()?;
        let (from, _) = self.look(who, session, Prompt::default()).await?;
        let (id, at) = (SessionId::fresh(), Timestamp::now());
        let place = self.place_of_fork(&from, &id).await?;
        let has_worktree = place.is_some();
        let remember = remember(key, &id, None, at);
        let fork = Box::new(Fork { id: id.clone(), title, principal: who.clone(), origin, at, place });
        let (reply, answer) = oneshot::channel();
        let forked =
            self.call(Call::Deliver { session: from, mail: Mail::Fork { fork, remember, reply } }, answer).await;
        if forked.is_err() && has_worktree {
            self.worktrees.discard(&id).await;
        }
        forked?;
        Ok(Accepted { session: id, turn: None, ignored: Vec::new(), replayed: false })
    }

    /// A worktree for the fork of a session that works in one, with the same files: two sessions in one folder would undo each other's work.
    async fn place_of_fork(&self, from: &SessionId, id: &SessionId) -> Result<Option<(PathBuf, Worktree)>, Refusal> {
        let first = self.session(from.as_str()).await?;
        match first.worktree {
            Some(worktree) if first.cwd.starts_with(&worktree.path) => {
                Ok(Some(self.worktrees.copy(from, id, &first.cwd).await?))
            }
            _ => Ok(None),
        }
    }
}

impl Fork {
    /// The new session, with no more than whoever asks for it may have.
    pub(crate) fn of(self, session: &Session, policy: &Policy) -> store::NewSession {
        let (sandbox, approval_policy) = policy.confine(&self.principal, session.sandbox, session.approval_policy);
        let title_source = if self.title.is_some() { TitleSource::Manual } else { TitleSource::Auto };
        let title = self.title.unwrap_or_else(|| marked(&session.title));
        let (cwd, worktree) = match self.place {
            Some((cwd, worktree)) => (cwd, Some(worktree)),
            None => (session.cwd.clone(), None),
        };
        let session = Session {
            id: self.id,
            title,
            title_source,
            title_locked: false,
            status: SessionStatus::Idle,
            cwd,
            worktree,
            sandbox,
            approval_policy,
            thread_id: None,
            backend: None,
            turn_count: 0,
            // What a person allowed there holds there.
            allowed: Vec::new(),
            resumed: None,
            created_at: self.at,
            updated_at: self.at,
            archived_at: None,
            ..session.clone()
        };
        store::NewSession { session, principal: self.principal, origin: self.origin, developer_instructions: None }
    }
}

fn marked(title: &str) -> String {
    let room = types::TITLE_CHARS - MARK.chars().count();
    let mut short: String = title.trim_end_matches(MARK).chars().take(room).collect();
    short.truncate(short.trim_end().len());
    short.push_str(MARK);
    short.trim_start().to_owned()
}
