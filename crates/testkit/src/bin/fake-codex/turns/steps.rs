//! The tool calls of a turn: what they report, and the questions before them.

use fake_model::Step;
use serde_json::{Value, json};

use super::Question;
use crate::script::output_of;
use crate::shapes;
use crate::threads::{Context, Thread};

impl Thread {
    /// The client has answered a request for approval.
    pub(crate) fn answered(&mut self, response: &Value, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(question) = turn.question.take() else { return };
        let Question { request, step, mut item } = question;
        self.notify(context, "serverRequest/resolved", &json!({"threadId": self.id, "requestId": request}));
        let decision = &response["result"]["decision"];
        let accepted = matches!(decision.as_str(), Some("accept" | "acceptForSession")) || decision.is_object();
        if accepted {
            self.notify_status(context, &self.status());
            self.do_step(&step, item, context);
            return self.advance(context);
        }
        let declined = matches!(decision.as_str(), Some("decline" | "cancel"));
        item["status"] = json!(if declined { "declined" } else { "failed" });
        self.item_completed(item, context);
        self.notify_status(context, &self.status());
        self.used(10, context);
        if decision == "cancel" {
            return self.end("interrupted", &Value::Null, context);
        }
        let why = if declined { "rejected by user" } else { "approval request failed" };
        self.tell(match step {
            Step::Run { .. } => {
                format!("ran: exec_command failed: CreateProcess {{ message: \"Rejected(\\\"{why}\\\")\" }}")
            }
            Step::Patch { .. } => format!("patch failed: patch {why}"),
        });
        self.advance(context);
    }

    pub(super) fn begin_step(&mut self, step: Step, context: &mut Context<'_>) {
        let id = format!("call_{}", shapes::new_id());
        let never = self.approval == "never" && !context.faults.approval;
        let item = match &step {
            Step::Run { command, .. } => shapes::command(&id, command, &self.cwd),
            Step::Patch { file, text } => {
                let path = std::path::Path::new(&self.cwd).join(file);
                shapes::file_change(&id, &path.to_string_lossy(), text)
            }
        };
        let asks = match &step {
            Step::Run { escalate, .. } => *escalate || self.approval == "untrusted",
            Step::Patch { .. } => self.sandbox["type"] == "readOnly",
        };
        if asks && never {
            self.used(10, context);
            return self.tell(match step {
                Step::Run { .. } => {
                    "ran: approval policy is Never; reject command \u{2014} you cannot ask for escalated \
                                     permissions if the approval policy is Never"
                        .to_owned()
                }
                Step::Patch { .. } => "patch failed: writing is blocked by read-only sandbox".to_owned(),
            });
        }
        if asks {
            return self.ask(step, item, context);
        }
        self.item_started(&item, context);
        self.do_step(&step, item, context);
    }

    fn ask(&mut self, step: Step, item: Value, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let request = *context.next_request;
        *context.next_request += 1;
        context.asked.insert(request, self.id.clone());
        let mut params = json!({"threadId": self.id, "turnId": turn.id, "itemId": item["id"],
            "startedAtMs": item["startedAtMs"], "reason": null});
        turn.question = Some(Question { request, step: step.clone(), item: item.clone() });
        let method = match &step {
            Step::Run { command, .. } => {
                let words: Vec<&str> = command.split_whitespace().collect();
                params["kind"] = json!("command");
                params["environmentId"] = json!("local");
                params["reason"] = json!("the fake model wants it");
                params["command"] = item["command"].clone();
                params["cwd"] = item["cwd"].clone();
                params["commandActions"] = item["commandActions"].clone();
                params["proposedExecpolicyAmendment"] = json!(words);
                params["availableDecisions"] =
                    json!(["accept", {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": words}}, "cancel"]);
                self.notify_status(context, &self.status());
                self.item_started(&item, context);
                "item/commandExecution/requestApproval"
            }
            Step::Patch { .. } => {
                params["grantRoot"] = Value::Null;
                self.item_started(&item, context);
                self.notify_status(context, &self.status());
                "item/fileChange/requestApproval"
            }
        };
        context.out.send(&json!({"method": method, "id": request, "params": params}));
    }

    /// Does a step that needs no approval, or has it.
    fn do_step(&mut self, step: &Step, mut item: Value, context: &mut Context<'_>) {
        item["status"] = json!("completed");
        match step {
            Step::Run { command, .. } => {
                let output = output_of(command);
                item["aggregatedOutput"] = json!(output);
                item["exitCode"] = json!(0);
                item["durationMs"] = json!(0);
                self.item_completed(item, context);
                self.tell(format!("ran: {}", output.trim_end()));
            }
            Step::Patch { file, text } => {
                self.item_completed(item, context);
                if let Some(turn) = &mut self.turn {
                    turn.diff = Some(shapes::diff(file, text));
                }
                self.repeat_diff(context);
                self.tell("patched".to_owned());
            }
        }
        self.used(10, context);
    }

    fn tell(&mut self, what: String) {
        if let Some(turn) = &mut self.turn {
            turn.told.push(what);
        }
    }
}
