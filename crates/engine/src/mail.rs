//! What the hub and a session's task say to each other.

use std::{path::PathBuf, sync::Arc};

use agent::Ask;
use store::{Base, NewSession, NewTurn, Remembered};
use tokio::sync::{oneshot, watch};
use types::{AgentId, ApprovalId, AskId, Origin, Principal, SessionId, ThreadId, Timestamp, TurnId, Worktree};

use crate::{
    OnBusy, Refusal, Verdict,
    state::{Decider, Finished, Input, Patch, Steering},
};

/// The turn that ended last, for whoever waits for one of the session's.
pub(crate) type Ended = watch::Receiver<Option<Arc<Finished>>>;

/// The turn that took an addition, and something to wait on for its end.
pub(crate) type SteerReply = oneshot::Sender<Result<(TurnId, Ended), Refusal>>;

pub(crate) type Reply = oneshot::Sender<Result<Ended, Refusal>>;

/// What a session's task is told. A call is answered with something to wait on for the ends of turns.
#[derive(Debug)]
pub(crate) enum Mail {
    Submit {
        turn: Box<NewTurn>,
        on_busy: OnBusy,
        /// The caller's key, for the same commit.
        remember: Option<Box<Remembered>>,
        reply: Reply,
    },
    /// A session without a turn comes to be.
    Begin {
        remember: Option<Box<Remembered>>,
        reply: Reply,
    },
    Change {
        patch: Box<Patch>,
        reply: Reply,
    },
    /// Somebody decided over an approval.
    Decide {
        id: ApprovalId,
        verdict: Verdict,
        by: Decider,
        reply: Reply,
    },
    /// A turn is to stop. Answered when that is on its way.
    Interrupt {
        turn: TurnId,
        /// Codex is started anew if it does not stop it, also when that ends turns of others.
        force: bool,
        reply: Reply,
    },
    /// More words for a turn that runs. Answered when Codex took them, or when they became a turn of their own.
    Steer {
        steering: Box<Steering>,
        reply: SteerReply,
    },
    /// Another session is to begin with what this one has. Answered when it is there.
    Fork {
        fork: Box<Fork>,
        remember: Option<Box<Remembered>>,
        reply: Reply,
    },
    /// What was held goes on.
    Resume {
        reply: Reply,
    },
    /// It is to go. Answered when it has.
    Delete {
        /// Codex's records of these go first; its current one with them.
        threads: Option<Vec<ThreadId>>,
        reply: Reply,
    },
    /// Its rows were changed by somebody else: what is known of it is read again.
    Reload,
    /// Nothing but that.
    Watch {
        reply: Reply,
    },
    Input(Input),
}

impl Mail {
    /// Whether somebody waits for an answer; such mail may be refused.
    pub(crate) const fn is_call(&self) -> bool {
        !matches!(self, Self::Input(_) | Self::Reload)
    }

    /// Says no to a call.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Submit { reply, .. }
            | Self::Begin { reply, .. }
            | Self::Change { reply, .. }
            | Self::Decide { reply, .. }
            | Self::Interrupt { reply, .. }
            | Self::Fork { reply, .. }
            | Self::Resume { reply }
            | Self::Delete { reply, .. }
            | Self::Watch { reply } => {
                let _ = reply.send(Err(refusal));
            }
            Self::Steer { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Input(_) | Self::Reload => {}
        }
    }
}

/// A session to make of another one.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) id: SessionId,
    /// Its title; that of the other one without.
    pub(crate) title: Option<String>,
    pub(crate) principal: Principal,
    pub(crate) origin: Origin,
    pub(crate) at: Timestamp,
    /// Its folder in a worktree of its own; that of the other one without.
    pub(crate) place: Option<(PathBuf, Worktree)>,
}

/// A thread that Codex has loaded, and what it has when no turn says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) thread: ThreadId,
    pub(crate) base: Base,
}

/// What a session's task tells the hub.
pub(crate) enum Internal {
    Ask {
        session: SessionId,
        agent: AgentId,
        id: AskId,
        ask: Box<Ask>,
    },
    /// Codex has loaded this thread for a session.
    Loaded {
        session: SessionId,
        loaded: Loaded,
    },
    /// Codex does not stop the turn of a session. It is started anew when nobody else has a turn there, or with force.
    Unstoppable {
        session: SessionId,
        agent: AgentId,
        force: bool,
    },
    /// Nothing is left to do. `loaded` is the thread that Codex still has loaded for it.
    Retire {
        session: SessionId,
        handled: u64,
        loaded: Option<Loaded>,
    },
}

/// Where the session comes from.
pub(crate) enum Birth {
    /// It is on disk.
    Stored(SessionId),
    /// It comes to be with the first turn, in the same batch.
    New(Box<NewSession>),
}
