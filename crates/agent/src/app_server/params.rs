//! What is asked of Codex, as its JSON.

use std::path::Path;

use serde_json::{Map, Value, json};
use types::{ApprovalPolicy, AskId, InputPart, ItemId, Role, Sandbox, ThreadId};

use crate::domain::{ThreadSpec, TurnSpec};

/// Names of Codex's configuration that say what it may do, or whom it trusts. The engine refuses them; they are left out
/// here as well, so that no way of making a [`ThreadSpec`] can widen what was allowed.
const NOT_FOR_CALLERS: [&str; 9] = [
    "approval_policy",
    "approvals_reviewer",
    "default_permissions",
    "permissions",
    "profile",
    "profiles",
    "projects",
    "sandbox_mode",
    "sandbox_workspace_write",
];

/// A request as a line.
pub(super) fn line(id: AskId, method: &str, params: &Value) -> Vec<u8> {
    json!({"id": id, "method": method, "params": params}).to_string().into_bytes()
}

/// The parameters of `thread/start`. `second`: the Codex has the second API, see [`super::SINCE_SECOND_API`].
pub(super) fn thread(spec: &ThreadSpec, second: bool) -> Value {
    let mut params = json!({
        "cwd": spec.cwd,
        "sandbox": Sandbox::ReadOnly.as_str(),
        "approvalPolicy": approval_policy(spec.approval_policy, second),
    });
    if let Some(model) = &spec.model {
        params["model"] = json!(model);
    }
    if let Some(instructions) = &spec.developer_instructions {
        params["developerInstructions"] = json!(instructions);
    }
    let config = config(&spec.config);
    if !config.is_empty() {
        params["config"] = Value::Object(config);
    }
    params
}

/// The parameters of `thread/resume`, and of `thread/fork`.
pub(super) fn resume(thread: &ThreadId, spec: &ThreadSpec, second: bool) -> Value {
    let mut params = self::thread(spec, second);
    params["threadId"] = json!(thread);
    if second {
        params["excludeTurns"] = json!(true);
    }
    params
}

/// The parameters of `turn/start`.
pub(super) fn turn(turn: &TurnSpec, thread: &ThreadId, second: bool) -> Value {
    let input: Vec<Value> = turn.input.iter().map(|part| self::input(part, &turn.spec.cwd)).collect();
    let mut params = json!({
        "threadId": thread,
        "input": input,
        "cwd": turn.spec.cwd,
        "approvalPolicy": approval_policy(turn.spec.approval_policy, second),
        "sandboxPolicy": sandbox_policy(turn.spec.sandbox),
    });
    if let Some(model) = turn.model.as_ref().or(turn.spec.model.as_ref()) {
        params["model"] = json!(model);
    }
    if let Some(effort) = &turn.effort {
        params["effort"] = json!(effort);
    }
    if let Some(schema) = &turn.output_schema {
        params["outputSchema"] = schema.clone();
    }
    if second {
        params["clientUserMessageId"] = json!(turn.turn);
    }
    params
}

/// The parameters of `turn/steer`, for a turn that works in `cwd`.
pub(super) fn steer(thread: &ThreadId, turn: &str, input: &[InputPart], item: &ItemId, cwd: &Path) -> Value {
    let input: Vec<Value> = input.iter().map(|part| self::input(part, cwd)).collect();
    json!({"threadId": thread, "expectedTurnId": turn, "input": input, "clientUserMessageId": item})
}

/// The parameters of `thread/inject_items`.
pub(super) fn inject(thread: &ThreadId, messages: &[(Role, String)]) -> Value {
    let items: Vec<Value> = messages.iter().map(|(role, text)| message(*role, text)).collect();
    json!({"threadId": thread, "items": items})
}

/// The parameters of `model/list`, from this page on.
pub(super) fn models(cursor: Option<&str>) -> Value {
    let mut params = json!({"includeHidden": false});
    if let Some(cursor) = cursor {
        params["cursor"] = json!(cursor);
    }
    params
}

/// The configuration without what is not for callers. Codex takes `a.b` for `b` in `a`, so the first name decides.
pub(crate) fn config(config: &Map<String, Value>) -> Map<String, Value> {
    let allowed = |key: &str| {
        let first = key.split('.').next().unwrap_or_default();
        let name = first.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        !NOT_FOR_CALLERS.contains(&name)
    };
    config.iter().filter(|(key, _)| allowed(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn approval_policy(policy: ApprovalPolicy, second: bool) -> &'static str {
    // Codex dropped the word; the nearest policy that allows no more is to ask.
    if policy == ApprovalPolicy::OnFailure && second {
        return ApprovalPolicy::OnRequest.as_str();
    }
    policy.as_str()
}

/// The sandbox of a turn.
pub(super) fn sandbox_policy(sandbox: Sandbox) -> Value {
    match sandbox {
        Sandbox::ReadOnly => json!({"type": "readOnly"}),
        Sandbox::WorkspaceWrite => json!({"type": "workspaceWrite", "writableRoots": [], "networkAccess": false,
            "excludeTmpdirEnvVar": false, "excludeSlashTmp": false}),
        Sandbox::DangerFullAccess => json!({"type": "dangerFullAccess"}),
    }
}

/// A part of what the caller sent.
fn input(part: &InputPart, cwd: &Path) -> Value {
    match part {
        InputPart::Text { text } => json!({"type": "text", "text": text}),
        InputPart::Image { url } => json!({"type": "image", "url": url}),
        InputPart::LocalImage { path } => json!({"type": "localImage", "path": cwd.join(path)}),
    }
}

/// A saved message as Codex's own history has it.
fn message(role: Role, text: &str) -> Value {
    match role {
        Role::User => json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}),
        Role::Assistant => {
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
        }
    }
}
