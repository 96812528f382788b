//! The JSON of app-server 0.169.0, field by field as it came from the real one.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A new UUIDv7, as text.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A folder that a client names, seen from the server's own; that one, if none is named. Whether it exists is not checked.
pub(crate) fn absolute(folder: Option<&str>) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    folder.map_or(here.clone(), |folder| here.join(folder)).to_string_lossy().into_owned()
}

pub(crate) fn user_message(client_id: &Value, text_parts: &[Value]) -> Value {
    let now = now_ms();
    json!({"type": "userMessage", "id": new_id(), "clientId": client_id, "content": text_parts,
        "startedAtMs": now, "completedAtMs": now})
}

pub(crate) fn agent_message(id: &str, text: &str, started: u64, completed: Option<u64>) -> Value {
    json!({"type": "agentMessage", "moderation": null, "id": id, "text": text, "phase": null, "memoryCitation": null,
        "delivery": null, "questions": null, "startedAtMs": started, "completedAtMs": completed})
}

pub(crate) fn reasoning(id: &str, summary: &[&str], started: u64, completed: Option<u64>) -> Value {
    json!({"type": "reasoning", "id": id, "summary": summary, "content": [], "startedAtMs": started,
        "completedAtMs": completed})
}

/// A command before it has run.
pub(crate) fn command(id: &str, command: &str, cwd: &str) -> Value {
    json!({"type": "commandExecution", "id": id, "pluginId": null, "scriptPath": null,
        "command": shell(command), "cwd": cwd, "processId": null, "source": "agent", "status": "inProgress",
        "commandActions": [{"type": "unknown", "command": command}], "aggregatedOutput": null, "exitCode": null,
        "durationMs": null, "startedAtMs": now_ms(), "completedAtMs": null})
}

/// The command as Codex runs it.
pub(crate) fn shell(command: &str) -> String {
    format!("/bin/bash -lc '{command}'")
}

pub(crate) fn file_change(id: &str, path: &str, text: &str) -> Value {
    json!({"type": "fileChange", "id": id, "changes": [{"path": path, "kind": {"type": "add"}, "diff": format!("{text}\n")}],
        "status": "inProgress", "startedAtMs": now_ms(), "completedAtMs": null})
}

pub(crate) fn diff(file: &str, text: &str) -> String {
    format!(
        "diff --git a/{file} b/{file}\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..\
         ce013625030ba8dba906f756967f9e9ca394464a\n--- /dev/null\n+++ b/{file}\n@@ -0,0 +1 @@\n+{text}\n"
    )
}

pub(crate) fn turn_error(message: &str, info: &Value, details: Option<&str>) -> Value {
    json!({"message": message, "codexErrorInfo": info, "additionalDetails": details, "misalignment": null})
}

pub(crate) fn turn_in_progress(id: &str, started_at: Option<u64>) -> Value {
    json!({"id": id, "rootTurnId": id, "items": [], "itemsView": "notLoaded", "status": "inProgress", "error": null,
        "startedAt": started_at, "completedAt": null, "durationMs": null})
}

/// `tokenUsage` of a thread that has used that many tokens of output in that many calls.
pub(crate) fn token_usage(calls: u64, output: u64, last_output: u64) -> Value {
    let usage = |calls: u64, output: u64| {
        json!({"totalTokens": calls * 100 + output, "inputTokens": calls * 100, "cachedInputTokens": calls * 40,
            "cacheWriteInputTokens": 0, "outputTokens": output, "reasoningOutputTokens": 0})
    };
    json!({"total": usage(calls, output), "last": usage(1, last_output), "modelContextWindow": 258_400})
}

pub(crate) fn rate_limits() -> Value {
    json!({"limitId": "codex", "limitName": null, "normalModelSlug": null, "primary": null, "secondary": null,
        "credits": null, "individualLimit": null, "spendControlReached": null, "planType": null,
        "rateLimitReachedType": null})
}

/// What `thread/start` calls `sandbox`, as the policy that the reply shows; nothing for an unknown word.
pub(crate) fn sandbox(word: &str) -> Option<Value> {
    match word {
        "read-only" => Some(json!({"type": "readOnly", "networkAccess": false})),
        "workspace-write" => Some(policy(&json!({"type": "workspaceWrite"}))),
        "danger-full-access" => Some(json!({"type": "dangerFullAccess"})),
        _ => None,
    }
}

/// A turn's `sandboxPolicy` with the defaults filled in.
pub(crate) fn policy(given: &Value) -> Value {
    let defaults = match given["type"].as_str() {
        Some("readOnly") => json!({"networkAccess": false}),
        Some("workspaceWrite") => json!({"writableRoots": [], "networkAccess": false, "excludeTmpdirEnvVar": false,
            "excludeSlashTmp": false}),
        _ => json!({}),
    };
    let mut policy = defaults;
    if let (Some(policy), Some(given)) = (policy.as_object_mut(), given.as_object()) {
        policy.extend(given.clone());
    }
    policy
}

/// What `model/list` offers: the last one is hidden.
pub(crate) fn models() -> Vec<Value> {
    let model = |id: &str, name: &str, efforts: &[&str]| {
        let efforts: Vec<Value> =
            efforts.iter().map(|effort| json!({"reasoningEffort": effort, "description": effort})).collect();
        json!({"id": id, "model": id, "upgrade": null, "upgradeInfo": null, "availabilityNux": null,
            "displayName": name, "description": "Answers by the words of the prompt.", "modelSpecialty": null,
            "hidden": id == "fake-secret", "supportedReasoningEfforts": efforts, "defaultReasoningEffort": efforts[0]
            ["reasoningEffort"], "inputModalities": ["text", "image"], "supportsPersonality": false,
            "multiAgentVersion": "v2", "additionalSpeedTiers": [], "serviceTiers": [], "defaultServiceTier": null,
            "availableAccessPrograms": null, "isDefault": id == "fake-model"})
    };
    vec![
        model("fake-model", "Fake", &["medium", "low", "high"]),
        model("fake-mini", "Fake mini", &["low"]),
        model("fake-secret", "Fake secret", &["low"]),
    ]
}

/// What a reader of a conversation takes from an item: who said what.
pub(crate) fn said(item: &Value) -> Option<fake_model::answers::Said> {
    match item["type"].as_str()? {
        "userMessage" => Some(fake_model::answers::Said { role: "user", text: input_text(&item["content"]) }),
        "agentMessage" => {
            let text = item["text"].as_str()?.to_owned();
            Some(fake_model::answers::Said { role: "assistant", text })
        }
        _ => None,
    }
}

/// The text of a user's input; other kinds of input are passed over.
pub(crate) fn input_text(parts: &Value) -> String {
    let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n")
}

/// The images of a user's input: addresses and paths.
pub(crate) fn images(parts: &Value) -> Vec<String> {
    let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
    let image = |part: &Value| Some(part["url"].as_str().or_else(|| part["path"].as_str())?.to_owned());
    parts.iter().filter_map(image).collect()
}
