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
//! - 0.98.0 says everything twice, once as `codex/event/...`; that second voice is not listened to.

mod errors;
mod items;
mod wire;

use std::time::Instant;

use serde_json::{Value, json};
use types::{ApprovalPolicy, AskId, ItemStatus, Role, Sandbox, ThreadId, TurnErrorCode};

use crate::{
    adapter::{Adapter, Out, QUICK_DEADLINE, THREAD_DEADLINE},
    domain::{
        Answer, ApprovalRequest, Ask, AskError, Capabilities, DeltaKind, Outcome, Reply, RequestId, Route, ThreadSpec,
        TurnSpec, What,
    },
    rpc::Rpc,
    version::Version,
};

/// From this version on Codex has `thread/inject_items`, `excludeTurns`, `clientUserMessageId`, and no `on-failure`.
const SINCE_SECOND_API: Version = Version(0, 153, 0);

/// Notifications that nobody here reads. Names that a version does not know are ignored by it.
pub(crate) const NOT_WANTED: [&str; 6] = [
    "account/rateLimits/updated",
    "item/fileChange/outputDelta",
    "remoteControl/status/changed",
    "thread/goal/cleared",
    "thread/started",
    "thread/status/changed",
];

/// What is remembered of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Thread,
    Turn,
    Other,
}

/// See the module.
pub(crate) struct AppServer {
    rpc: Rpc<Call>,
    second_api: bool,
}

impl AppServer {
    /// An adapter for a Codex of this version that has answered `initialize`.
    pub(crate) fn new(version: Option<Version>) -> Self {
        Self { rpc: Rpc::new(), second_api: version.is_none_or(|version| version >= SINCE_SECOND_API) }
    }

