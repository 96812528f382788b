//! What a thread's turn sends: the events, the questions, the answer of its call.

use std::path::Path;

use fake_model::Step;
use fake_model::answers::Said;
use serde_json::{Value, json};

use super::{Question, Thread, event, failed, result};
use crate::pump::Out;
use crate::script::{blocks, output_of};
use crate::shapes::{new_id, now_ms, shell};

impl Thread {
    pub(super) fn turn_id(&self) -> String {
        self.turn.as_ref().map_or(String::new(), |turn| turn.id.clone())
    }

    pub(super) fn event(&self, out: &mut Out, msg: &Value) {
        if let Some(turn) = &self.turn {
            event(out, &turn.call, &self.id, &turn.id, msg);
        }
    }

    pub(super) fn item(&self, out: &mut Out, kind: &str, item: &Value) {
        self.event(out, &json!({"type": kind, "thread_id": self.id, "turn_id": self.turn_id(), "item": item}));
    }

    pub(super) fn tell(&mut self, what: String) {
        if let Some(turn) = &mut self.turn {
            turn.told.push(what);
        }
    }

    /// Whether the step needs an approval, unless it was given for the session.
    pub(super) fn asks(&self, step: &Step) -> bool {
        match step {
            Step::Run { escalate, .. } => *escalate,
            Step::Patch { file, .. } => blocks(Some(&self.sandbox), &self.cwd, file).is_some(),
        }
    }

    /// What an approval for the session is for: the command, or the file.
    pub(super) fn subject(&self, step: &Step) -> String {
        match step {
            Step::Run { command, .. } => command.clone(),
            Step::Patch { file, .. } => self.path(file),
        }
    }

    fn path(&self, file: &str) -> String {
        Path::new(&self.cwd).join(file).to_string_lossy().into_owned()
    }

    fn changes(&self, file: &str, text: &str) -> Value {
        let mut changes = json!({});
        changes[self.path(file)] = json!({"type": "add", "content": format!("{text}\n")});
        changes
    }

