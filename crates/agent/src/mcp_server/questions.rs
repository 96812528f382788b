//! Codex's questions: `elicitation/create`, with what is asked in fields of Codex's own.
//!
//! What counts in an answer is `decision`. A spec-conforming `accept` alone is a no, and an error leaves the turn stuck without end, so
//! that even what nobody here can place gets a decision. After `abort` the call is never answered; the event that the turn was
//! aborted ends it.

use std::collections::HashMap;

use serde_json::{Value, json};
use types::{ApprovalKind, AskId, Decision, ThreadId};

use super::wire::{changes, words};
use crate::{
    adapter::{Line, Out},
    domain::{ApprovalRequest, Reply, RequestId, Route, What},
    question::Question,
};

/// The questions of one process.
#[derive(Default)]
pub(super) struct Questions {
    /// Those that wait, by Codex's id, and whose call waits with them.
    open: HashMap<String, (AskId, Question)>,
}

/// Whose a question may be, as its fields tell.
pub(super) struct Asker {
    /// The thread.
    pub(super) thread: Option<ThreadId>,
    /// The call, as Codex repeats its id.
    pub(super) call: Option<AskId>,
}

impl Asker {
    pub(super) fn read(params: &Value) -> Self {
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        Self {
            thread: text("threadId").and_then(|id| ThreadId::parse(id).ok()),
            call: text("codex_mcp_tool_call_id").and_then(|id| id.parse().ok()).map(AskId),
        }
    }
}

impl Questions {
    /// A question of the call `call`.
    pub(super) fn ask(&mut self, call: AskId, id: &Value, asker: Asker, params: &Value, out: &mut Out) {
        use Decision::{Accept, AcceptForSession, Cancel, Decline};
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = match params.get("codex_elicitation").and_then(Value::as_str) {
            Some("exec-approval") => ApprovalKind::Command,
            Some("patch-approval") => ApprovalKind::FileChange,
            _ => ApprovalKind::Elicitation,
        };
        let turn = Some(call.to_string());
        let question = Question { id: id.clone(), kind, thread: asker.thread, turn, asked: Value::Null };
        let approval = ApprovalRequest {
            request: question.request(),
            kind,
            codex_item: text("codex_call_id"),
            command: params.get("codex_command").map(words),
            cwd: text("codex_cwd"),
            reason: text("codex_reason").or_else(|| text("message")),
            changes: changes(params.get("codex_changes")),
            questions: Vec::new(),
            rule: Vec::new(),
            decisions: match kind {
                ApprovalKind::Elicitation => vec![Accept, Decline, Cancel],
                _ => vec![Accept, AcceptForSession, Decline, Cancel],
            },
        };
        self.open.insert(id.to_string(), (call, question));
        out.reports.push((Route::Ask(call), What::Approval(approval)));
    }

    /// The engine answers.
    pub(super) fn answer(&mut self, request: &RequestId, reply: &Reply, out: &mut Out) {
        let Some(question) = Question::read(request) else {
            tracing::error!(request = request.0, "an answer to something that is no question");
            return;
        };
        self.open.remove(&question.id.to_string());
        let (decision, action) = match reply {
            Reply::Decide(Decision::Accept) => ("approved", "accept"),
            Reply::Decide(Decision::AcceptForSession) => ("approved_for_session", "accept"),
            Reply::Decide(Decision::Decline) | Reply::Answers(_) => ("denied", "decline"),
            Reply::Decide(Decision::Cancel) => ("abort", "cancel"),
        };
        out.lines.push(line(&question.id, decision, action));
    }

    /// The call ended, and with it what it waited for.
    pub(super) fn ended(&mut self, call: AskId, out: &mut Out) {
        let mut of_call: Vec<String> =
            self.open.iter().filter(|(_, (of, _))| *of == call).map(|(key, _)| key.clone()).collect();
        of_call.sort_unstable();
        for (_, question) in of_call.iter().filter_map(|key| self.open.remove(key)) {
            out.reports.push((Route::Ask(call), What::ApprovalGone { request: question.request() }));
        }
    }
}

/// A no to what cannot be placed.
pub(super) fn deny(id: &Value, out: &mut Out) {
    out.lines.push(line(id, "denied", "decline"));
}

fn line(id: &Value, decision: &str, action: &str) -> Line {
    let result = json!({"decision": decision, "action": action});
    Line::of_reply(id, json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().into_bytes())
}
