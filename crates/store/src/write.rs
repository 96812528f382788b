//! What can be written: facts of the domain, as data. A [`Batch`] is committed whole or not at all.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use types::{
    AgentId, Allowed, Approval, ApprovalId, ApprovalStatus, AskId, Delivery, EventId, EventName, Grant, Item, ItemBody,
    ItemId, Origin, Principal, Resumed, Session, SessionId, ThreadId, Timestamp, TitleSource, TurnError, TurnId,
    TurnKind, TurnOptions, TurnStatus, Usage, agent::Backend,
};

use crate::{StoredWorktree, WorktreeState};

/// Writes that belong together, in order. Either all of them are on disk or none.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// The writes, in order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Adds a write.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// True when there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new session.
    CreateSession(Box<NewSession>),
    /// Some fields of a session.
    UpdateSession {
        /// Which one.
        id: SessionId,
        /// What is new about it; absent fields stay.
        change: Box<SessionChange>,
    },
    /// A session goes, with everything in it.
    DeleteSession(SessionId),
    /// The turns of a session that have ended, with their items, once more in another one, under ids of their own.
    CopyTurns {
        /// Whose.
        from: SessionId,
        /// Where to; it has none yet.
        to: SessionId,
    },
    /// A thread that a session has, or had. The newest is its current one.
    AddThread {
        /// Codex's id.
        thread: ThreadId,
        /// Whose it is.
        session: SessionId,
        /// By which interface it was made.
        backend: Backend,
        /// Since when.
        at: Timestamp,
    },
    /// A new turn, queued, with its prompt as its first item.
    CreateTurn(Box<NewTurn>),
    /// Some fields of a turn.
    UpdateTurn {
        /// Which one.
        id: TurnId,
        /// What is new about it; absent fields stay.
        change: Box<TurnChange>,
    },
    /// An item as it is now; the same id again replaces it and keeps its place.
    PutItem {
        /// Its session.
        session: SessionId,
        /// Its turn.
        turn: TurnId,
        /// The item.
        item: Box<Item>,
        /// What Codex calls it, unique only within its thread and process.
        codex_id: Option<String>,
    },
    /// A numbered event.
    AddEvent(Box<NewEvent>),
    /// What Codex is about to be asked.
    AddAsk(Box<PendingAsk>),
    /// Codex has answered, or never will.
    SettleAsk(AskId),
    /// Everything that this process of Codex wrote for this session up to this line means nothing new any more.
    Seen {
        /// The session.
        session: SessionId,
        /// The process.
        agent: AgentId,
        /// The number of the line, as the transport counts.
        seq: u64,
    },
    /// A request that starts work, under a key of the caller's. Refused when the key is taken, and not yet old.
    Remember(Box<Remembered>),
    /// Work that a key began is another turn's now.
    Rebind {
        /// The key.
        key: IdempotencyKey,
        /// The turn.
        turn: TurnId,
    },
    /// A key is free again: what it was given for was refused.
    Release(IdempotencyKey),
    /// The key that began this turn is free again, if there was one.
    Forget(TurnId),
    /// Keys from before this moment are forgotten: they count no more.
    ForgetKeys {
        /// The moment.
        before: Timestamp,
    },
    /// A new grant. Refused when there is one of that name.
    AddGrant {
        /// What it opens.
        grant: Box<Grant>,
        /// The hash of its token.
        hash: [u8; 32],
    },
    /// What program Codex is, for the next daemon; the text is opaque here.
    KeepProgram(String),
    /// Another token for a grant.
    RotateGrant {
        /// Its name.
        name: String,
        /// The hash of its token from now on.
        hash: [u8; 32],
        /// When.
        at: Timestamp,
        /// Until when the token that it had opens as well.
        previous_until: Option<Timestamp>,
    },
    /// What Codex asks. It is open.
    AddApproval(Box<NewApproval>),
    /// An approval is decided. Refused when it is not open.
    ResolveApproval {
        /// Which one.
        id: ApprovalId,
        /// What became of it.
        resolution: Resolution,
    },
    /// A worktree is to be made for a session, which is not there yet. Making the session says that it has it.
    PlanWorktree(Box<StoredWorktree>),
    /// How far a worktree is.
    MarkWorktree {
        /// That of this session.
        session: SessionId,
        /// How far.
        state: WorktreeState,
        /// When.
        at: Timestamp,
    },
    /// Nothing is left of the worktree of a session.
    ForgetWorktree(SessionId),
    /// Nothing but a change that has to reach the disk.
    Try,
    /// A grant ends.
    RemoveGrant(String),
    /// A grant was used.
    GrantUsed {
        /// Its name.
        name: String,
        /// When.
        at: Timestamp,
    },
}

/// A session with what callers don't see of it.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What callers see. `status` and `turn_count` are not stored: they follow from the turns. Nor is `worktree`, which was planned before
    /// ([`Write::PlanWorktree`]).
    pub session: Session,
    /// Who made it.
    pub principal: Principal,
    /// Which way it came.
    pub origin: Origin,
    /// Instructions of the caller that are given to each of its threads.
    pub developer_instructions: Option<String>,
}

