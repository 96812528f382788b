//! The tool calls of a turn: what they report, and the questions before them.

use fake_model::Step;
use serde_json::{Value, json};

use super::{About, Question};
use crate::faults::Stage;
use crate::script::{blocks, output_of, refused};
use crate::shapes;
use crate::threads::{Context, Thread};

impl Thread {
    /// The client has answered a request for approval.
    pub(crate) fn answered(&mut self, response: &Value, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(Question { request, about }) = turn.question.take() else { return };
        self.notify(context, "serverRequest/resolved", &json!({"threadId": self.id, "requestId": request}));
        let (step, item) = match about {
            About::Step(step, item) => (step, item),
            About::Person(asked) => {
                self.person_answered(asked, response, context);
                self.take_steered(context);
                return self.advance(context);
            }
        };
        if self.decided(&step, item, &response["result"]["decision"], context) {
            self.take_steered(context);
            self.advance(context);
        }
    }

    /// Does what was decided. False when that ended the turn.
    fn decided(&mut self, step: &Step, mut item: Value, decision: &Value, context: &mut Context<'_>) -> bool {
        if matches!(decision.as_str(), Some("accept" | "acceptForSession")) || decision.is_object() {
            if decision == "acceptForSession" {
                self.approved.insert(subject(&item));
            }
            self.notify_status(context, &self.status());
            self.do_step(step, item, context);
            return true;
        }
        let declined = matches!(decision.as_str(), Some("decline" | "cancel"));
        item["status"] = json!(if declined { "declined" } else { "failed" });
        // The order of these two differs, and a change that was cancelled is not completed at all, as measured.
        match step {
            Step::Run { .. } => {
                self.item_completed(item, context);
                self.notify_status(context, &self.status());
            }
            Step::Patch { .. } => {
                self.notify_status(context, &self.status());
                if decision != "cancel" {
                    self.item_completed(item, context);
                }
            }
        }
        self.used(10, context);
        if decision == "cancel" {
            self.end("interrupted", &Value::Null, context);
            return false;
        }
        let why = if declined { "rejected by user" } else { "approval request failed" };
        self.tell(match step {
            Step::Run { .. } => {
                format!("ran: exec_command failed: CreateProcess {{ message: \"Rejected(\\\"{why}\\\")\" }}")
            }
            Step::Patch { .. } if declined => format!("patch failed: patch {why}"),
            Step::Patch { .. } => format!("patch failed: {why}"),
        });
        true
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
        let untrusted = self.approval == "untrusted";
        let asks = match &step {
            Step::Run { escalate, .. } => *escalate || untrusted,
            Step::Patch { file, .. } => untrusted || blocks(self.sandbox["type"].as_str(), &self.cwd, file).is_some(),
        };
        if asks && never {
            self.used(10, context);
            return self.tell(refused(&step, self.sandbox["type"].as_str()));
        }
        if asks && !self.approved.contains(&subject(&item)) {
            return self.ask(step, item, context);
        }
        self.item_started(&item, context);
        if !self.strikes(context, Stage::Command) {
            self.do_step(&step, item, context);
        }
    }

    fn ask(&mut self, step: Step, item: Value, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let request = *context.next_request;
        *context.next_request += 1;
        context.asked.insert(request, self.id.clone());
        let mut params = json!({"threadId": self.id, "turnId": turn.id, "itemId": item["id"],
            "startedAtMs": item["startedAtMs"], "reason": null});
        turn.question = Some(Question { request, about: About::Step(step.clone(), item.clone()) });
        let method = match &step {
            Step::Run { command, escalate } => {
                let words: Vec<&str> = command.split_whitespace().collect();
                params["kind"] = json!("command");
                params["environmentId"] = json!("local");
                if *escalate {
                    params["reason"] = json!("the fake model wants it");
                } else if let Some(params) = params.as_object_mut() {
                    params.remove("reason");
                }
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
        self.strikes(context, Stage::Approval);
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

    pub(super) fn tell(&mut self, what: String) {
        if let Some(turn) = &mut self.turn {
            turn.told.push(what);
        }
    }
}

/// What an approval for the session is for: the command, or the file.
fn subject(item: &Value) -> String {
    let subject = if item["type"] == "fileChange" { &item["changes"][0]["path"] } else { &item["command"] };
    subject.as_str().unwrap_or_default().to_owned()
}
