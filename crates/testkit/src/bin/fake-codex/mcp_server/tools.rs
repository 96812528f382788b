//! The two tools, as `tools/list` of 0.153.4 shows them (without descriptions), and what they take.

use fake_model::answers::Given;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "that the fields are there and have their types is all that is asked")]
struct Codex {
    prompt: String,
    model: Option<String>,
    cwd: Option<String>,
    approval_policy: Option<ApprovalPolicy>,
    sandbox: Option<Sandbox>,
    config: Option<Map<String, Value>>,
    base_instructions: Option<String>,
    developer_instructions: Option<String>,
    compact_prompt: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that the fields are there and have their types is all that is asked")]
struct CodexReply {
    prompt: String,
    thread_id: Option<String>,
    conversation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ApprovalPolicy {
    OnRequest,
    Never,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sandbox {
    ReadOnly,
    WorkspaceWrite,
    DangerFullAccess,
}

/// Whether a call of the tool is well formed.
pub(super) fn check(tool: &str, arguments: &Value) -> Result<(), serde_json::Error> {
    match tool {
        "codex" => Codex::deserialize(arguments).map(drop),
        _ => CodexReply::deserialize(arguments).map(drop),
    }
}

/// What a thread that such a call starts was given.
pub(super) fn given(arguments: &Value) -> Given {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let config = &arguments["config"];
    let model = text(&arguments["model"]).or_else(|| text(&config["model"]));
    Given {
        config: Some(if config.is_null() { json!({}) } else { config.clone() }),
        model: model.or_else(|| Some("fake-model".to_owned())),
        effort: text(&config["model_reasoning_effort"]),
        ..Given::default()
    }
}

pub(super) fn tools() -> Value {
    let output = json!({"type": "object", "properties": {"threadId": {"type": "string"}, "content": {"type": "string"}},
        "required": ["threadId", "content"]});
    let text = json!({"type": "string"});
    json!([
        {"name": "codex", "title": "Codex", "inputSchema": {"type": "object", "additionalProperties": false,
            "properties": {
                "approval-policy": {"type": "string", "enum": ["on-request", "never"]},
                "base-instructions": text, "compact-prompt": text, "config": {"type": "object"}, "cwd": text,
                "developer-instructions": text, "model": text, "prompt": text,
                "sandbox": {"type": "string", "enum": ["read-only", "workspace-write", "danger-full-access"]}},
            "required": ["prompt"]}, "outputSchema": output},
        {"name": "codex-reply", "title": "Codex Reply", "inputSchema": {"type": "object",
            "properties": {"conversationId": text, "prompt": text, "threadId": text},
            "required": ["prompt"]}, "outputSchema": output},
    ])
}
