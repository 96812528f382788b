//! What reads give: what callers see, with what they don't.

use types::{
    AgentId, Approval, AskId, Delivery, Grant, ItemId, Origin, Principal, Role, Session, ThreadId, Timestamp, Turn,
    TurnId, TurnOptions,
};

use crate::{Base, PendingAsk};

/// A session with what callers don't see of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// What callers see.
    pub session: Session,
    /// Who made it.
    pub principal: Principal,
    /// Which way it came.
    pub origin: Origin,
    /// Instructions of the caller that are given to each of its threads.
    pub developer_instructions: Option<String>,
    /// What its thread goes back to after turns with a model of their own.
    pub base: Option<Base>,
    /// The process of Codex, and its last line for this session that means nothing new any more.
    pub seen: Option<(AgentId, u64)>,
}

/// A grant with what recognises its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// What callers see.
    pub grant: Grant,
    /// The hash of its token.
    pub hash: [u8; 32],
    /// The hash of the token that it had before, if that may still open it.
    pub previous: Option<[u8; 32]>,
}

/// A turn with what callers don't see of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTurn {
    /// What callers see, with its items.
    pub turn: Turn,
    /// What was said besides its prompt.
    pub options: TurnOptions,
    /// The item that holds its prompt.
    pub prompt_item: ItemId,
    /// The process that was asked.
    pub agent: Option<AgentId>,
    /// The thread that it runs on.
    pub thread: Option<ThreadId>,
    /// Codex's own id of it.
    pub codex_turn: Option<String>,
    /// The number by which Codex was asked for it.
    pub ask: Option<AskId>,
    /// Somebody has interrupted it.
    pub stopping: bool,
}

/// All that is on disk of a turn that runs, for a daemon that takes it over.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The turn.
    pub turn: StoredTurn,
    /// What Codex calls its items.
    pub codex_ids: Vec<(ItemId, String)>,
    /// What Codex was asked for it and has no answer.
    pub asks: Vec<PendingAsk>,
    /// What Codex asked.
    pub approvals: Vec<StoredApproval>,
    /// What was added to it and by whom, by its items; and whether Codex took it.
    pub steers: Vec<(ItemId, String, bool)>,
}

/// An approval with what callers don't see of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredApproval {
    /// What callers see.
    pub approval: Approval,
    /// By which its answer finds the question.
    pub request: String,
    /// What Codex is told, in the engine's words.
    pub reply: Option<String>,
}

/// A message of a session's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The turn that it belongs to.
    pub turn: TurnId,
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// Whether Codex has recorded the prompt of the turn.
    pub delivery: Delivery,
}

/// A session that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The session.
    pub session: Session,
    /// The turn of the message that was hit; none when the title was.
    pub turn: Option<TurnId>,
    /// About 160 characters around the first hit, on one line, cut with `…`.
    pub snippet: String,
    /// 1 when the title has all words, 0.5 when messages were needed. Never grows from one result to the next.
    pub score: f64,
}
