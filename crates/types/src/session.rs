//! Sessions.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{Allowed, ApprovalPolicy, Sandbox, SessionId, ThreadId, Timestamp, Usage, Worktree};

/// A conversation that the bridge owns: its id never changes and its history is on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Never changes, never reused.
    pub id: SessionId,
    /// At most [`crate::TITLE_CHARS`] characters, on one line.
    pub title: String,
    /// Where the title came from.
    pub title_source: TitleSource,
    /// A locked title is changed only by a person.
    pub title_locked: bool,
    /// What it is doing.
    pub status: SessionStatus,
    /// The folder that Codex works in.
    #[schema(value_type = String)]
    pub cwd: PathBuf,
    /// The git worktree that it has to itself. It works there unless it was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Worktree>,
    /// The model that was asked for; Codex's own default without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What its turns may touch.
    pub sandbox: Sandbox,
    /// When its turns ask.
    pub approval_policy: ApprovalPolicy,
    /// Codex's current conversation, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// The interface that the current thread was made by: `app-server` or `mcp-server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The session whose history this one began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SessionId>,
    /// The caller's own words.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Values of Codex's own configuration that its threads are given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub config: Map<String, Value>,
    /// How many turns it has had.
    pub turn_count: u64,
    /// Tokens of all its turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was allowed in it without asking again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
    /// How its thread came back the last time that it had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something last happened in it.
    pub updated_at: Timestamp,
    /// When it was put away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

impl Session {
    /// A session that has had no turn: idle, without a title, a thread, a model or labels.
    #[must_use]
    pub fn new(id: SessionId, cwd: PathBuf, sandbox: Sandbox, approval_policy: ApprovalPolicy, at: Timestamp) -> Self {
        Self {
            id,
            title: String::new(),
            title_source: TitleSource::Auto,
            title_locked: false,
            status: SessionStatus::Idle,
            cwd,
            worktree: None,
            model: None,
            sandbox,
            approval_policy,
            thread_id: None,
            backend: None,
            forked_from: None,
            labels: BTreeMap::new(),
            config: Map::new(),
            turn_count: 0,
            usage: None,
            allowed: Vec::new(),
            resumed: None,
            created_at: at,
            updated_at: at,
            archived_at: None,
        }
    }
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SessionStatus {
    /// Nothing.
    Idle,
    /// A turn is queued or running.
    Running,
    /// A turn waits for an answer.
    WaitingApproval,
}

impl SessionStatus {
    /// The word in JSON and in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::WaitingApproval => "waitingApproval",
        }
    }
}

/// Where a title came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TitleSource {
    /// From a prompt.
    Auto,
    /// From a person.
    Manual,
}

impl TitleSource {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

/// How a session's thread came back, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// By which of the ways.
    pub how: ResumedHow,
    /// When.
    pub at: Timestamp,
}

/// The ways in which a session continues, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ResumedHow {
    /// The running Codex still had the thread.
    Loaded,
    /// Codex read the thread back from its own record.
    Resumed,
    /// A copy of the thread goes on.
    Forked,
    /// Codex had no record: a new thread was given the saved messages.
    Replayed,
}

impl ResumedHow {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Resumed => "resumed",
            Self::Forked => "forked",
            Self::Replayed => "replayed",
        }
    }
}

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The caller.
    User,
    /// The model.
    Assistant,
}
