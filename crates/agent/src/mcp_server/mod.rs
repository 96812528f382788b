//! The adapter for `codex mcp-server`, which Codex had up to 0.153, and for programs that only speak that.
//!
//! Two tools: `codex` makes a thread together with its first turn, `codex-reply` goes on. A call is answered when its turn has
//! ended; in between come `codex/event` notifications, from real ones. The process forgets its threads when it ends, and so
//! does this adapter: a thread that it has not seen is one of which there is no record, so the engine replays.
//!
//! What it does that no documentation tells (measured, 0.98.0 and 0.153.4): a second call on a busy thread is merged into the
//! first and its answer goes astray, so the engine sends one at a time. A cancelled call is never answered and may make later
//! answers go astray; and after a failed call the next one is merged into the turn that is still ending, and answered with nothing
//! (0.153.4). So after a cancel or a failure the thread is *spoilt*: it is not used again, and the engine replays. A spec-conforming `accept` counts as a no; what counts is the
//! field `decision`.

mod notes;
mod params;
mod peek;
mod questions;
mod wire;

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use serde_json::{Value, json};
use types::{AskId, ThreadId, TurnError, TurnErrorCode};

use crate::{
    adapter::{Adapter, Line, Out},
    domain::{
        Answer, Applied, Ask, AskError, AskKind, Capabilities, Outcome, PendingAsk, Reply, RequestId, Route, TurnSpec,
        What,
    },
    rpc::Rpc,
    version::Version,
};
pub(crate) use peek::{peek, peek_input};
use questions::{Asker, Questions, deny};
use wire::{Incoming, ToolResult, failure};

/// From this version on only `on-request` and `never` are known.
const SINCE_FEW_POLICIES: Version = Version(0, 153, 0);

/// One call of a tool: one turn.
struct Call {
    thread: Option<ThreadId>,
    /// Whether the engine has been told that Codex took it.
    taken: bool,
    /// It told of events, as the real one does and stubs may not.
    eventful: bool,
}

/// See the module.
pub(crate) struct McpServer {
    rpc: Rpc<Call>,
    known: HashSet<ThreadId>,
    spoilt: HashSet<ThreadId>,
    few_policies: bool,
    /// What all requests of a thread used, as it was told last: 0.98.0 tells it again before each request.
    totals: HashMap<ThreadId, Value>,
    questions: Questions,
}

impl McpServer {
    /// An adapter for a server that has answered `initialize`.
    pub(crate) fn new(version: Option<Version>) -> Self {
        let few_policies = version.is_some_and(|version| version >= SINCE_FEW_POLICIES);
        Self {
            rpc: Rpc::new(),
            known: HashSet::new(),
            spoilt: HashSet::new(),
            few_policies,
            totals: HashMap::new(),
            questions: Questions::default(),
        }
    }

    fn call(&mut self, id: AskId, turn: &TurnSpec, out: &mut Out) {
        let Some(prompt) = params::prompt(turn) else {
            out.answer(id, Err(AskError::NotSupported));
            return;
        };
        if turn.thread.as_ref().is_some_and(|thread| self.spoilt.contains(thread)) {
            out.answer(id, Err(AskError::NotLoaded));
            return;
        }
        let arguments = match &turn.thread {
            Some(thread) => params::reply(thread, &prompt),
            None => params::first_call(&turn.spec, &prompt, self.few_policies),
        };
        let tool = if turn.thread.is_some() { "codex-reply" } else { "codex" };
        let line = params::line(id, "tools/call", &json!({"name": tool, "arguments": arguments}));
        // A call takes as long as its turn, and the engine has a deadline for turns.
        let call = Call { thread: turn.thread.clone(), taken: false, eventful: false };
        self.rpc.call(id, call, line, None, &mut out.lines);
    }

    fn answer(&mut self, id: AskId, incoming: Incoming, out: &mut Out) {
        let Some(mut call) = self.rpc.answered(id, &mut out.lines) else {
            tracing::debug!(%id, "an answer that nobody waits for");
            return;
        };
        if let Some(error) = incoming.error {
            let text = error.get("message").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
            if call.taken {
                self.end(id, Outcome::Failed(TurnError::new(TurnErrorCode::Other, text)), None, out);
            } else {
                out.answer(id, Err(AskError::Refused(text)));
            }
            return;
        }
        let result: ToolResult = serde_json::from_value(incoming.result.unwrap_or_default()).unwrap_or_default();
        let text = result.text();
        if result.is_error && !call.taken && text.starts_with("Session not found") {
            if let Some(thread) = &call.thread {
                self.known.remove(thread);
            }
            out.answer(id, Err(AskError::NotLoaded));
            return;
        }
        if let (true, Some(thread)) = (result.is_error && call.eventful, &call.thread) {
            self.spoil(thread.clone());
        }
        if let Some(thread) = result.structured_content.thread_id {
            self.named(id, &mut call, thread, None, out);
        }
        take(id, &mut call, out);
        let outcome = if result.is_error { Outcome::Failed(failure(text.clone())) } else { Outcome::Completed };
        self.end(id, outcome, (!result.is_error).then_some(text), out);
    }

    fn spoil(&mut self, thread: ThreadId) {
        self.known.remove(&thread);
        self.spoilt.insert(thread);
    }

    fn named(&mut self, id: AskId, call: &mut Call, thread: ThreadId, applied: Option<Applied>, out: &mut Out) {
        self.known.insert(thread.clone());
        if call.thread.as_ref() != Some(&thread) {
            call.thread = Some(thread.clone());
            out.reports.push((Route::Ask(id), What::Named { thread, applied }));
        }
    }

