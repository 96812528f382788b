//! Turns: `queued -> running -> completed, failed or interrupted`.

use serde::{Deserialize, Serialize};

use crate::{ApprovalId, Item, Origin, SessionId, Timestamp, TurnId};

/// One prompt and all that follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Never changes, never reused.
    pub id: TurnId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// How far it is.
    pub status: TurnStatus,
    /// Whether Codex has recorded the prompt.
    pub delivery: Delivery,
    /// What the caller wrote.
    pub prompt: String,
    /// The text of the last agent message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What happened, in order. Left out of events and of lists that don't ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Tokens, as Codex counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TurnError>,
    /// The approvals that were not given.
    pub declined: Vec<ApprovalId>,
    /// The way it came in.
    pub origin: Origin,
    /// Who asked for it, by name.
    pub principal: String,
    /// Its place in the queue, from 1; only while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When Codex was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnStatus {
    /// On disk, waiting for its turn.
    Queued,
    /// Codex has been asked.
    Running,
    /// It ended as it should.
    Completed,
    /// It ended with an error.
    Failed,
    /// It was stopped, or lost.
    Interrupted,
}

impl TurnStatus {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// True when nothing more will happen to it.
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Interrupted)
    }
}

/// Whether Codex has recorded the prompt. A prompt that may have been heard is never sent again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// It has not.
    No,
    /// It has.
    Yes,
    /// It was given the prompt and did not say.
    Unknown,
}

impl Delivery {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}

/// Tokens of one turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Given to the model.
    pub input_tokens: u64,
    /// Of those, read from its cache.
    pub cached_input_tokens: u64,
    /// Written by the model.
    pub output_tokens: u64,
    /// Of those, thoughts.
    pub reasoning_tokens: u64,
}

/// Why a turn did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnError {
    /// For programs.
    pub code: TurnErrorCode,
    /// For people: what happened, and where it helps, what to do.
    pub message: String,
    /// True when the same turn may well succeed later.
    pub retryable: bool,
}

impl TurnError {
    /// An error whose `retryable` is the code's own.
    #[must_use]
    pub fn new(code: TurnErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable() }
    }
}

/// Why a turn did not complete, for programs. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TurnErrorCode {
    /// The model's service said no.
    ModelError,
    /// The model's service said: not now.
    RateLimited,
    /// The conversation no longer fits the model.
    ContextExceeded,
    /// Codex is not logged in.
    LoginRequired,
    /// Codex applied a wider policy than it was given.
    PolicyWidened,
    /// Codex ended under the turn.
    AgentExited,
    /// Codex did not answer in time.
    AgentTimeout,
    /// The turn took longer than it may.
    TurnTimeout,
    /// The model's stream broke off.
    StreamCut,
    /// Anything else; the message is Codex's own.
    Other,
}

impl TurnErrorCode {
    /// True when the same turn may well succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::ModelError | Self::RateLimited | Self::AgentExited | Self::AgentTimeout | Self::StreamCut)
    }
}
