//! `mcp-server`: the MCP server that Codex had until 0.153, as 0.153.4 behaved.
//!
//! Two tools, `codex` and `codex-reply`. What happens in a turn comes as `codex/event` notifications that carry the call's id; the call's
//! answer comes last, or never: not after `notifications/cancelled`, not after the decision `abort`, and not for the first of two calls on
//! a busy thread (the second is steered into the running turn and gets the answer). Threads are in memory only.
//!
//! A question is `elicitation/create`, and only its `decision` counts; `denied` is told to the model as a failed request.

mod threads;
mod tools;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Instant;

use fake_model::Step;
use fake_model::answers::{self, Given, Said};
use serde_json::{Value, json};

use crate::faults::{Faults, Stage, flood_stderr};
use crate::pump::{Out, Server};
use crate::script::{Ending, Plan, plan, refused};
use crate::shapes::{self, new_id};

/// The server.
pub(crate) struct McpServer {
    version: String,
    faults: Faults,
    initialized: bool,
    threads: HashMap<String, Thread>,
    /// Open questions to the client: request id to thread.
    asked: HashMap<u64, String>,
    next_request: u64,
    timers: BinaryHeap<Reverse<(Instant, String)>>,
}

struct Thread {
    id: String,
    cwd: String,
    sandbox: String,
    /// Its policy is `never`.
    never: bool,
    /// Commands and files that were approved for the session.
    approved: HashSet<String>,
    given: Given,
    memory: Vec<Said>,
    turn: Option<Turn>,
}

struct Turn {
    id: String,
    /// The call that the answer is for.
    call: Value,
    begun: Instant,
    plan: Plan,
    told: Vec<String>,
    item: String,
    text: Option<String>,
    question: Option<Question>,
    due: Option<Instant>,
}

/// A request for approval that has no answer yet.
struct Question {
    step: Step,
    call: String,
}

impl McpServer {
    pub(crate) fn new(version: String, faults: Faults) -> Self {
        Self {
            version,
            faults,
            initialized: false,
            threads: HashMap::new(),
            asked: HashMap::new(),
            next_request: 0,
            timers: BinaryHeap::new(),
        }
    }

    fn request(&mut self, id: &Value, method: &str, params: &Value, out: &mut Out) {
        match method {
            "initialize" if self.faults.hang_at_initialize => {}
            "initialize" if self.initialized => error(out, id, -32600, "initialize called more than once"),
            "initialize" => {
                self.initialized = true;
                let client = &params["clientInfo"];
                let (name, version) = (client["name"].as_str(), client["version"].as_str());
                let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
                let agent = format!("codex_cli_rs/{} (Debian 12.0.0; x86_64) xterm ({name}; {version})", self.version);
                result(
                    out,
                    id,
                    &json!({"protocolVersion": params["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "codex-mcp-server", "title": "Codex", "version": self.version,
                        "user_agent": agent}}),
                );
            }
            "ping" => result(out, id, &json!({})),
            "tools/list" => result(out, id, &json!({"tools": tools::tools()})),
            "tools/call" => self.call(id, params, out),
            // The real one never answers these.
            "resources/list" | "prompts/list" => {}
            unknown => error(out, id, -32601, &format!("method not found: {unknown}")),
        }
    }

