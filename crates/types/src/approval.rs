//! Approvals: what Codex asks before it acts, and what became of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApprovalId, FileChange, SessionId, Timestamp, TurnId};

/// A question that Codex waits with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Our own id.
    pub id: ApprovalId,
    /// The session.
    pub session_id: SessionId,
    /// The turn that waits.
    pub turn_id: TurnId,
    /// What it is about.
    pub kind: ApprovalKind,
    /// The command that Codex wants to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Why, in the model's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The files that it wants to change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FileChange>,
    /// What a person is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The decisions that can be given.
    pub decisions: Vec<Decision>,
    /// How commands begin that Codex proposes to allow from now on. `acceptForSession` can be given for all of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<String>,
    /// What became of it.
    pub status: ApprovalStatus,
    /// When Codex asked.
    pub requested_at: Timestamp,
    /// When it is answered by itself.
    pub expires_at: Timestamp,
    /// Who decided: a principal's name, `expiry`, or `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

/// What a person allowed for the rest of a session: what is the same is not asked again, also when Codex has forgotten it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// What it is about.
    pub kind: ApprovalKind,
    /// This command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// In this folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// All commands that begin with these words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<String>,
    /// Changes of these files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// What Codex asked for, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who allowed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What an approval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalKind {
    /// A command.
    Command,
    /// Changes of files.
    FileChange,
    /// More permissions for what follows.
    Permissions,
    /// Questions for a person.
    UserInput,
    /// A question of an MCP server inside Codex.
    Elicitation,
}

/// A question for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// By which its answers are given.
    pub id: String,
    /// The question.
    pub question: String,
    /// What may be chosen; other words may be given, too, unless Codex says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A decision over an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// Yes, once.
    #[serde(alias = "once")]
    Accept,
    /// Yes, and the same again in this session without asking.
    #[serde(alias = "always")]
    AcceptForSession,
    /// No; the turn goes on.
    #[serde(alias = "reject")]
    Decline,
    /// No, and the turn ends.
    Cancel,
}

/// What became of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalStatus {
    /// Codex waits.
    Pending,
    /// It was given.
    Accepted,
    /// It was not; the turn went on.
    Declined,
    /// It was not, and the turn ended; or the turn ended before.
    Cancelled,
    /// Nobody answered in time.
    Expired,
}

impl ApprovalStatus {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}
