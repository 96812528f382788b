//! Turns: `queued -> running -> completed, failed or interrupted`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApprovalId, Item, Origin, SessionId, Timestamp, TurnId};

/// One prompt and all that follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Never changes, never reused.
    pub id: TurnId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// What it is for.
    #[serde(default)]
    pub kind: TurnKind,
    /// How far it is.
    pub status: TurnStatus,
    /// It waits until somebody asks for something in its session again; only while it is queued.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Whether Codex has recorded the prompt.
    pub delivery: Delivery,
    /// What the caller wrote; empty for a turn that only compacts.
    pub prompt: String,
    /// The turn whose prompt this one sends again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<TurnId>,
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

/// What a turn is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TurnKind {
    /// A prompt is answered.
    #[default]
    Prompt,
    /// Codex shortens the conversation to a summary, so that it fits the model again.
    Compact,
}

impl TurnKind {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Compact => "compact",
        }
    }
}

/// What a caller may say of one turn besides its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnOptions {
    /// The whole input in its order, when it is more than one text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<InputPart>,
    /// The model of this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How much the model is to think in this turn, in Codex's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// The JSON Schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<serde_json::Value>,
    /// What becomes of it when another process has its thread.
    #[serde(default, skip_serializing_if = "OnHeld::is_default")]
    pub on_held: OnHeld,
}

impl TurnOptions {
    /// True when nothing is said.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// True when there is nothing for Codex besides a text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.input.is_empty() && self.model.is_none() && self.effort.is_none() && self.output_schema.is_none()
    }

    /// The images of the input: addresses and paths, in order.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.input.iter().filter_map(|part| match part {
            InputPart::Text { .. } => None,
            InputPart::Image { url } => Some(url.as_str()),
            InputPart::LocalImage { path } => Some(path.as_str()),
        })
    }
}

/// What becomes of a turn whose thread another Codex process is writing to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnHeld {
    /// It fails, after some seconds in which that process may have ended.
    #[default]
    Fail,
    /// It waits until that process lets go of the thread.
    Wait,
    /// The session goes on with a copy of the thread.
    Fork,
}

impl OnHeld {
    /// Whether it is what holds when nobody says.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A part of what the caller sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum InputPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A picture that the model's service reads.
    Image {
        /// Its address: `data:`; where Codex fetches pictures itself (up to 0.152) also `https:` and `http:`.
        url: String,
    },
    /// A picture on this machine.
    LocalImage {
        /// Its path, absolute or from the session's folder.
        path: String,
    },
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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

impl Usage {
    /// These tokens and those.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cached_input_tokens: self.cached_input_tokens + other.cached_input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            reasoning_tokens: self.reasoning_tokens + other.reasoning_tokens,
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