    fn call(&mut self, call: &Value, params: &Value, out: &mut Out) {
        let arguments = &params["arguments"];
        let name = params["name"].as_str().unwrap_or_default();
        if !matches!(name, "codex" | "codex-reply") {
            return result(out, call, &failed(&format!("Unknown tool '{name}'"), None));
        }
        if let Err(error) = tools::check(name, arguments) {
            let text = format!("Failed to parse configuration for Codex tool: {error}");
            return result(out, call, &failed(&text, None));
        }
        let prompt = arguments["prompt"].as_str().unwrap_or_default();
        if name == "codex" {
            let policy = arguments["approval-policy"].as_str().unwrap_or("on-request");
            let given = tools::given(arguments);
            let cwd = shapes::absolute(arguments["cwd"].as_str());
            let sandbox = arguments["sandbox"].as_str().unwrap_or("read-only").to_owned();
            let (never, approved) = (policy == "never", HashSet::new());
            let thread = Thread { id: new_id(), cwd, sandbox, never, approved, given, memory: Vec::new(), turn: None };
            let id = thread.id.clone();
            let configured = json!({"type": "session_configured", "session_id": id, "thread_id": id,
                "model": thread.given.model, "model_provider_id": "fake", "reasoning_effort": thread.given.effort,
                "approval_policy": policy, "cwd": thread.cwd, "rollout_path": format!("/fake/rollout-{id}.jsonl")});
            event(out, call, &id, "", &configured);
            event(
                out,
                call,
                &id,
                "",
                &json!({"type": "mcp_startup_complete", "ready": [], "failed": [], "cancelled": []}),
            );
            self.threads.insert(id.clone(), thread);
            return self.start(&id, call, prompt, out);
        }
        let given = arguments["threadId"].as_str().or_else(|| arguments["conversationId"].as_str());
        let Some(id) = given else {
            let text = "Failed to parse thread_id: either threadId or conversationId must be provided";
            return result(out, call, &failed(text, None));
        };
        if self.threads.contains_key(id) {
            self.start(id, call, prompt, out);
        } else {
            result(out, call, &failed(&format!("Session not found for thread_id: {id}"), Some(id)));
        }
    }

    /// Starts a turn, or steers the one in progress.
    fn start(&mut self, thread: &str, call: &Value, prompt: &str, out: &mut Out) {
        let Some(thread) = self.threads.get_mut(thread) else { return };
        if self.faults.concern(prompt) {
            if self.faults.exit_at_turn == Some(Stage::Request) && self.faults.strikes() {
                out.exit = Some(1);
                return;
            }
            if self.faults.hang_at_turn == Some(Stage::Request) && self.faults.strikes() {
                out.hang = true;
                return;
            }
            flood_stderr(&self.faults);
        }
        let plan = plan(prompt, &thread.memory, &thread.given, &self.faults);
        let busy = thread.turn.is_some();
        let turn = thread.turn.take().map_or_else(new_id, |turn| turn.id);
        thread.turn = Some(Turn {
            id: turn,
            call: call.clone(),
            begun: Instant::now(),
            plan,
            told: Vec::new(),
            item: new_id(),
            text: None,
            question: None,
            due: None,
        });
        if !busy {
            let id = thread.turn_id();
            thread.event(out, &json!({"type": "task_started", "turn_id": id, "model_context_window": 258_400}));
        }
        let content = json!([{"type": "text", "text": prompt, "text_elements": []}]);
        let item = json!({"type": "UserMessage", "id": new_id(), "content": content});
        thread.item(out, "item_started", &item);
        thread.item(out, "item_completed", &item);
        thread.event(out, &json!({"type": "user_message", "message": prompt, "images": [], "text_elements": []}));
        thread.memory.push(Said { role: "user", text: prompt.to_owned() });
        let id = thread.id.clone();
        self.advance(&id, out);
    }

    /// Goes on until the turn has to wait or has ended.
    fn advance(&mut self, thread: &str, out: &mut Out) {
        let Some(thread) = self.threads.get_mut(thread) else { return };
        loop {
            let Some(turn) = &mut thread.turn else { return };
            if turn.question.is_some() || turn.due.is_some() {
                return;
            }
            if let Some(text) = turn.plan.reasoning.take() {
                thread.event(out, &json!({"type": "agent_reasoning", "text": text}));
                continue;
            }
            if let Some(step) = turn.plan.steps.pop_front() {
                if thread.asks(&step) && thread.never && !self.faults.approval {
                    thread.tell(refused(&step, Some(&thread.sandbox)));
                } else if thread.asks(&step) && !thread.approved.contains(&thread.subject(&step)) {
                    let request = self.next_request;
                    self.next_request += 1;
                    self.asked.insert(request, thread.id.clone());
                    thread.ask(request, step, out);
                } else {
                    thread.do_step(&step, None, out);
                }
                continue;
            }
            match &mut turn.plan.ending {
                Ending::Hang => return,
                Ending::Told => {
                    let deltas = [turn.told.join("\n")].into();
                    turn.plan.ending = Ending::Say { deltas, pause: None };
                }
                Ending::SayAtOnce(text) => {
                    let text = std::mem::take(text);
                    thread.say(&text, false, out);
                    return thread.complete(out);
                }
                Ending::Fail(failure) => {
                    let (message, info) = (failure.message.clone(), failure.info.clone());
                    return thread.fail(&message, &info, out);
                }
                Ending::Say { deltas, pause } => {
                    let next = deltas.pop_front();
                    let wait = pause.filter(|_| !deltas.is_empty());
                    let Some(delta) = next else {
                        return thread.complete(out);
                    };
                    thread.say(&delta, true, out);
                    if let (Some(wait), Some(turn)) = (wait, &mut thread.turn) {
                        let due = Instant::now() + wait;
                        turn.due = Some(due);
                        self.timers.push(Reverse((due, thread.id.clone())));
                    }
                }
                Ending::Times { left: 0, .. } => return thread.complete(out),
                Ending::Times { left, pause } => {
                    *left -= 1;
                    let wait = (*left > 0).then_some(*pause);
                    thread.say(&answers::moment(), true, out);
                    if let (Some(wait), Some(turn)) = (wait, &mut thread.turn) {
                        let due = Instant::now() + wait;
                        turn.due = Some(due);
                        self.timers.push(Reverse((due, thread.id.clone())));
                    }
                }
            }
        }
    }

