//! Codex's questions, and the answers in its words.

use serde_json::{json, value::RawValue};

use super::wire;
use crate::{
    adapter::Out,
    domain::{ApprovalRequest, Reply, RequestId, Route, What},
};

/// A question of Codex's. What is not an approval that we know is refused at once, and said.
pub(super) fn ask(method: &str, id: &str, params: Option<&RawValue>, out: &mut Out) {
    let kind = match method {
        "item/commandExecution/requestApproval" => "command",
        "item/fileChange/requestApproval" => "fileChange",
        "item/permissions/requestApproval" => "permissions",
        "item/tool/requestUserInput" => "userInput",
        "mcpServer/elicitation/request" => "elicitation",
        _ => "unknown",
    };
    let question = wire::read::<wire::Question>(params).unwrap_or_default();
    let request = RequestId(format!("{kind}:{id}"));
    match question.thread_id {
        Some(thread) if kind != "unknown" => {
            let approval = ApprovalRequest {
                request,
                kind,
                codex_item: question.item_id,
                command: question.command,
                cwd: question.cwd,
                reason: question.reason.or(question.message),
                changes: Vec::new(),
            };
            out.reports.push((Route::Thread(thread), What::Approval(approval)));
        }
        thread => {
            out.lines.push(refusal(id, "not supported by codexd"));
            let text = format!("Codex asked `{method}`, which codexd does not know; it was refused");
            tracing::warn!("{text}");
            if let Some(thread) = thread {
                out.reports.push((Route::Thread(thread), What::Warning(text)));
            }
        }
    }
}

/// The line that answers a question; none when it is no question of ours.
pub(super) fn answer(request: &RequestId, reply: Reply) -> Option<Vec<u8>> {
    let (kind, id) = request.0.split_once(':')?;
    let result = match (kind, reply) {
        ("command" | "fileChange", reply) => json!({"decision": match reply {
            Reply::Accept => "accept",
            Reply::Decline => "decline",
            Reply::Cancel => "cancel",
        }}),
        ("elicitation", Reply::Decline) => json!({"action": "decline"}),
        ("elicitation", Reply::Cancel) => json!({"action": "cancel"}),
        // The other shapes of a yes come with the approvals of the API; an error is a no that Codex understands.
        _ => return Some(refusal(id, "declined")),
    };
    Some(format!(r#"{{"id":{id},"result":{result}}}"#).into_bytes())
}

fn refusal(id: &str, message: &str) -> Vec<u8> {
    format!(r#"{{"id":{id},"error":{{"code":-32601,"message":"{message}"}}}}"#).into_bytes()
}
