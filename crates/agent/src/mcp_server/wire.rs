//! The JSON of `codex mcp-server`: the fields that are used, and what they mean in our words.

use serde::Deserialize;
use serde_json::Value;
use types::{ChangeKind, FileChange, ItemBody, ItemStatus, Sandbox, ThreadId, TurnError, TurnErrorCode};

use crate::domain::Applied;

#[derive(Deserialize)]
pub(super) struct Incoming {
    #[serde(default)]
    pub(super) id: Option<Value>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) params: Value,
    #[serde(default)]
    pub(super) result: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "_meta", default)]
    pub(super) meta: Meta,
    #[serde(default)]
    pub(super) msg: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) request_id: Option<i64>,
    pub(super) thread_id: Option<ThreadId>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ToolResult {
    pub(super) content: Vec<Value>,
    pub(super) structured_content: Structured,
    pub(super) is_error: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Structured {
    pub(super) thread_id: Option<ThreadId>,
}

impl ToolResult {
    pub(super) fn text(&self) -> String {
        let texts: Vec<&str> = self.content.iter().filter_map(|part| part.get("text")?.as_str()).collect();
        texts.join("\n")
    }
}

pub(super) fn failure(text: String) -> TurnError {
    let code = if text.contains("401 Unauthorized") {
        TurnErrorCode::LoginRequired
    } else if text.contains("429 Too Many Requests") {
        TurnErrorCode::RateLimited
    } else if text.contains("context window") {
        TurnErrorCode::ContextExceeded
    } else if text.starts_with("stream disconnected") {
        TurnErrorCode::StreamCut
    } else {
        TurnErrorCode::Other
    };
    TurnError::new(code, text)
}

/// What `session_configured` says was applied; nothing when it does not say.
pub(super) fn applied(msg: &Value) -> Option<Applied> {
    let policy = msg.get("approval_policy")?;
    let sandbox = msg.get("sandbox_policy")?;
    let word = sandbox.get("type").or_else(|| sandbox.get("mode")).and_then(Value::as_str).unwrap_or_default();
    Some(Applied {
        sandbox: word.parse::<Sandbox>().map_err(|_| sandbox.to_string()),
        network: sandbox.get("network_access").and_then(Value::as_bool).unwrap_or(false),
        approval_policy: policy.as_str().and_then(|word| word.parse().ok()).ok_or_else(|| policy.to_string()),
        model: msg.get("model").and_then(Value::as_str).map(str::to_owned),
        effort: msg.get("reasoning_effort").and_then(Value::as_str).map(str::to_owned),
    })
}

/// The words of a command as one text.
pub(super) fn words(command: &Value) -> String {
    let words: Vec<&str> = command.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(" ")
}

pub(super) fn command(msg: &Value) -> ItemBody {
    ItemBody::CommandExecution {
        command: msg.get("command").map(words).unwrap_or_default(),
        cwd: msg.get("cwd").and_then(Value::as_str).unwrap_or_default().to_owned(),
        output: msg.get("aggregated_output").and_then(Value::as_str).map(str::to_owned),
        output_truncated: None,
        exit_code: msg.get("exit_code").and_then(Value::as_i64),
        duration_ms: None,
    }
}

/// How a file change ended. 0.153 says that it was declined; 0.98.0 only writes why it failed.
pub(super) fn patch_status(msg: &Value) -> ItemStatus {
    let text = |name: &str| msg.get(name).and_then(Value::as_str).unwrap_or_default();
    if msg.get("success").and_then(Value::as_bool).unwrap_or(false) {
        ItemStatus::Completed
    } else if text("status") == "declined" || text("stderr") == "patch rejected by user" {
        ItemStatus::Declined
    } else {
        ItemStatus::Failed
    }
}

pub(super) fn changes(value: Option<&Value>) -> Vec<FileChange> {
    let files = value.and_then(Value::as_object).into_iter().flatten();
    files
        .map(|(path, change)| {
            let (kind, diff) = match change.get("type").and_then(Value::as_str) {
                Some("add") => (ChangeKind::Add, "content"),
                Some("delete") => (ChangeKind::Delete, "content"),
                _ => (ChangeKind::Update, "unified_diff"),
            };
            let diff = change.get(diff).and_then(Value::as_str).unwrap_or_default().to_owned();
            FileChange { path: path.clone(), kind, diff }
        })
        .collect()
}
