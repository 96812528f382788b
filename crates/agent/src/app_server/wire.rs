//! The JSON of `codex app-server`: the fields that are used, and no others.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use types::{ApprovalPolicy, PlanStep, Sandbox, ThreadId, Usage};

use crate::domain::Applied;

/// Codex's queue is full; ask again.
pub(super) const OVERLOADED: i64 = -32001;

/// Any line: a request has method and id, a notification a method, an answer an id.
#[derive(Deserialize)]
pub(super) struct Incoming<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) error: Option<RpcError>,
}

#[derive(Deserialize)]
pub(super) struct RpcError {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) data: Option<serde_json::Value>,
}

/// Reads one part of a line.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.map_or("null", RawValue::get))
}

#[derive(Deserialize)]
pub(super) struct ThreadReply {
    pub(super) thread: ThreadHead,
    #[serde(rename = "approvalPolicy")]
    approval_policy: serde_json::Value,
    sandbox: serde_json::Value,
}

#[derive(Deserialize)]
pub(super) struct ThreadHead {
    pub(super) id: ThreadId,
}

impl ThreadReply {
    /// What Codex says that it applied.
    pub(super) fn applied(&self) -> Applied {
        let sandbox = match self.sandbox.get("type").and_then(serde_json::Value::as_str) {
            Some("readOnly") => Ok(Sandbox::ReadOnly),
            Some("workspaceWrite") => Ok(Sandbox::WorkspaceWrite),
            Some("dangerFullAccess") => Ok(Sandbox::DangerFullAccess),
            _ => Err(self.sandbox.to_string()),
        };
        let network = self.sandbox.get("networkAccess").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let approval_policy = self
            .approval_policy
            .as_str()
            .and_then(|word| word.parse::<ApprovalPolicy>().ok())
            .ok_or_else(|| self.approval_policy.to_string());
        Applied { sandbox, network, approval_policy }
    }
}

#[derive(Deserialize)]
pub(super) struct TurnReply {
    pub(super) turn: TurnHead,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TurnNote {
    pub(super) thread_id: ThreadId,
    pub(super) turn: TurnHead,
}

#[derive(Deserialize)]
pub(super) struct TurnHead {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<TurnFailure>,
    #[serde(default)]
    items: Vec<serde_json::Value>,
}

impl TurnHead {
    /// The last agent message, which 0.153 and later tell with the end of a turn.
    pub(super) fn last_message(self: &TurnHead) -> Option<String> {
        let text = self.items.last().filter(|item| item["type"] == "agentMessage")?.get("text")?.as_str()?;
        Some(text.to_owned())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TurnFailure {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) codex_error_info: serde_json::Value,
    #[serde(default)]
    pub(super) additional_details: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorNote {
    pub(super) thread_id: ThreadId,
    pub(super) error: TurnFailure,
    #[serde(default)]
    pub(super) will_retry: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemNote<'a> {
    pub(super) thread_id: ThreadId,
    #[serde(borrow)]
    pub(super) item: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeltaNote {
    pub(super) thread_id: ThreadId,
    pub(super) item_id: String,
    pub(super) delta: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanNote {
    pub(super) thread_id: ThreadId,
    pub(super) plan: Vec<PlanStep>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WarningNote {
    #[serde(default)]
    pub(super) thread_id: Option<ThreadId>,
    pub(super) message: String,
}

#[derive(Deserialize)]
pub(super) struct ConfigNote {
    pub(super) summary: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageNote {
    pub(super) thread_id: ThreadId,
    pub(super) token_usage: TokenUsage,
}

#[derive(Deserialize)]
pub(super) struct TokenUsage {
    pub(super) last: Tokens,
}

/// Tokens of one request to the model.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct Tokens {
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    reasoning_output_tokens: u64,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.input_tokens,
            cached_input_tokens: tokens.cached_input_tokens,
            output_tokens: tokens.output_tokens,
            reasoning_tokens: tokens.reasoning_output_tokens,
        }
    }
}

/// What the questions that we know have in common.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Question {
    pub(super) thread_id: Option<ThreadId>,
    pub(super) item_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) command: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) cwd: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message: Option<String>,
}

/// A field that is only shown: whatever else stands there is as good as nothing.
fn lenient<'de, D: serde::Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