    fn approval_policy(&self, policy: ApprovalPolicy) -> &'static str {
        // Codex dropped the word; the nearest policy that allows no more is to ask.
        if policy == ApprovalPolicy::OnFailure && self.second_api {
            return ApprovalPolicy::OnRequest.as_str();
        }
        policy.as_str()
    }

    fn thread_params(&self, spec: &ThreadSpec) -> Value {
        let mut params = json!({
            "cwd": spec.cwd,
            "sandbox": Sandbox::ReadOnly.as_str(),
            "approvalPolicy": self.approval_policy(spec.approval_policy),
        });
        if let Some(model) = &spec.model {
            params["model"] = json!(model);
        }
        if let Some(instructions) = &spec.developer_instructions {
            params["developerInstructions"] = json!(instructions);
        }
        params
    }

    fn turn_params(&self, turn: &TurnSpec, thread: &ThreadId) -> Value {
        let mut params = json!({
            "threadId": thread,
            "input": [{"type": "text", "text": turn.prompt}],
            "cwd": turn.spec.cwd,
            "approvalPolicy": self.approval_policy(turn.spec.approval_policy),
            "sandboxPolicy": sandbox_policy(turn.spec.sandbox),
        });
        if let Some(model) = &turn.spec.model {
            params["model"] = json!(model);
        }
        if self.second_api {
            params["clientUserMessageId"] = json!(turn.turn);
        }
        params
    }

    fn answer(&mut self, id: AskId, incoming: &wire::Incoming<'_>, now: Instant, out: &mut Out) {
        if let Some(error) = &incoming.error {
            if error.code == wire::OVERLOADED && self.rpc.overloaded(id, now, &mut out.lines) {
                return;
            }
            if self.rpc.answered(id, &mut out.lines).is_some() {
                out.answer(id, Err(errors::of_request(error)));
            }
            return;
        }
        let Some(call) = self.rpc.answered(id, &mut out.lines) else {
            tracing::debug!(%id, "an answer that nobody waits for");
            return;
        };
        let answer = match call {
            Call::Thread => wire::read::<wire::ThreadReply>(incoming.result)
                .map(|reply| Answer::Thread { applied: Some(reply.applied()), thread: Some(reply.thread.id) }),
            Call::Turn => {
                wire::read::<wire::TurnReply>(incoming.result).map(|reply| Answer::Turn { codex_turn: reply.turn.id })
            }
            Call::Other => Ok(Answer::Done),
        };
        out.answer(id, answer.map_err(|error| AskError::Unreadable(error.to_string())));
    }

    fn notification(method: &str, incoming: &wire::Incoming<'_>, out: &mut Out) -> Result<(), serde_json::Error> {
        let params = incoming.params;
        let (thread, what) = match method {
            "turn/started" => {
                let note: wire::TurnNote = wire::read(params)?;
                (note.thread_id, What::TurnStarted { codex_turn: note.turn.id })
            }
            "item/started" => {
                let note: wire::ItemNote<'_> = wire::read(params)?;
                let item = items::read(note.item, ItemStatus::InProgress)?;
                (note.thread_id, What::ItemStarted { codex_id: item.codex_id, body: item.body })
            }
            "item/completed" => {
                let note: wire::ItemNote<'_> = wire::read(params)?;
                let item = items::read(note.item, ItemStatus::Completed)?;
                (note.thread_id, What::ItemCompleted { codex_id: item.codex_id, status: item.status, body: item.body })
            }
            "item/agentMessage/delta" => delta(wire::read(params)?, DeltaKind::Text),
            "item/reasoning/summaryTextDelta" => delta(wire::read(params)?, DeltaKind::Reasoning),
            "item/commandExecution/outputDelta" => delta(wire::read(params)?, DeltaKind::Output),
            "turn/plan/updated" => {
                let note: wire::PlanNote = wire::read(params)?;
                (note.thread_id, items::plan(note.plan))
            }
            "thread/tokenUsage/updated" => {
                let note: wire::UsageNote = wire::read(params)?;
                (note.thread_id, What::Usage(note.token_usage.last.into()))
            }
            "error" => {
                let note: wire::ErrorNote = wire::read(params)?;
                // The last one comes again with the end of the turn.
                if !note.will_retry {
                    return Ok(());
                }
                let details = note.error.additional_details.map(|text| format!(" ({text})")).unwrap_or_default();
                (note.thread_id, What::Warning(format!("{}{details}", note.error.message)))
            }
            "warning" => {
                let note: wire::WarningNote = wire::read(params)?;
                match note.thread_id {
                    Some(thread) => (thread, What::Warning(note.message)),
                    None => return Ok(()),
                }
            }
            "turn/completed" => {
                let note: wire::TurnNote = wire::read(params)?;
                let last_message = note.turn.last_message();
                let outcome = match note.turn.status.as_str() {
                    "completed" => Outcome::Completed,
                    "interrupted" => Outcome::Interrupted,
                    _ => Outcome::Failed(errors::of_turn(note.turn.error.as_ref())),
                };
                let what = What::TurnEnded { codex_turn: Some(note.turn.id), outcome, last_message };
                (note.thread_id, what)
            }
            "configWarning" => {
                let note: wire::ConfigNote = wire::read(params)?;
                tracing::info!(target: "codex", "{}", note.summary);
                return Ok(());
            }
            _ => return Ok(()),
        };
        out.reports.push((Route::Thread(thread), what));
        Ok(())
    }

    /// A question of Codex's. What is not an approval that we know is refused at once, and said.
    fn question(method: &str, id: &str, incoming: &wire::Incoming<'_>, out: &mut Out) {
        let kind = match method {
            "item/commandExecution/requestApproval" => "command",
            "item/fileChange/requestApproval" => "fileChange",
            "item/permissions/requestApproval" => "permissions",
            "item/tool/requestUserInput" => "userInput",
            "mcpServer/elicitation/request" => "elicitation",
            _ => "unknown",
        };
        let question = wire::read::<wire::Question>(incoming.params).unwrap_or_default();
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
}

impl Adapter for AppServer {
    fn capabilities(&self) -> Capabilities {
        Capabilities { inject: self.second_api, interrupt: true }
    }

