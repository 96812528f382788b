//! What goes into the machine and what comes out.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use agent::{Ask, Capabilities, DeltaKind, Reply, Report, RequestId};
use store::{Batch, Message, Write};
use types::{
    AgentId, AskId, Delivery, ItemId, Principal, SessionId, ThreadId, Timestamp, TitleSource, TurnError, TurnId,
    TurnStatus, agent::Backend,
};

use crate::{OnExpiry, Policy, Refusal, mail::Loaded};

/// Bounds of one session's work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queue: usize,
    pub(crate) turn: Duration,
    pub(crate) inject_chars: usize,
    pub(crate) awake: usize,
    pub(crate) linger: Duration,
    pub(crate) approval: Duration,
    pub(crate) on_expiry: OnExpiry,
    /// How long a turn that is told to stop may take.
    pub(crate) stop_grace: Duration,
}

/// What the operator sets for every session.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) bounds: Bounds,
    pub(crate) policy: Arc<Policy>,
}

/// What the machine may look at while it handles an input.
pub(crate) struct Now<'a> {
    pub(crate) clock: Instant,
    pub(crate) at: Timestamp,
    /// Numbers for asks.
    pub(crate) next_ask: &'a dyn Fn() -> AskId,
}

/// A process that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Up {
    pub(crate) id: AgentId,
    pub(crate) backend: Backend,
    pub(crate) capabilities: Capabilities,
    /// It was there before this daemon.
    pub(crate) attached: bool,
}

/// What a person changes of a session.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    /// The title, where it comes from, and whether it is locked then.
    pub(crate) title: Option<(String, TitleSource, bool)>,
    pub(crate) archived: Option<bool>,
    /// Labels that are set, and those that go.
    pub(crate) labels: BTreeMap<String, Option<String>>,
    /// Checked already.
    pub(crate) cwd: Option<PathBuf>,
}

/// What can happen to a session.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are reports; a box would be one allocation each")]
pub(crate) enum Input {
    AgentUp(Up),
    AgentDown {
        error: String,
        retrying: bool,
    },
    Report(Report),
    /// Codex is started anew once the turns that run have ended: no other one begins before that.
    Drain,
    /// The folder of the turn that wanted to start was looked at.
    Checked {
        turn: TurnId,
        verdict: Result<(), String>,
    },
    /// The history that was asked for.
    History {
        turn: TurnId,
        messages: Result<Vec<Message>, String>,
    },
    /// Codex is not started anew for the turn that it does not stop.
    LeftRunning,
    Tick,
}

/// What the machine wants done once its writes are committed.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    Ask {
        agent: AgentId,
        id: AskId,
        ask: Ask,
    },
    Reply {
        agent: AgentId,
        request: RequestId,
        reply: Reply,
    },
    Ack {
        agent: AgentId,
        seq: u64,
    },
    CheckCwd {
        turn: TurnId,
        principal: Principal,
        /// Pictures on this machine, which are looked at as well.
        images: Vec<String>,
    },
    LoadHistory {
        turn: TurnId,
    },
    /// A turn ended: whoever waits for it is told.
    Ended(Finished),
    /// A text in progress grew.
    Grew {
        turn: TurnId,
        item: ItemId,
        kind: DeltaKind,
        text: String,
    },
    /// An item is over.
    ItemOver(ItemId),
    /// An addition was taken by this turn, or was not.
    Steered {
        item: ItemId,
        result: Result<TurnId, Refusal>,
    },
    /// The other session is there.
    Forked(SessionId),
    /// Codex has loaded a thread for a session.
    Loaded {
        session: SessionId,
        loaded: Loaded,
    },
    /// Whether the turn gets its thread is known now.
    Opened {
        turn: TurnId,
        result: Result<(), Refusal>,
    },
    /// Codex did not stop the turn.
    Unstoppable {
        agent: AgentId,
        /// Codex is to be started anew whatever else it runs.
        force: bool,
    },
    /// The session is gone, or can't go.
    Left(Result<(), Refusal>),
}

/// How a turn ended, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Which one.
    pub turn: TurnId,
    /// How.
    pub status: TurnStatus,
    /// Whether Codex had recorded the prompt.
    pub delivery: Delivery,
    /// The text of the last agent message.
    pub answer: Option<String>,
    /// Why it did not complete.
    pub error: Option<TurnError>,
    /// The session's thread by then.
    pub thread: Option<ThreadId>,
}

/// What came of one or more inputs: one batch, and what follows from it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) batch: Batch,
    pub(crate) effects: Vec<Effect>,
    /// The last line that was understood, for the batch.
    pub(super) seen: Option<(AgentId, u64)>,
}

impl Output {
    /// Closes the batch: what is committed includes up to which line Codex was understood.
    pub(crate) fn seal(&mut self, session: &SessionId) {
        if let (Some((agent, seq)), false) = (self.seen.take(), self.batch.is_empty()) {
            self.batch.push(Write::Seen { session: session.clone(), agent, seq });
        }
    }
}