    /// The client has answered an elicitation. An error leaves the turn stuck for good, as measured.
    fn answered(&mut self, response: &Value, out: &mut Out) {
        let request = response["id"].as_u64();
        let Some(id) = request.and_then(|request| self.asked.remove(&request)) else { return };
        let Some(thread) = self.threads.get_mut(&id) else { return };
        if response["result"].is_null() {
            return;
        }
        let Some(question) = thread.turn.as_mut().and_then(|turn| turn.question.take()) else { return };
        let Question { step, call } = question;
        match response["result"]["decision"].as_str() {
            Some("approved") => thread.do_step(&step, Some(call), out),
            Some("approved_for_session") => {
                let subject = thread.subject(&step);
                thread.approved.insert(subject);
                thread.do_step(&step, Some(call), out);
            }
            Some("abort") => return thread.abort(out),
            _ => thread.decline(&step, &call, out),
        }
        self.advance(&id, out);
    }

    fn cancelled(&mut self, call: &Value, out: &mut Out) {
        let running = |thread: &&mut Thread| thread.turn.as_ref().is_some_and(|turn| turn.call == *call);
        if let Some(thread) = self.threads.values_mut().find(running) {
            thread.abort(out);
        }
    }
}

impl Server for McpServer {
    fn start(&mut self, out: &mut Out) {
        if self.faults.garbage {
            out.raw(b"not json at all");
            out.raw(b"{\"half\": \xff\xfe");
        }
    }

    fn line(&mut self, line: &str, out: &mut Out) {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str() {
            Some(method) if !id.is_null() => self.request(id, method, params, out),
            Some("notifications/cancelled") => self.cancelled(&params["requestId"], out),
            Some(_) => {}
            None => self.answered(&message, out),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, out: &mut Out) {
        let now = Instant::now();
        while self.wake_at().is_some_and(|at| at <= now) {
            let Some(Reverse((_, id))) = self.timers.pop() else { return };
            let turn = self.threads.get_mut(&id).and_then(|thread| thread.turn.as_mut());
            if let Some(turn) = turn.filter(|turn| turn.due.is_some_and(|due| due <= now)) {
                turn.due = None;
                self.advance(&id, out);
            }
        }
    }
}

fn event(out: &mut Out, call: &Value, thread: &str, turn: &str, msg: &Value) {
    out.send(&json!({"jsonrpc": "2.0", "method": "codex/event", "params": {
        "_meta": {"requestId": call, "threadId": thread}, "id": turn, "msg": msg}}));
}

fn result(out: &mut Out, id: &Value, result: &Value) {
    out.reply(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn error(out: &mut Out, id: &Value, code: i32, message: &str) {
    out.reply(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}));
}

/// A tool's result that is an error.
fn failed(text: &str, thread: Option<&str>) -> Value {
    let mut failed = json!({"content": [{"type": "text", "text": text}], "isError": true});
    if let Some(thread) = thread {
        failed["structuredContent"] = json!({"threadId": thread, "content": text});
    }
    failed
}
