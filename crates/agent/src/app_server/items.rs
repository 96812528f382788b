//! Codex's items as ours.

use serde::Deserialize;
use serde_json::value::RawValue;
use types::{ChangeKind, FileChange, ItemBody, ItemStatus, PlanStep};

use crate::domain::What;

/// Codex cuts a command's output at about this many characters.
const OUTPUT_CUT_CHARS: usize = 1_048_576;

/// An item of Codex's, in our words.
pub(super) struct Read {
    pub(super) codex_id: String,
    pub(super) status: ItemStatus,
    pub(super) body: ItemBody,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
struct UserMessage {
    #[serde(default)]
    content: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Reasoning {
    #[serde(default)]
    summary: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Command {
    #[serde(default)]
    command: String,
    #[serde(default)]
    cwd: String,
    #[serde(default)]
    aggregated_output: Option<String>,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    duration_ms: Option<i64>,
}

#[derive(Deserialize)]
struct FileChanges {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    kind: ChangeType,
    #[serde(default)]
    diff: String,
}

#[derive(Deserialize)]
struct ChangeType {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    move_path: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    server: String,
    tool: String,
    #[serde(default)]
    arguments: serde_json::Value,
    #[serde(default)]
    result: Option<serde_json::Value>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct WebSearch {
    #[serde(default)]
    query: String,
}

/// Reads an item. What it can't understand it hands on whole; only a thing without a type is an error.
pub(super) fn read(raw: &RawValue, otherwise: ItemStatus) -> Result<Read, serde_json::Error> {
    let head: Head = serde_json::from_str(raw.get())?;
    let status = match head.status.as_deref() {
        Some("inProgress") => ItemStatus::InProgress,
        Some("completed") => ItemStatus::Completed,
        Some("failed") => ItemStatus::Failed,
        Some("declined") => ItemStatus::Declined,
        _ => otherwise,
    };
    let body = match known(&head.kind, raw) {
        Ok(Some(body)) => body,
        Ok(None) => ItemBody::Other { raw: serde_json::from_str(raw.get())? },
        Err(error) => {
            tracing::warn!(%error, kind = head.kind, "an item of a known kind has an unknown shape");
            ItemBody::Other { raw: serde_json::from_str(raw.get())? }
        }
    };
    Ok(Read { codex_id: head.id, status, body })
}

fn known(kind: &str, raw: &RawValue) -> Result<Option<ItemBody>, serde_json::Error> {
    let text = raw.get();
    Ok(Some(match kind {
        "userMessage" => {
            let message: UserMessage = serde_json::from_str(text)?;
            let mut words = Vec::new();
            let mut images = Vec::new();
            for input in message.content {
                words.extend(input.text);
                images.extend(input.url.or(input.path));
            }
            ItemBody::UserMessage { text: words.join("\n"), images }
        }
        "agentMessage" => ItemBody::AgentMessage { text: serde_json::from_str::<Text>(text)?.text },
        "reasoning" => ItemBody::Reasoning { summary: serde_json::from_str::<Reasoning>(text)?.summary.join("\n\n") },
        "commandExecution" => {
            let command: Command = serde_json::from_str(text)?;
            let cut = command.aggregated_output.as_ref().is_some_and(|output| output.len() >= OUTPUT_CUT_CHARS);
            ItemBody::CommandExecution {
                command: command.command,
                cwd: command.cwd,
                output: command.aggregated_output,
                output_truncated: cut.then_some(true),
                exit_code: command.exit_code,
                duration_ms: command.duration_ms,
            }
        }
        "fileChange" => {
            let changes: FileChanges = serde_json::from_str(text)?;
            ItemBody::FileChange { changes: changes.changes.into_iter().map(change).collect() }
        }
        "mcpToolCall" => {
            let call: ToolCall = serde_json::from_str(text)?;
            ItemBody::McpToolCall {
                server: call.server,
                tool: call.tool,
                arguments: call.arguments,
                result: call.result.or(call.error),
            }
        }
        "webSearch" => ItemBody::WebSearch { query: serde_json::from_str::<WebSearch>(text)?.query },
        _ => return Ok(None),
    }))
}

fn change(change: Change) -> FileChange {
    let kind = match change.kind.kind.as_str() {
        "add" => ChangeKind::Add,
        "delete" => ChangeKind::Delete,
        _ if change.kind.move_path.is_some() => ChangeKind::Move,
        _ => ChangeKind::Update,
    };
    // Whoever is asked has to see where it goes.
    let diff = match change.kind.move_path {
        Some(to) => format!("rename from {}\nrename to {to}\n{}", change.path, change.diff),
        None => change.diff,
    };
    FileChange { path: change.path, kind, diff }
}

/// A plan has no item of its own in Codex: each update replaces the one before.
pub(super) fn plan(steps: Vec<PlanStep>) -> What {
    What::ItemCompleted { codex_id: "plan".to_owned(), status: ItemStatus::Completed, body: ItemBody::Plan { steps } }
}
