//! The adapter for `codex app-server`: JSON-RPC, a line each, without the `jsonrpc` field.
//!
//! What it does that no documentation tells, all of it measured (0.98.0, 0.153.4, 0.169.0):
//!
//! - A thread starts, and resumes, with `sandbox: "read-only"`, and every turn carries its own `sandboxPolicy`. Naming a
//!   writable sandbox at `thread/start` makes Codex write the folder into its configuration as trusted and start the MCP
//!   servers of the repository's own `.codex/config.toml`, unasked and outside the sandbox.
//! - The reply to `turn/start` does not mean that the prompt is recorded; the completed user message does.
//! - A busy thread merges a second `turn/start` into the first. The engine never sends one.
//! - Errors are nearly all `-32600`; the text is what tells them apart. The texts stand in [`errors`] and nowhere else.
//! - Model and effort of a turn stay for the turns that follow. No null and no naming of the first model takes an effort back.
//!   A cold resume that names a model drops the effort, one that names an effort in its `config` drops the model.
//! - `sandbox_workspace_write` in a thread's `config` widens the sandbox that its turns name. It is never sent; see [`params`].
//! - A compaction is a turn. On a busy thread it stops the turn that runs, and a `turn/start` during one is refused (0.98.0: lost).
//!   The engine never overlaps them. What [`threads`] remembers is needed for it.
//! - Addresses of images on the web are refused from 0.153 on; `data:` goes.
//! - 0.98.0 says everything twice, once as `codex/event/...`; that second voice is not listened to. A file change that was declined
//!   it also completes twice, the second time as failed.
//! - The experimental interface is asked for at `initialize`, because `thread/backgroundTerminals/clean` needs it. What else it
//!   changes are two notifications, which nobody reads; what the model is given stays the same.
//! - What `turn/steer` took is recorded only with its completed user message. A turn that is stopped before that loses it.
//! - A fork is there for good with its reply. It takes the model from the configuration, not from the thread that it is made of.
//! - The record of a thread lags behind until it is resumed, and a moment behind what Codex remembers even then; see [`record`].
//! - An interrupt of a thread on which nothing runs is an error, or never answered (0.98.0). Right after the reply to
//!   `turn/start` it is the same error, and the turn runs on.

mod errors;
mod items;
mod notes;
mod params;
mod peek;
mod questions;
mod record;
mod threads;
mod wire;

use std::{collections::HashSet, time::Instant};

use serde_json::{Value, json};
use types::{AskId, ThreadId, TurnErrorCode, agent::Model};

pub(crate) use params::config;
pub(crate) use peek::{peek, peek_input};
use questions::Questions;
use record::{Next, Search};
use threads::Threads;

use crate::{
    adapter::{Adapter, INTERRUPT_DEADLINE, Line, Out, QUICK_DEADLINE, THREAD_DEADLINE},
    domain::{Answer, Ask, AskError, AskKind, Capabilities, PendingAsk, Reply, RequestId},
    rpc::Rpc,
    version::Version,
};

/// From this version on Codex has `thread/inject_items`, `thread/delete`, `excludeTurns`, `clientUserMessageId`, and no
/// `on-failure`.
const SINCE_SECOND_API: Version = Version(0, 153, 0);

/// Notifications that nobody here reads. Names that a version does not know are ignored by it.
pub(crate) const NOT_WANTED: [&str; 8] = [
    "account/rateLimits/updated",
    "item/fileChange/outputDelta",
    "remoteControl/status/changed",
    "thread/goal/cleared",
    "thread/readState/changed",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
];

/// More models than this are not asked for.
const MOST_MODELS: usize = 1000;

/// What is remembered of a request.
enum Call {
    Start,
    Resume,
    /// A fork, and of which thread.
    Fork(ThreadId),
    Turn,
    /// An interrupt, and of which thread.
    Interrupt(ThreadId),
    Steer,
    Compact(ThreadId),
    Delete(ThreadId),
    /// A page of models: those of the pages before it, and until when the last page has to be here.
    Models(Vec<Model>, Instant),
    Limits,
    /// A page of a thread's record.
    Record(Search),
    Other,
}

