//! The events that real ones tell while a turn runs, as reports.

use serde_json::Value;
use types::{AskId, ItemBody, ItemStatus, ThreadId, Usage};

use super::{
    McpServer, take,
    wire::{Event, applied, changes, command, patch_status},
};
use crate::{
    adapter::Out,
    domain::{Outcome, Route, What},
};

impl McpServer {
    /// An event; those that nobody needs are passed over.
    pub(super) fn event(&mut self, seq: u64, params: Event, out: &mut Out) {
        let Some(id) = params.meta.request_id.map(AskId) else { return };
        let Some(call) = self.rpc.get_mut(id) else { return };
        call.eventful = true;
        take(id, call, out);
        let msg = params.msg;
        let text = |name: &str| msg.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut say = |what: What| out.reports.push((Route::Ask(id), what));
        match msg.get("type").and_then(Value::as_str).unwrap_or_default() {
            "session_configured" => {
                let thread = params.meta.thread_id.or_else(|| ThreadId::parse(&text("session_id")).ok());
                let applied = applied(&msg);
                if let Some(thread) = thread {
                    self.known.insert(thread.clone());
                    call.thread = Some(thread.clone());
                    say(What::Named { thread, applied });
                }
            }
            "user_message" => {
                let body = ItemBody::UserMessage { text: text("message"), images: Vec::new() };
                say(What::ItemCompleted { codex_id: "user".to_owned(), status: ItemStatus::Completed, body });
            }
            "agent_message" => {
                // The same each time that the line comes.
                let codex_id = format!("message-{seq}");
                let body = ItemBody::AgentMessage { text: text("message") };
                say(What::ItemCompleted { codex_id, status: ItemStatus::Completed, body });
            }
            "exec_command_begin" => say(What::ItemStarted { codex_id: text("call_id"), body: command(&msg) }),
            "exec_command_end" => {
                let failed = msg.get("exit_code").and_then(Value::as_i64).unwrap_or(0) != 0;
                let status = if failed { ItemStatus::Failed } else { ItemStatus::Completed };
                say(What::ItemCompleted { codex_id: text("call_id"), status, body: command(&msg) });
            }
            "patch_apply_end" => {
                let status = patch_status(&msg);
                let body = ItemBody::FileChange { changes: changes(msg.get("changes")) };
                say(What::ItemCompleted { codex_id: text("call_id"), status, body });
            }
            "token_count" => {
                let total = msg.pointer("/info/total_token_usage").cloned();
                let before = total
                    .as_ref()
                    .zip(call.thread.clone())
                    .and_then(|(total, thread)| self.totals.insert(thread, total.clone()));
                if let Some(last) =
                    msg.pointer("/info/last_token_usage").filter(|_| before.is_none() || before != total)
                {
                    let tokens = |name: &str| last.get(name).and_then(Value::as_u64).unwrap_or(0);
                    say(What::Usage(Usage {
                        input_tokens: tokens("input_tokens"),
                        cached_input_tokens: tokens("cached_input_tokens"),
                        output_tokens: tokens("output_tokens"),
                        reasoning_tokens: tokens("reasoning_output_tokens"),
                    }));
                }
            }
            "warning" | "stream_error" => say(What::Warning(text("message"))),
            "turn_aborted" => {
                // Such a call is never answered.
                let thread = call.thread.clone();
                self.rpc.answered(id, &mut out.lines);
                if let Some(thread) = thread {
                    self.spoil(thread);
                }
                self.end(id, Outcome::Interrupted, None, out);
            }
            _ => {}
        }
    }
}