    fn ask(&mut self, id: AskId, ask: Ask, now: Instant, out: &mut Out) {
        let (method, params, call, deadline) = match ask {
            Ask::StartThread(spec) => ("thread/start", self.thread_params(&spec), Call::Thread, THREAD_DEADLINE),
            Ask::ResumeThread { thread, spec } => {
                let mut params = self.thread_params(&spec);
                params["threadId"] = json!(thread);
                if self.second_api {
                    params["excludeTurns"] = json!(true);
                }
                ("thread/resume", params, Call::Thread, THREAD_DEADLINE)
            }
            Ask::Inject { thread, messages } => {
                let items: Vec<Value> = messages.iter().map(|(role, text)| message(*role, text)).collect();
                ("thread/inject_items", json!({"threadId": thread, "items": items}), Call::Other, THREAD_DEADLINE)
            }
            Ask::StartTurn(turn) => {
                let Some(thread) = &turn.thread else {
                    out.answer(id, Err(AskError::NotLoaded));
                    return;
                };
                ("turn/start", self.turn_params(&turn, thread), Call::Turn, QUICK_DEADLINE)
            }
            Ask::Interrupt { thread, codex_turn } => {
                ("turn/interrupt", json!({"threadId": thread, "turnId": codex_turn}), Call::Other, QUICK_DEADLINE)
            }
        };
        let line = json!({"id": id, "method": method, "params": params}).to_string().into_bytes();
        self.rpc.call(id, call, line, Some(now + deadline), &mut out.lines);
    }

    fn reply(&mut self, request: RequestId, reply: Reply, out: &mut Out) {
        let Some((kind, id)) = request.0.split_once(':') else { return };
        let result = match (kind, reply) {
            ("command" | "fileChange", reply) => json!({"decision": match reply {
                Reply::Accept => "accept",
                Reply::Decline => "decline",
                Reply::Cancel => "cancel",
            }}),
            ("elicitation", Reply::Decline) => json!({"action": "decline"}),
            ("elicitation", Reply::Cancel) => json!({"action": "cancel"}),
            // The other shapes of a yes come with the approvals of the API; an error is a no that Codex understands.
            _ => {
                out.lines.push(refusal(id, "declined"));
                return;
            }
        };
        out.lines.push(format!(r#"{{"id":{id},"result":{result}}}"#).into_bytes());
    }

    fn line(&mut self, line: &[u8], now: Instant, out: &mut Out) {
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
            (Some(method), Some(id)) => Self::question(method, id.get(), &incoming, out),
            (Some(method), None) => {
                if let Err(error) = Self::notification(method, &incoming, out) {
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

    fn tick(&mut self, now: Instant, out: &mut Out) {
        for ended in self.rpc.tick(now, &mut out.lines) {
            out.answer(ended.id, Err(AskError::Timeout { heard: ended.heard }));
        }
    }

    fn wake(&self) -> Option<Instant> {
        self.rpc.wake()
    }

    fn gone(&mut self, out: &mut Out) {
        for ended in self.rpc.drain() {
            out.answer(ended.id, Err(AskError::Exited { heard: ended.heard }));
        }
    }
}

fn delta(note: wire::DeltaNote, kind: DeltaKind) -> (ThreadId, What) {
    (note.thread_id, What::ItemDelta { codex_id: note.item_id, kind, text: note.delta })
}

fn sandbox_policy(sandbox: Sandbox) -> Value {
    match sandbox {
        Sandbox::ReadOnly => json!({"type": "readOnly"}),
        Sandbox::WorkspaceWrite => json!({"type": "workspaceWrite", "writableRoots": [], "networkAccess": false,
            "excludeTmpdirEnvVar": false, "excludeSlashTmp": false}),
        Sandbox::DangerFullAccess => json!({"type": "dangerFullAccess"}),
    }
}

/// A saved message as Codex's own history has it.
fn message(role: Role, text: &str) -> Value {
    match role {
        Role::User => json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}),
        Role::Assistant => {
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
        }
    }
}

fn refusal(id: &str, message: &str) -> Vec<u8> {
    format!(r#"{{"id":{id},"error":{{"code":-32601,"message":"{message}"}}}}"#).into_bytes()
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