/// See the module.
pub(crate) struct AppServer {
    rpc: Rpc<Call>,
    threads: Threads,
    questions: Questions,
    second_api: bool,
}

impl AppServer {
    /// An adapter for a Codex of this version that has answered `initialize`.
    pub(crate) fn new(version: Option<Version>) -> Self {
        let second_api = version.is_none_or(|version| version >= SINCE_SECOND_API);
        Self { rpc: Rpc::new(), threads: Threads::default(), questions: Questions::new(second_api), second_api }
    }

    fn answer(&mut self, id: AskId, incoming: &wire::Incoming<'_>, now: Instant, out: &mut Out) {
        if let Some(error) = &incoming.error {
            if error.code == wire::OVERLOADED && self.rpc.overloaded(id, now, &mut out.lines) {
                return;
            }
            match self.rpc.answered(id, &mut out.lines) {
                Some(Call::Steer) => out.answer(id, Err(errors::of_steer(error))),
                Some(_) => out.answer(id, Err(errors::of_request(error))),
                None => {}
            }
            return;
        }
        let Some(call) = self.rpc.answered(id, &mut out.lines) else {
            tracing::debug!(%id, "an answer that nobody waits for");
            return;
        };
        let answer = match call {
            Call::Models(before, deadline) => match wire::read::<wire::ModelsReply>(incoming.result) {
                Ok(page) => return self.models(id, before, page, deadline, out),
                Err(error) => Err(error),
            },
            Call::Limits => wire::read(incoming.result).map(Answer::Limits),
            Call::Record(mut search) => match search.read(incoming.result) {
                Ok(Next::Page(cursor)) => {
                    let ((method, params), deadline) = (search.request(cursor.as_deref()), search.deadline);
                    let line = params::line(id, method, &params);
                    let part = search.asked;
                    return self.rpc.call_part(id, part, Call::Record(search), line, Some(deadline), &mut out.lines);
                }
                Ok(Next::Done(record)) => Ok(Answer::Record(record)),
                Err(error) => Err(error),
            },
            Call::Start | Call::Resume | Call::Fork(_) => {
                wire::read::<wire::ThreadReply>(incoming.result).map(|reply| {
                    let applied = Some(reply.applied());
                    let thread = reply.thread.id;
                    match call {
                        Call::Start => self.threads.started(&thread),
                        Call::Fork(of) => self.threads.forked(&thread, &of, !self.second_api),
                        _ => {}
                    }
                    Answer::Thread { applied, thread: Some(thread) }
                })
            }
            Call::Turn => {
                wire::read::<wire::TurnReply>(incoming.result).map(|reply| Answer::Turn { codex_turn: reply.turn.id })
            }
            Call::Compact(thread) => {
                self.threads.compacting(&thread);
                Ok(Answer::Done)
            }
            Call::Delete(thread) => {
                self.threads.deleted(&thread);
                Ok(Answer::Done)
            }
            Call::Interrupt(_) | Call::Steer | Call::Other => Ok(Answer::Done),
        };
        out.answer(id, answer.map_err(|error| AskError::Unreadable(error.to_string())));
    }

    /// A page of models came: asks for the next one, or answers with them all.
    fn models(&mut self, id: AskId, before: Vec<Model>, page: wire::ModelsReply, deadline: Instant, out: &mut Out) {
        let mut models = before;
        let more = !page.data.is_empty() && models.len() < MOST_MODELS;
        models.extend(page.data.into_iter().filter_map(wire::OfferedModel::read));
        match page.next_cursor {
            Some(cursor) if more => {
                let line = params::line(id, "model/list", &params::models(Some(&cursor)));
                self.rpc.call(id, Call::Models(models, deadline), line, Some(deadline), &mut out.lines);
            }
            _ => out.answer(id, Ok(Answer::Models(models))),
        }
    }
}

