//! What Codex says unasked, and the answers among it, in the order in which it says them.

use types::{AgentId, AskId, ItemBody, ItemStatus, ThreadId, TurnError, Usage};

use super::{Answer, Applied, ApprovalRequest, AskError, RequestId};

/// Something that Codex said, read from one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which process said it.
    pub agent: AgentId,
    /// The number of the line, to be acknowledged. Zero: it was on no line, or more is reported of the same line after this.
    pub seq: u64,
    /// The number of the line that it was read from; zero: it was on none. A line may mean several things, which all have it, and comes again
    /// as a whole: whoever knows that it had this number before has had all of it.
    pub line: u64,
    /// Whom it is about.
    pub route: Route,
    /// What it says.
    pub what: What,
}

/// Whom a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A thread.
    Thread(ThreadId),
    /// Whoever asked this.
    Ask(AskId),
}

/// What Codex says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The answer to an ask.
    Answer(AskId, Result<Answer, AskError>),
    /// The thread that the ask made. Only from interfaces that name a thread with its first turn.
    Named {
        /// Its id.
        thread: ThreadId,
        /// What applies to it, when that was said.
        applied: Option<Applied>,
    },
    /// Codex began the turn.
    TurnStarted {
        /// Codex's id of it.
        codex_turn: String,
    },
    /// An item began.
    ItemStarted {
        /// Codex's id of it.
        codex_id: String,
        /// What it is, as far as it is known.
        body: ItemBody,
    },
    /// Text was added to an item.
    ItemDelta {
        /// Codex's id of the item.
        codex_id: String,
        /// To which of its texts.
        kind: DeltaKind,
        /// The added text.
        text: String,
    },
    /// An item ended.
    ItemCompleted {
        /// Codex's id of it.
        codex_id: String,
        /// How.
        status: ItemStatus,
        /// What it is now.
        body: ItemBody,
    },
    /// Tokens of one more request to the model.
    Usage(Usage),
    /// All that the turn has changed in files so far, as one diff.
    Diff(String),
    /// Something that the reader should know.
    Warning(String),
    /// The turn ended.
    TurnEnded {
        /// Codex's id of it; `None` when the interface has none.
        codex_turn: Option<String>,
        /// How.
        outcome: Outcome,
        /// The last agent message, when it was told with the end.
        last_message: Option<String>,
    },
    /// Codex asks and waits.
    Approval(ApprovalRequest),
    /// Codex does not wait for the answer any more, and nobody here has given one: the turn ended, or somebody else answered.
    ApprovalGone {
        /// The question.
        request: RequestId,
    },
}

/// Which text of an item a delta adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeltaKind {
    /// The message.
    Text,
    /// The summary of thoughts.
    Reasoning,
    /// A command's output.
    Output,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Completed,
    /// It was stopped.
    Interrupted,
    /// With an error.
    Failed(TurnError),
}