/// What changes of a session. `None` leaves a field as it is.
#[derive(Debug, Default, Clone)]
pub struct SessionChange {
    /// Its title, where that came from, and whether it is locked now.
    pub title: Option<(String, TitleSource, bool)>,
    /// Its folder.
    pub cwd: Option<PathBuf>,
    /// Its current thread. `Some(None)` means that it has none any more.
    pub thread: Option<Option<ThreadId>>,
    /// How its thread came back.
    pub resumed: Option<Resumed>,
    /// When it was put away; `Some(None)` brings it back.
    pub archived_at: Option<Option<Timestamp>>,
    /// All of its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Tokens of all its turns.
    pub usage: Option<Usage>,
    /// One more thing that is allowed without asking.
    pub allow: Option<Allowed>,
    /// What its thread goes back to after turns with a model of their own; `Some(None)` once it has.
    pub base: Option<Option<Base>>,
    /// When something last happened in it.
    pub updated_at: Option<Timestamp>,
}

/// What a thread had before a turn named a model or an effort of its own: Codex keeps what a turn names for those after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The model.
    pub model: Option<String>,
    /// The effort.
    pub effort: Option<String>,
}

/// An approval with what callers don't see of it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewApproval {
    /// What callers see; pending.
    pub approval: Approval,
    /// The process that asked.
    pub agent: AgentId,
    /// By which its answer finds the question there.
    pub request: String,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Not pending.
    pub status: ApprovalStatus,
    /// What Codex is told, in the engine's words.
    pub reply: Option<String>,
    /// Who decided: a principal's name, `expiry` or `policy`.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A key that a caller gave to a request, with everything that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who asked.
    pub principal: String,
    /// By which method.
    pub method: String,
    /// At which path.
    pub path: String,
    /// The key itself.
    pub key: String,
}

/// What came of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The key.
    pub key: IdempotencyKey,
    /// The hash of the body.
    pub body: [u8; 32],
    /// The session that it was about, or made.
    pub session: SessionId,
    /// The turn that it made.
    pub turn: Option<TurnId>,
    /// When. One that is older than [`Remembered::DAY`] counts no more.
    pub at: Timestamp,
}

impl Remembered {
    /// How long a key is bound, in milliseconds.
    pub const DAY: i64 = 24 * 60 * 60 * 1000;
}

/// A turn as it begins: queued and undelivered.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// Its id.
    pub id: TurnId,
    /// Its session.
    pub session: SessionId,
    /// The id of the item that holds its prompt.
    pub prompt_item: ItemId,
    /// What it is for.
    pub kind: TurnKind,
    /// The prompt.
    pub prompt: String,
    /// What was said besides.
    pub options: TurnOptions,
    /// The turn whose prompt it sends again.
    pub retry_of: Option<TurnId>,
    /// Who asked.
    pub principal: Principal,
    /// Which way.
    pub origin: Origin,
    /// When.
    pub created_at: Timestamp,
}

/// The first item of a turn: the prompt, or for a turn that compacts, the compaction.
#[must_use]
pub fn first_item(kind: TurnKind, prompt: &str, options: &TurnOptions) -> ItemBody {
    match kind {
        TurnKind::Prompt => {
            ItemBody::UserMessage { text: prompt.to_owned(), images: options.images().map(str::to_owned).collect() }
        }
        TurnKind::Compact => ItemBody::Other { raw: serde_json::json!({"type": "contextCompaction"}) },
    }
}

/// What changes of a turn. `None` leaves a field as it is.
#[derive(Debug, Default, Clone)]
pub struct TurnChange {
    /// How far it is.
    pub status: Option<TurnStatus>,
    /// Whether it is held back in the queue.
    pub held: Option<bool>,
    /// Whether Codex has recorded its prompt.
    pub delivery: Option<Delivery>,
    /// The thread it runs on.
    pub thread: Option<ThreadId>,
    /// Codex's own id of it.
    pub codex_turn: Option<String>,
    /// The number by which Codex was asked for it.
    pub ask: Option<AskId>,
    /// Somebody has interrupted it.
    pub stopping: Option<bool>,
    /// The process that was asked.
    pub agent: Option<AgentId>,
    /// Why it did not complete.
    pub error: Option<TurnError>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// An approval that was not given.
    pub declined: Option<ApprovalId>,
    /// When Codex was asked.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// An event before it has its number.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What happened.
    pub name: EventName,
    /// When.
    pub at: Timestamp,
    /// In which session.
    pub session: Option<SessionId>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// To which item.
    pub item: Option<ItemId>,
    /// What can't be read from the thing pointed to.
    pub detail: Option<serde_json::Value>,
}

/// A request to Codex that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAsk {
    /// Its number, also on the wire.
    pub id: AskId,
    /// Which process is asked.
    pub agent: AgentId,
    /// For which session.
    pub session: SessionId,
    /// For which turn.
    pub turn: Option<TurnId>,
    /// What it means, in the engine's words.
    pub meaning: String,
    /// The thread that it is about.
    pub thread: Option<ThreadId>,
    /// Since when.
    pub at: Timestamp,
}

/// What a commit gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The numbers of the batch's events, in their order.
    pub events: Vec<EventId>,
}