    pub(super) fn ask(&mut self, request: u64, step: Step, out: &mut Out) {
        let Some(turn) = &self.turn else { return };
        let call = format!("call_{}", new_id());
        let mut params = json!({"message": "Allow Codex to apply proposed code changes?",
            "requestedSchema": {"type": "object", "properties": {}}, "threadId": self.id,
            "codex_elicitation": "patch-approval", "codex_mcp_tool_call_id": id_text(&turn.call),
            "codex_event_id": turn.id, "codex_call_id": call});
        match &step {
            Step::Run { command, .. } => {
                let argv = json!(["/bin/bash", "-lc", command]);
                params["message"] = json!(format!("Allow Codex to run `{}` in `{}`?", shell(command), self.cwd));
                params["codex_elicitation"] = json!("exec-approval");
                params["codex_command"] = argv.clone();
                params["codex_cwd"] = json!(self.cwd);
                params["codex_parsed_cmd"] = json!([{"type": "unknown", "cmd": command}]);
                self.event(
                    out,
                    &json!({"type": "exec_approval_request", "call_id": call, "turn_id": turn.id, "command": argv,
                    "cwd": self.cwd, "reason": "the fake model wants it", "parsed_cmd": params["codex_parsed_cmd"]}),
                );
            }
            Step::Patch { file, text } => {
                let changes = self.changes(file, text);
                self.patch_begins(&call, &changes, false, out);
                self.event(
                    out,
                    &json!({"type": "apply_patch_approval_request", "call_id": call, "turn_id": turn.id,
                    "started_at_ms": now_ms(), "changes": changes}),
                );
                params["codex_changes"] = changes;
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.question = Some(Question { step, call });
        }
        out.send(&json!({"jsonrpc": "2.0", "id": request, "method": "elicitation/create", "params": params}));
    }

    /// The step was not allowed. A command leaves no event.
    pub(super) fn decline(&mut self, step: &Step, call: &str, out: &mut Out) {
        let why = "approval request failed";
        self.tell(match step {
            Step::Run { .. } => {
                format!("ran: exec_command failed: CreateProcess {{ message: \"Rejected(\\\"{why}\\\")\" }}")
            }
            Step::Patch { file, text } => {
                let changes = self.changes(file, text);
                self.event(
                    out,
                    &json!({"type": "patch_apply_end", "call_id": call, "turn_id": self.turn_id(), "stdout": "",
                    "stderr": why, "success": false, "changes": changes, "status": "declined"}),
                );
                format!("patch failed: {why}")
            }
        });
    }

    fn patch_begins(&self, call: &str, changes: &Value, approved: bool, out: &mut Out) {
        self.event(
            out,
            &json!({"type": "patch_apply_begin", "call_id": call, "turn_id": self.turn_id(),
            "auto_approved": approved, "changes": changes}),
        );
    }

    /// Does a step that needs no approval, or has it: then the call that was asked for goes on.
    pub(super) fn do_step(&mut self, step: &Step, asked: Option<String>, out: &mut Out) {
        let begun = asked.is_some();
        let call = asked.unwrap_or_else(|| format!("call_{}", new_id()));
        match step {
            Step::Run { command, .. } => {
                let argv = json!(["/bin/bash", "-lc", command]);
                let output = output_of(command);
                self.event(
                    out,
                    &json!({"type": "exec_command_begin", "call_id": call, "turn_id": self.turn_id(),
                    "command": argv, "cwd": self.cwd}),
                );
                self.event(
                    out,
                    &json!({"type": "exec_command_end", "call_id": call, "turn_id": self.turn_id(),
                    "command": argv, "cwd": self.cwd, "stdout": output, "stderr": "", "aggregated_output": output,
                    "exit_code": 0, "status": "completed"}),
                );
                self.tell(format!("ran: {}", output.trim_end()));
            }
            Step::Patch { file, text } => {
                let changes = self.changes(file, text);
                if !begun {
                    self.patch_begins(&call, &changes, true, out);
                }
                self.event(
                    out,
                    &json!({"type": "patch_apply_end", "call_id": call, "turn_id": self.turn_id(),
                    "stdout": "", "stderr": "", "success": true, "changes": changes, "status": "completed"}),
                );
                self.tell("patched".to_owned());
            }
        }
    }

    pub(super) fn say(&mut self, delta: &str, as_delta: bool, out: &mut Out) {
        let Some(turn) = &mut self.turn else { return };
        let first = turn.text.is_none();
        turn.text.get_or_insert_default().push_str(delta);
        let item = turn.item.clone();
        if first {
            self.item(out, "item_started", &json!({"type": "AgentMessage", "id": item, "content": []}));
        }
        if as_delta {
            self.event(
                out,
                &json!({"type": "agent_message_content_delta", "thread_id": self.id,
                "turn_id": self.turn_id(), "item_id": item, "delta": delta}),
            );
        }
    }

    pub(super) fn complete(&mut self, out: &mut Out) {
        let Some(turn) = &mut self.turn else { return };
        let text = turn.text.take().unwrap_or_default();
        let item = json!({"type": "AgentMessage", "id": turn.item, "content": [{"type": "Text", "text": text}]});
        let (call, took) = (turn.call.clone(), turn.begun.elapsed().as_millis());
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.item(out, "item_completed", &item);
        self.event(out, &json!({"type": "agent_message", "message": text}));
        let usage = json!({"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": text.len().div_ceil(4),
            "reasoning_output_tokens": 0, "total_tokens": 100 + text.len().div_ceil(4)});
        self.event(
            out,
            &json!({"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": usage,
            "model_context_window": 258_400}, "rate_limits": null}),
        );
        self.event(
            out,
            &json!({"type": "task_complete", "turn_id": self.turn_id(), "last_agent_message": text,
            "duration_ms": took}),
        );
        result(
            out,
            &call,
            &json!({"content": [{"type": "text", "text": text}],
            "structuredContent": {"threadId": self.id, "content": text}}),
        );
        self.memory.push(Said { role: "assistant", text });
        self.turn = None;
    }

    pub(super) fn fail(&mut self, message: &str, info: &Value, out: &mut Out) {
        self.event(out, &json!({"type": "error", "message": message, "codex_error_info": info}));
        if let Some(turn) = self.turn.take() {
            result(out, &turn.call, &failed(message, Some(&self.id)));
        }
    }

    /// Ends the turn; its call is never answered.
    pub(super) fn abort(&mut self, out: &mut Out) {
        self.event(out, &json!({"type": "turn_aborted", "turn_id": self.turn_id(), "reason": "interrupted"}));
        self.turn = None;
    }
}

/// A request id as text: a string without its quotes.
fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