impl Adapter for AppServer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            inject: self.second_api,
            interrupt: true,
            compact: true,
            delete: self.second_api,
            turn_options: true,
            remote_images: !self.second_api,
            steer: self.second_api,
            fork: true,
            clean_terminals: self.second_api,
            leaves_commands: false,
            approvals_for_session: true,
            record: self.second_api,
        }
    }

    fn restore(&mut self, pending: Vec<PendingAsk>, passed: &HashSet<String>, now: Instant, out: &mut Out) {
        self.questions.restore(passed);
        for PendingAsk { id, what, thread } in pending {
            if let AskKind::RunningTurn(turn) = &what {
                if let Some(thread) = &thread {
                    self.threads.running(thread, turn, !self.second_api);
                }
                continue;
            }
            if !passed.contains(&id.to_string()) {
                out.answer(id, Err(AskError::Unsent));
                continue;
            }
            let (call, wait) = match (what, thread) {
                (AskKind::StartThread, _) => (Call::Start, THREAD_DEADLINE),
                (AskKind::ResumeThread, _) => (Call::Resume, THREAD_DEADLINE),
                (AskKind::Inject, _) => (Call::Other, THREAD_DEADLINE),
                (AskKind::StartTurn, _) => (Call::Turn, QUICK_DEADLINE),
                (AskKind::Interrupt, Some(thread)) => (Call::Interrupt(thread), INTERRUPT_DEADLINE),
                (AskKind::Steer, _) => (Call::Steer, QUICK_DEADLINE),
                (AskKind::Fork, Some(thread)) => (Call::Fork(thread), THREAD_DEADLINE),
                (AskKind::Compact, Some(thread)) => (Call::Compact(thread), QUICK_DEADLINE),
                (AskKind::DeleteThread, Some(thread)) => (Call::Delete(thread), QUICK_DEADLINE),
                _ => (Call::Other, QUICK_DEADLINE),
            };
            self.rpc.restore(id, call, Some(now + wait));
        }
    }

    fn ask(&mut self, id: AskId, ask: Ask, now: Instant, out: &mut Out) {
        let second = self.second_api;
        let (method, params, call, wait) = match ask {
            Ask::StartThread(spec) => ("thread/start", params::thread(&spec, second), Call::Start, THREAD_DEADLINE),
            Ask::ResumeThread { thread, spec } => {
                let params = params::resume(&thread, &spec, second);
                ("thread/resume", params, Call::Resume, THREAD_DEADLINE)
            }
            Ask::Inject { thread, messages } => {
                ("thread/inject_items", params::inject(&thread, &messages), Call::Other, THREAD_DEADLINE)
            }
            Ask::StartTurn(turn) => {
                let Some(thread) = &turn.thread else {
                    out.answer(id, Err(AskError::NotLoaded));
                    return;
                };
                self.threads.works_in(thread, &turn.spec.cwd);
                ("turn/start", params::turn(&turn, thread, second), Call::Turn, QUICK_DEADLINE)
            }
            Ask::Interrupt { thread, codex_turn } => {
                let params = json!({"threadId": thread, "turnId": codex_turn});
                ("turn/interrupt", params, Call::Interrupt(thread), INTERRUPT_DEADLINE)
            }
            Ask::Steer { .. } if !second => {
                out.answer(id, Err(AskError::NotSupported));
                return;
            }
            Ask::Steer { thread, codex_turn, input, item } => {
                let params = params::steer(&thread, &codex_turn, &input, &item, self.threads.folder(&thread));
                ("turn/steer", params, Call::Steer, QUICK_DEADLINE)
            }
            Ask::Fork { thread, spec } => {
                let params = params::resume(&thread, &spec, second);
                ("thread/fork", params, Call::Fork(thread), THREAD_DEADLINE)
            }
            Ask::CleanTerminals { .. } if !second => {
                out.answer(id, Err(AskError::NotSupported));
                return;
            }
            Ask::CleanTerminals { thread } => {
                ("thread/backgroundTerminals/clean", json!({"threadId": thread}), Call::Other, QUICK_DEADLINE)
            }
            Ask::Compact { thread } => {
                ("thread/compact/start", json!({"threadId": thread}), Call::Compact(thread), QUICK_DEADLINE)
            }
            Ask::DeleteThread { .. } if !second => {
                out.answer(id, Err(AskError::NotSupported));
                return;
            }
            Ask::DeleteThread { thread } => {
                ("thread/delete", json!({"threadId": thread}), Call::Delete(thread), QUICK_DEADLINE)
            }
            Ask::Record { .. } | Ask::Revert { .. } if !second => {
                out.answer(id, Err(AskError::NotSupported));
                return;
            }
            Ask::Record { thread, prompt, codex_turn } => {
                let search = Search::new(thread, prompt, codex_turn, now + QUICK_DEADLINE);
                let (method, params) = search.request(None);
                (method, params, Call::Record(search), QUICK_DEADLINE)
            }
            Ask::Revert { thread, codex_turn } => {
                let params = json!({"threadId": thread, "beforeTurnId": codex_turn});
                ("thread/revert", params, Call::Other, THREAD_DEADLINE)
            }
            Ask::Models => {
                ("model/list", params::models(None), Call::Models(Vec::new(), now + QUICK_DEADLINE), QUICK_DEADLINE)
            }
            Ask::Limits => ("account/rateLimits/read", Value::Null, Call::Limits, QUICK_DEADLINE),
        };
        let line = params::line(id, method, &params);
        self.rpc.call(id, call, line, Some(now + wait), &mut out.lines);
    }

    fn reply(&mut self, request: RequestId, reply: Reply, out: &mut Out) {
        self.questions.answer(&request, &reply, out);
    }

    fn line(&mut self, _seq: u64, line: &[u8], now: Instant, out: &mut Out) {
        let incoming: wire::Incoming<'_> = match serde_json::from_slice(line) {
            Ok(incoming) => incoming,
            Err(error) => {
                if !line.trim_ascii().is_empty() {
                    let start = String::from_utf8_lossy(&line[..line.len().min(200)]);
                    tracing::warn!(target: "codex", %error, "a line that is not JSON-RPC: {start}");
                }
                return;
            }
        };
        match (incoming.method.as_deref(), incoming.id) {
            (Some(method), Some(id)) => self.questions.ask(method, id, incoming.params, out),
            (Some(method), None) => {
                if let Err(error) = self.notification(method, &incoming, out) {
                    tracing::warn!(%error, method, "a notification that can't be read; the tested versions are {:?}", crate::TESTED);
                }
            }
            (None, Some(id)) => match id.get().parse() {
                Ok(number) => self.answer(AskId(number), &incoming, now, out),
                Err(_) => tracing::debug!(id = id.get(), "an answer to nothing of ours"),
            },
            (None, None) => {}
        }
    }

    fn ping(&mut self, out: &mut Out) {
        // Nobody waits for this answer: the ids of asks are numbers.
        let line = json!({"id": "ping", "method": "model/list", "params": {"limit": 1}});
        out.lines.push(Line::untagged(line.to_string().into_bytes()));
    }

    fn is_at_rest(&self) -> bool {
        self.rpc.is_empty()
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        for ended in self.rpc.tick(now, &mut out.lines) {
            out.answer(ended.id, Err(AskError::Timeout { heard: ended.heard }));
        }
    }

    fn wake(&self) -> Option<Instant> {
        self.rpc.wake()
    }

    fn never_given(&mut self, tags: &HashSet<String>) {
        self.rpc.never_given(tags);
    }

    fn gone(&mut self, out: &mut Out) {
        for ended in self.rpc.drain() {
            out.answer(ended.id, Err(AskError::Exited { heard: ended.heard }));
        }
    }
}

/// Whether a turn that failed so may be the account's fault; only for messages.
pub(crate) const fn login_hint(code: TurnErrorCode) -> Option<&'static str> {
    match code {
        TurnErrorCode::LoginRequired => Some("log in with `codex login`, then send the prompt again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
