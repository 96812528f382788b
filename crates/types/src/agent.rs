//! What is told of the agent: one Codex process and the adapter that speaks to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// What `GET /v1/agent` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// Whether it can work.
    pub status: AgentStatus,
    /// The interface that is spoken with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// Codex's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The versions that this codexd was tested with.
    pub supported: Supported,
    /// The program that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Codex's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When this process became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How often Codex was started again after it ended by itself.
    pub restarts: u64,
    /// Why it is not ready, or what ended the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// While it is unavailable: when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// A restart that somebody asked for, until it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// A restart of Codex that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentRestart)]
pub struct Restart {
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The turns that run may end first, and new ones wait.
    pub drain: bool,
    /// When those that have not ended by then are interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A model that Codex offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// What a request calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// It is used when nobody names one.
    pub default: bool,
    /// How much it can be told to think, in Codex's words.
    pub efforts: Vec<String>,
    /// How much it thinks when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_effort: Option<String>,
}

/// Whether the agent can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentStatus {
    /// The first start is under way.
    Starting,
    /// It takes turns.
    Ready,
    /// It ended and is being started again; or it is going to be, as `restart` says, and new turns wait.
    Restarting,
    /// It can't be started now; `lastError` says why. It is tried again later.
    Unavailable,
}

/// The interface that Codex is spoken to by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// `codex app-server`.
    AppServer,
    /// `codex mcp-server`, of Codex up to 0.153.
    McpServer,
}

impl Backend {
    /// The word in JSON, in the store, and on Codex's command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppServer => "app-server",
            Self::McpServer => "mcp-server",
        }
    }
}

/// The versions of Codex that this codexd was tested with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Supported {
    /// The oldest.
    pub from: String,
    /// The newest.
    pub to: String,
    /// Whether the one that runs lies between; unknown while none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<bool>,
}
