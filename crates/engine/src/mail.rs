//! What the hub and a session's task say to each other.

use std::sync::Arc;

use agent::Ask;
use store::{NewSession, NewTurn};
use tokio::sync::{oneshot, watch};
use types::{AgentId, AskId, SessionId, ThreadId, TitleSource};

use crate::{
    Refusal,
    state::{Finished, Input},
};

/// The turn that ended last, for whoever waits for one of the session's.
pub(crate) type Ended = watch::Receiver<Option<Arc<Finished>>>;

type Reply = oneshot::Sender<Result<Ended, Refusal>>;

/// What a session's task is told. A call is answered with something to wait on for the ends of turns.
#[derive(Debug)]
pub(crate) enum Mail {
    Submit {
        turn: Box<NewTurn>,
        reply: Reply,
    },
    Title {
        title: String,
        source: TitleSource,
        locked: bool,
        reply: Reply,
    },
    /// Nothing but that.
    Watch {
        reply: Reply,
    },
    Input(Input),
}

impl Mail {
    /// Whether somebody waits for an answer; such mail may be refused.
    pub(crate) const fn is_call(&self) -> bool {
        !matches!(self, Self::Input(_))
    }

    /// Says no to a call.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Submit { reply, .. } | Self::Title { reply, .. } | Self::Watch { reply } => {
                let _ = reply.send(Err(refusal));
            }
            Self::Input(_) => {}
        }
    }
}

/// What a session's task tells the hub.
pub(crate) enum Internal {
    Ask {
        session: SessionId,
        agent: AgentId,
        id: AskId,
        ask: Ask,
    },
    /// Nothing is left to do. `loaded` is the thread that Codex still has loaded for it.
    Retire {
        session: SessionId,
        handled: u64,
        loaded: Option<ThreadId>,
    },
}

/// Where the session comes from.
pub(crate) enum Birth {
    /// It is on disk.
    Stored(SessionId),
    /// It comes to be with the first turn, in the same batch.
    New(Box<NewSession>),
}
