//! Codex's questions, and the answers in its words.
//!
//! Codex waits for an answer without end, so none may be lost. What it does not ask any more it says from 0.153 on
//! (`serverRequest/resolved`, also for what was answered); 0.98.0 does not, so a turn's end takes its questions along. An answer that makes
//! no sense for the question becomes a no.
//!
//! Only commands and file changes have a word for *no, and stop*. For the other kinds a cancel is the interface's no together
//! with a `turn/interrupt`, sent first, so that the model has no time to go on.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json, value::RawValue};
use types::{ApprovalKind, Decision, ThreadId};

use super::wire;
use crate::{
    adapter::{Line, Out, reply_tag},
    domain::{ApprovalRequest, Reply, RequestId, Route, What},
    question::{Question, bare},
};

/// The questions of one process.
#[derive(Default)]
pub(super) struct Questions {
    /// Those that wait, by Codex's id.
    open: HashMap<String, Question>,
    /// Those that were answered, or ended with their turn, and that Codex will still call resolved.
    settled: HashSet<String>,
    /// Whether Codex calls them resolved at all.
    resolves: bool,
}

impl Questions {
    /// `resolves`: this Codex says `serverRequest/resolved`.
    pub(super) fn new(resolves: bool) -> Self {
        Self { resolves, ..Self::default() }
    }

    /// Before this was there, Codex was given the lines with these tags, answers among them.
    pub(super) fn restore(&mut self, passed: &HashSet<String>) {
        let ids = passed.iter().filter_map(|tag| tag.strip_prefix(reply_tag("").as_str()));
        if self.resolves {
            self.settled.extend(ids.map(str::to_owned));
        }
    }

    /// A question. What is not an approval that we know is refused at once, and said.
    pub(super) fn ask(&mut self, method: &str, id: &RawValue, params: Option<&RawValue>, out: &mut Out) {
        let known = match method {
            "item/commandExecution/requestApproval" => Some(ApprovalKind::Command),
            "item/fileChange/requestApproval" => Some(ApprovalKind::FileChange),
            "item/permissions/requestApproval" => Some(ApprovalKind::Permissions),
            "item/tool/requestUserInput" => Some(ApprovalKind::UserInput),
            "mcpServer/elicitation/request" => Some(ApprovalKind::Elicitation),
            _ => None,
        };
        let asked = wire::read::<wire::Question>(params).unwrap_or_default();
        let (Some(kind), Some(thread)) = (known, &asked.thread_id) else {
            out.lines.push(Line { tag: reply_tag(id.get()), bytes: refusal(id.get(), "not supported by codexd") });
            let text = format!("Codex asked `{method}`, which codexd does not know; it was refused");
            tracing::warn!("{text}");
            if let Some(thread) = asked.thread_id {
                out.reports.push((Route::Thread(thread), What::Warning(text)));
            }
            return;
        };
        let question = Question {
            id: serde_json::from_str(id.get()).unwrap_or_default(),
            kind,
            thread: Some(thread.clone()),
            turn: asked.turn_id.clone(),
            asked: asked.to_repeat(kind),
        };
        let approval = ApprovalRequest {
            request: question.request(),
            kind,
            reason: asked.reason(),
            questions: asked.questions(),
            decisions: decisions(kind),
            rule: asked.proposed_execpolicy_amendment.unwrap_or_default(),
            codex_item: asked.item_id,
            command: asked.command,
            cwd: asked.cwd,
            changes: Vec::new(),
        };
        let route = Route::Thread(thread.clone());
        self.open.insert(question.id.to_string(), question);
        out.reports.push((route, What::Approval(approval)));
    }