    fn question(&mut self, method: &str, id: &Value, params: &Value, out: &mut Out) {
        if method != "elicitation/create" {
            let refusal = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "method not found"}});
            out.lines.push(Line::of_reply(id, refusal.to_string().into_bytes()));
            return;
        }
        let asker = Asker::read(params);
        let of_thread = |call: &Call| call.thread.is_some() && call.thread == asker.thread;
        let named = asker.call.filter(|id| self.rpc.iter().any(|(call, _)| call == *id));
        match named.or_else(|| self.rpc.iter().find(|(_, call)| of_thread(call)).map(|(id, _)| id)) {
            Some(call) => self.questions.ask(call, id, asker, params, out),
            // An error would leave Codex's turn stuck; whoever's it is, it is told no.
            None => deny(id, out),
        }
    }

    fn end(&mut self, id: AskId, outcome: Outcome, last_message: Option<String>, out: &mut Out) {
        self.questions.ended(id, out);
        let what = What::TurnEnded { codex_turn: Some(id.to_string()), outcome, last_message };
        out.reports.push((Route::Ask(id), what));
    }
}

impl Adapter for McpServer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            interrupt: true,
            // 0.98.0 ends a command with its turn; 0.153.4 does not.
            leaves_commands: self.few_policies,
            approvals_for_session: true,
            ..Capabilities::default()
        }
    }

    /// A thread that is not named here is one that this adapter has not seen: it may be spoilt.
    fn restore(&mut self, pending: Vec<PendingAsk>, passed: &HashSet<String>, _now: Instant, out: &mut Out) {
        for PendingAsk { id, what, thread } in pending {
            let taken = matches!(what, AskKind::RunningTurn(_));
            if !passed.contains(&id.to_string()) && !taken {
                out.answer(id, Err(AskError::Unsent));
                continue;
            }
            if taken || what == AskKind::StartTurn {
                self.known.extend(thread.clone());
                self.rpc.restore(id, Call { thread, taken, eventful: taken }, None);
            }
        }
    }

    fn ask(&mut self, id: AskId, ask: Ask, _now: Instant, out: &mut Out) {
        match ask {
            Ask::StartThread(_) => out.answer(id, Ok(Answer::Thread { thread: None, applied: None })),
            Ask::ResumeThread { thread, .. } if self.known.contains(&thread) && !self.spoilt.contains(&thread) => {
                out.answer(id, Ok(Answer::Thread { thread: Some(thread), applied: None }));
            }
            Ask::ResumeThread { .. } => {
                let why = "codex mcp-server forgets its threads when it ends".to_owned();
                out.answer(id, Err(AskError::NoRecord(why)));
            }
            Ask::Inject { .. }
            | Ask::Steer { .. }
            | Ask::Fork { .. }
            | Ask::CleanTerminals { .. }
            | Ask::Compact { .. }
            | Ask::DeleteThread { .. }
            | Ask::Models
            | Ask::Record { .. }
            | Ask::Revert { .. }
            | Ask::Limits => out.answer(id, Err(AskError::NotSupported)),
            Ask::StartTurn(turn) => self.call(id, &turn, out),
            Ask::Interrupt { codex_turn, .. } => {
                out.answer(id, Ok(Answer::Done));
                let Some(call) = codex_turn.parse().ok().map(AskId) else { return };
                let Some(ended) = self.rpc.answered(call, &mut out.lines) else { return };
                if let Some(thread) = ended.thread {
                    self.spoil(thread);
                }
                let cancel =
                    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call}});
                out.lines.push(Line { tag: format!("x:{call}"), bytes: cancel.to_string().into_bytes() });
                self.end(call, Outcome::Interrupted, None, out);
            }
        }
    }

    fn reply(&mut self, request: RequestId, reply: Reply, out: &mut Out) {
        self.questions.answer(&request, &reply, out);
    }

    fn line(&mut self, seq: u64, line: &[u8], _now: Instant, out: &mut Out) {
        let incoming: Incoming = match serde_json::from_slice(line) {
            Ok(incoming) => incoming,
            Err(error) => {
                if !line.trim_ascii().is_empty() {
                    let start = String::from_utf8_lossy(&line[..line.len().min(200)]);
                    tracing::warn!(target: "codex", %error, "a line that is not JSON-RPC: {start}");
                }
                return;
            }
        };
        match (incoming.method.as_deref(), &incoming.id) {
            (Some("codex/event"), None) => match serde_json::from_value(incoming.params) {
                Ok(event) => self.event(seq, event, out),
                Err(error) => tracing::debug!(%error, "an event that can't be read"),
            },
            (Some(method), Some(id)) => self.question(method, id, &incoming.params, out),
            (None, Some(id)) => match id.as_i64() {
                Some(number) => self.answer(AskId(number), incoming, out),
                None => tracing::debug!(%id, "an answer to nothing of ours"),
            },
            _ => {}
        }
    }

    fn ping(&mut self, out: &mut Out) {
        let line = json!({"jsonrpc": "2.0", "id": "ping", "method": "ping"});
        out.lines.push(Line::untagged(line.to_string().into_bytes()));
    }

    fn is_at_rest(&self) -> bool {
        self.rpc.is_empty()
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.rpc.tick(now, &mut out.lines);
    }

    fn wake(&self) -> Option<Instant> {
        self.rpc.wake()
    }

    fn never_given(&mut self, tags: &HashSet<String>) {
        self.rpc.never_given(tags);
    }

    fn gone(&mut self, out: &mut Out) {
        for ended in self.rpc.drain() {
            if !ended.kind.taken {
                out.answer(ended.id, Err(AskError::Exited { heard: ended.heard }));
            }
        }
    }
}

fn take(id: AskId, call: &mut Call, out: &mut Out) {
    if !call.taken {
        call.taken = true;
        out.answer(id, Ok(Answer::Turn { codex_turn: id.to_string() }));
    }
}

#[cfg(test)]
mod tests;
