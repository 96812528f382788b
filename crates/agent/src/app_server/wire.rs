//! The JSON of `codex app-server`: the fields that are used, and no others.

mod question;

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use types::{ApprovalPolicy, PlanStep, Sandbox, ThreadId, Usage, agent::Model};

use crate::domain::Applied;

pub(super) use question::Question;

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
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadReply {
    pub(super) thread: ThreadHead,
    approval_policy: serde_json::Value,
    sandbox: serde_json::Value,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reasoning_effort: Option<String>,
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
        Applied { sandbox, network, approval_policy, model: self.model.clone(), effort: self.reasoning_effort.clone() }
    }
}

/// A page of models.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelsReply {
    pub(super) data: Vec<OfferedModel>,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfferedModel {
    id: String,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    description: Option<String>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    is_default: bool,
    #[serde(default)]
    supported_reasoning_efforts: Vec<Effort>,
    #[serde(default, deserialize_with = "lenient")]
    default_reasoning_effort: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Effort {
    reasoning_effort: String,
}

impl OfferedModel {
    /// The model in our words; none when it is not meant to be offered.
    pub(super) fn read(self) -> Option<Model> {
        if self.hidden {
            return None;
        }
        // A request names the model by its slug; the id is that of the entry.
        let id = self.model.unwrap_or(self.id);
        Some(Model {
            name: self.display_name.unwrap_or_else(|| id.clone()),
            id,
            description: self.description.filter(|text| !text.is_empty()),
            default: self.is_default,
            efforts: self.supported_reasoning_efforts.into_iter().map(|effort| effort.reasoning_effort).collect(),
            default_effort: self.default_reasoning_effort,
        })
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
    #[serde(default)]
    pub(super) turn_id: Option<String>,
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
pub(super) struct DiffNote {
    pub(super) thread_id: ThreadId,
    pub(super) diff: String,
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
    #[serde(default)]
    pub(super) turn_id: Option<String>,
    pub(super) token_usage: TokenUsage,
}

#[derive(Deserialize)]
pub(super) struct TokenUsage {
    #[serde(default)]
    pub(super) total: Tokens,
    pub(super) last: Tokens,
}

/// Tokens of one request to the model, or of all of a thread.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Tokens {
    total_tokens: u64,
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

/// A question is not asked any more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResolvedNote {
    pub(super) thread_id: ThreadId,
    pub(super) request_id: serde_json::Value,
}

/// A field that is only shown: whatever else stands there is as good as nothing.
pub(super) fn lenient<'de, D: serde::Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
