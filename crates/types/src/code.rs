//! The closed set of error codes that callers see.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused, for programs. The set is closed; the sentence beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are the API's own; docs/api.md explains each")]
pub enum Code {
    BadRequest,
    BadCwd,
    Unauthorized,
    Forbidden,
    CwdForbidden,
    SandboxForbidden,
    ApprovalPolicyForbidden,
    ConfigForbidden,
    BadOrigin,
    NoSession,
    NoTurn,
    NoApproval,
    NotFound,
    MethodNotAllowed,
    TurnActive,
    TurnEnded,
    ThreadHeld,
    ApprovalResolved,
    NotSupported,
    BodyTooLarge,
    NotJson,
    BadHost,
    IdempotencyMismatch,
    InputTooLarge,
    QueueFull,
    TooManyRequests,
    Internal,
    AgentError,
    AgentUnavailable,
    Overloaded,
    StoreFull,
    ShuttingDown,
    AgentTimeout,
}

impl Code {
    /// True when the same request may succeed later, unchanged.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::QueueFull
                | Self::TooManyRequests
                | Self::AgentUnavailable
                | Self::Overloaded
                | Self::StoreFull
                | Self::ShuttingDown
                | Self::AgentTimeout
                | Self::ThreadHeld
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The serialised word is the only spelling; a unit variant always serialises.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => f.write_str(&word),
            _ => f.write_str("INTERNAL"),
        }
    }
}
