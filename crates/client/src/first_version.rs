//! The shapes of the routes of the first version, as api.md has them. Fields that are not used here are left out, not
//! refused.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::agent::AgentInfo;

/// `POST /start`: a new session and its first turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What to do.
    pub prompt: String,
    /// The session's title; made from the prompt without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The model; the daemon's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `read-only`, `workspace-write` or `danger-full-access`; the daemon's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// `untrusted`, `on-request` or `never`; the daemon's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<String>,
    /// The folder to work in, absolute; the daemon's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// `POST /continue`: a further turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Continue {
    /// The session, or any thread that it has had.
    pub session_id: String,
    /// What to do.
    pub prompt: String,
}

/// How a turn ended: the answer of `/start`, `/continue` and `/reply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The session.
    pub session_id: String,
    /// Codex's conversation, once there was one.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// The answer, or why the turn failed.
    #[serde(default)]
    pub content: Vec<Text>,
    /// The same as Codex's own tools gave it.
    #[serde(default)]
    pub structured_content: Option<StructuredContent>,
    /// The turn did not complete; the text says why.
    #[serde(default)]
    pub is_error: bool,
    /// The turn's own status (`failed`, `interrupted`), from a daemon that tells it. api.md does not ask for it yet.
    #[serde(default)]
    pub status: Option<String>,
    /// What was asked for and is not allowed to a request.
    #[serde(default)]
    pub ignored_overrides: Vec<String>,
}

impl Answer {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.content.iter().map(|text| text.text.as_str()).collect()
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// `text`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The text.
    #[serde(default)]
    pub text: String,
}

/// The answer as the tools of `codex mcp-server` gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StructuredContent {
    /// Codex's conversation.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// The answer.
    #[serde(default)]
    pub content: Option<String>,
}

/// `GET /sessions` and `GET /sessions/search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// In the daemon's order: newest activity first, or best match first.
    pub sessions: Vec<SessionSummary>,
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionSummary {
    /// The session.
    pub session_id: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub created_at_ms: i64,
    /// When something last happened in it, in milliseconds since 1970.
    #[serde(default)]
    pub updated_at_ms: i64,
    /// Its title.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether only a person changes it.
    #[serde(default)]
    pub title_locked: bool,
    /// `auto` or `manual`.
    #[serde(default)]
    pub title_source: Option<String>,
}

/// `GET /sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionDetail {
    /// The session.
    pub session_id: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub created_at_ms: i64,
    /// When something last happened in it, in milliseconds since 1970.
    #[serde(default)]
    pub updated_at_ms: i64,
    /// Codex's current conversation.
    #[serde(default)]
    pub thread_id: Option<String>,
    /// What it is.
    #[serde(default)]
    pub meta: SessionMeta,
    /// How its thread came back the last time that it had to.
    #[serde(default)]
    pub resumed: Option<types::Resumed>,
    /// What was said, oldest first.
    #[serde(default)]
    pub history: Vec<Message>,
}

/// What a session is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionMeta {
    /// Its title.
    pub title: Option<String>,
    /// Whether only a person changes it.
    pub title_locked: bool,
    /// `auto` or `manual`.
    pub title_source: Option<String>,
    /// The folder that it works in.
    pub cwd: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// Codex's current conversation.
    pub thread_id: Option<String>,
}

/// One message of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub text: String,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub ts_ms: i64,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The daemon is alive.
    pub ok: bool,
    /// Codex's process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Codex takes turns.
    #[serde(default)]
    pub ready: bool,
    /// TCP needs a token.
    #[serde(default)]
    pub auth_required: bool,
    /// The daemon's version; told to those with authority.
    #[serde(default)]
    pub version: Option<String>,
    /// Codex; told to those with authority.
    #[serde(default)]
    pub agent: Option<AgentInfo>,
}
