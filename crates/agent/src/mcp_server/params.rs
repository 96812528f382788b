//! What is asked of Codex, as its JSON.

use serde_json::{Value, json};
use types::{ApprovalPolicy, AskId, InputPart, ThreadId};

use crate::domain::{ThreadSpec, TurnSpec};

/// A request as a line.
pub(super) fn line(id: AskId, method: &str, params: &Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string().into_bytes()
}

/// The prompt of a turn; none when the turn wants what the tools can't say.
pub(super) fn prompt(turn: &TurnSpec) -> Option<String> {
    if turn.model.is_some() || turn.effort.is_some() || turn.output_schema.is_some() {
        return None;
    }
    let texts = turn.input.iter().map(|part| match part {
        InputPart::Text { text } => Some(text.as_str()),
        InputPart::Image { .. } | InputPart::LocalImage { .. } => None,
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join("\n\n"))
}

/// The arguments of a call that makes a thread. `few`: the Codex has few policies, see [`super::SINCE_FEW_POLICIES`].
pub(super) fn first_call(spec: &ThreadSpec, prompt: &str, few: bool) -> Value {
    let policy = match spec.approval_policy {
        ApprovalPolicy::Untrusted | ApprovalPolicy::OnFailure if few => ApprovalPolicy::OnRequest,
        policy => policy,
    };
    let mut arguments = json!({
        "prompt": prompt,
        "cwd": spec.cwd,
        "sandbox": spec.sandbox.as_str(),
        "approval-policy": policy.as_str(),
    });
    if let Some(model) = &spec.model {
        arguments["model"] = json!(model);
    }
    if let Some(instructions) = &spec.developer_instructions {
        arguments["developer-instructions"] = json!(instructions);
    }
    let config = crate::app_server::config(&spec.config);
    if !config.is_empty() {
        arguments["config"] = Value::Object(config);
    }
    arguments
}

/// The arguments of a call that goes on in a thread.
pub(super) fn reply(thread: &ThreadId, prompt: &str) -> Value {
    json!({"threadId": thread, "prompt": prompt})
}
