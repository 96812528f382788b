//! The two tools, as `tools/list` of 0.153.4 shows them (without descriptions).

use serde_json::{Value, json};

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