    /// The engine answers. A question that is settled is not answered twice.
    pub(super) fn answer(&mut self, request: &RequestId, reply: &Reply, out: &mut Out) {
        let Some(question) = Question::read(request) else {
            tracing::error!(request = request.0, "an answer to something that is no question");
            return;
        };
        let key = question.id.to_string();
        if self.settled.contains(&key) {
            tracing::debug!(id = key, "an answer to a question that is settled");
            return;
        }
        self.settle(&key);
        if let (Reply::Decide(Decision::Cancel), Some(line)) = (reply, stop(&question)) {
            out.lines.push(Line { tag: format!("c{}", reply_tag(&key)), bytes: line });
        }
        let result = result(&question, reply);
        let answer = format!(r#"{{"id":{key},"result":{result}}}"#);
        out.lines.push(Line::of_reply(&question.id, answer.into_bytes()));
    }

    /// Codex does not wait for this one any more.
    pub(super) fn resolved(&mut self, note: wire::ResolvedNote, out: &mut Out) {
        let key = note.request_id.to_string();
        if self.settled.remove(&key) {
            return;
        }
        let request = match self.open.remove(&key) {
            Some(question) => question.request(),
            // Asked before this adapter was there.
            None => bare(&note.request_id),
        };
        out.reports.push((Route::Thread(note.thread_id), What::ApprovalGone { request }));
    }

    /// The turn ended, and with it what it waited for. Codex says so only afterwards, or not at all.
    pub(super) fn turn_ended(&mut self, thread: &ThreadId, turn: &str, out: &mut Out) {
        let mut of_turn: Vec<String> = self
            .open
            .iter()
            .filter(|(_, question)| question.thread.as_ref() == Some(thread) && question.turn.as_deref() == Some(turn))
            .map(|(key, _)| key.clone())
            .collect();
        of_turn.sort_unstable();
        for key in of_turn {
            if let Some(question) = self.settle(&key) {
                let gone = What::ApprovalGone { request: question.request() };
                out.reports.push((Route::Thread(thread.clone()), gone));
            }
        }
    }

    fn settle(&mut self, key: &str) -> Option<Question> {
        if self.resolves {
            self.settled.insert(key.to_owned());
        }
        self.open.remove(key)
    }
}

/// What can be decided. `acceptForSession` is honoured also where `availableDecisions` leaves it out.
fn decisions(kind: ApprovalKind) -> Vec<Decision> {
    use Decision::{Accept, AcceptForSession, Cancel, Decline};
    match kind {
        ApprovalKind::Command | ApprovalKind::FileChange | ApprovalKind::Permissions => {
            vec![Accept, AcceptForSession, Decline, Cancel]
        }
        ApprovalKind::Elicitation => vec![Accept, Decline, Cancel],
        ApprovalKind::UserInput => vec![Decline, Cancel],
    }
}

/// The line that ends the turn of a question whose kind has no such answer.
fn stop(question: &Question) -> Option<Vec<u8>> {
    let (Some(thread), Some(turn)) = (&question.thread, &question.turn) else { return None };
    if matches!(question.kind, ApprovalKind::Command | ApprovalKind::FileChange) {
        return None;
    }
    // Nobody waits for this answer: the ids of asks are numbers.
    let id = format!("cancel {}", question.id);
    let params = json!({"threadId": thread, "turnId": turn});
    Some(json!({"id": id, "method": "turn/interrupt", "params": params}).to_string().into_bytes())
}

fn result(question: &Question, reply: &Reply) -> Value {
    match question.kind {
        ApprovalKind::Command | ApprovalKind::FileChange => json!({"decision": match reply {
            Reply::Decide(Decision::Accept) => "accept",
            Reply::Decide(Decision::AcceptForSession) => "acceptForSession",
            Reply::Decide(Decision::Cancel) => "cancel",
            Reply::Decide(Decision::Decline) | Reply::Answers(_) => "decline",
        }}),
        // Nothing granted is a no.
        ApprovalKind::Permissions => match reply {
            Reply::Decide(Decision::Accept) => json!({"permissions": question.asked, "scope": "turn"}),
            Reply::Decide(Decision::AcceptForSession) => json!({"permissions": question.asked, "scope": "session"}),
            Reply::Decide(Decision::Decline | Decision::Cancel) | Reply::Answers(_) => {
                json!({"permissions": {}, "scope": "turn"})
            }
        },
        ApprovalKind::UserInput => {
            let none = BTreeMap::new();
            let given = if let Reply::Answers(answers) = reply { answers } else { &none };
            let answers: Map<String, Value> =
                given.iter().map(|(id, words)| (id.clone(), json!({"answers": words}))).collect();
            json!({"answers": answers})
        }
        ApprovalKind::Elicitation => match reply {
            Reply::Answers(answers) => json!({"action": "accept", "content": content(&question.asked, answers)}),
            Reply::Decide(Decision::Accept | Decision::AcceptForSession) if question.asked.is_null() => {
                json!({"action": "accept", "content": null})
            }
            Reply::Decide(Decision::Accept | Decision::AcceptForSession) => json!({"action": "accept", "content": {}}),
            Reply::Decide(Decision::Decline) => json!({"action": "decline", "content": null}),
            Reply::Decide(Decision::Cancel) => json!({"action": "cancel", "content": null}),
        },
    }
}

/// Answers as the fields of a form, each of the type that its schema names.
fn content(schema: &Value, answers: &BTreeMap<String, Vec<String>>) -> Value {
    let field = |(name, words): (&String, &Vec<String>)| {
        let word = words.first().map_or("", String::as_str);
        let value = match schema["properties"][name]["type"].as_str() {
            Some("array") => json!(words),
            Some("boolean" | "number" | "integer") => serde_json::from_str(word).unwrap_or_else(|_| json!(word)),
            _ => json!(word),
        };
        (name.clone(), value)
    };
    Value::Object(answers.iter().map(field).collect())
}

fn refusal(id: &str, message: &str) -> Vec<u8> {
    format!(r#"{{"id":{id},"error":{{"code":-32601,"message":"{message}"}}}}"#).into_bytes()
}
