//! Items: the things that happen in a turn.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ItemId, Timestamp};

/// One thing that happened in a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Our own id.
    pub id: ItemId,
    /// How far it got.
    pub status: ItemStatus,
    /// When it began.
    pub at: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub body: ItemBody,
}

/// How far an item got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ItemStatus {
    /// Codex is at it.
    InProgress,
    /// Done.
    Completed,
    /// Codex tried and failed.
    Failed,
    /// Somebody, or a rule, said no.
    Declined,
    /// Codex never finished it: a cut stream, a steer, a crash.
    Incomplete,
}

/// What an item is. The kinds and fields are those of the API; what Codex sends and we don't know is kept as
/// [`ItemBody::Other`], whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ItemBody {
    /// What the caller wrote.
    UserMessage {
        /// The prompt.
        text: String,
        /// Image addresses or paths that came with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<String>,
    },
    /// What the model answered.
    AgentMessage {
        /// The answer.
        text: String,
    },
    /// The model's summary of its thoughts.
    Reasoning {
        /// The summary.
        summary: String,
    },
    /// A command that Codex ran.
    CommandExecution {
        /// The command, as Codex shows it.
        command: String,
        /// The folder it ran in.
        cwd: String,
        /// What it wrote to stdout and stderr.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// True when Codex cut the output.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_truncated: Option<bool>,
        /// Its exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i64>,
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<i64>,
    },
    /// Files that Codex changed, or wants to.
    FileChange {
        /// A change a file.
        changes: Vec<FileChange>,
    },
    /// The model's plan.
    Plan {
        /// Its steps, in order.
        steps: Vec<PlanStep>,
    },
    /// A tool of an MCP server inside Codex.
    McpToolCall {
        /// The server's name in Codex's configuration.
        server: String,
        /// The tool.
        tool: String,
        /// What it was given.
        arguments: serde_json::Value,
        /// What it gave back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<serde_json::Value>,
    },
    /// A search on the web.
    WebSearch {
        /// What was looked for.
        query: String,
    },
    /// Something that the reader should know.
    Warning {
        /// In words.
        message: String,
    },
    /// What this version of codexd does not know: Codex's own JSON.
    Other {
        /// As Codex sent it.
        raw: serde_json::Value,
    },
}

impl ItemBody {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UserMessage { .. } => "userMessage",
            Self::AgentMessage { .. } => "agentMessage",
            Self::Reasoning { .. } => "reasoning",
            Self::CommandExecution { .. } => "commandExecution",
            Self::FileChange { .. } => "fileChange",
            Self::Plan { .. } => "plan",
            Self::McpToolCall { .. } => "mcpToolCall",
            Self::WebSearch { .. } => "webSearch",
            Self::Warning { .. } => "warning",
            Self::Other { .. } => "other",
        }
    }
}

/// A change to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The file, as Codex names it.
    pub path: String,
    /// What happens to it.
    pub kind: ChangeKind,
    /// A unified diff, or the new content of an added file.
    pub diff: String,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It is new.
    Add,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// It changes its name.
    Move,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// What is to be done.
    pub step: String,
    /// How far it is, in Codex's words.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_flat_and_tagged_by_kind() {
        let item = Item {
            id: ItemId::parse("i1").unwrap(),
            status: ItemStatus::InProgress,
            at: Timestamp::from_millis(0),
            body: ItemBody::CommandExecution {
                command: "ls".into(),
                cwd: "/".into(),
                output: None,
                output_truncated: None,
                exit_code: Some(0),
                duration_ms: None,
            },
        };
        let json = serde_json::to_value(&item).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"id": "i1", "status": "inProgress", "at": "1970-01-01T00:00:00.000Z",
                "kind": "commandExecution", "command": "ls", "cwd": "/", "exitCode": 0})
        );
        assert_eq!(serde_json::from_value::<Item>(json).unwrap(), item);
    }
}
