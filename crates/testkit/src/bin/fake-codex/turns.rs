//! A turn: plays its plan as far as it goes without waiting, in the order of messages of the real one.

mod compaction;
mod people;
mod steering;
mod steps;
mod stray;
mod telling;

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use fake_model::Step;
use fake_model::answers::{self, Given};
use serde_json::{Value, json};

use crate::faults::{Asked, Stage, flood_stderr};
use crate::script::{Ending, Failure, Plan, plan};
use crate::sessions::Record;
use crate::shapes::{self, now_ms};
use crate::threads::{Context, Thread};

/// A turn in progress.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) id: String,
    /// Milliseconds since 1970.
    started: u64,
    items: Vec<Value>,
    plan: Plan,
    /// The diff of the turn's patches, repeated after each call of the model.
    diff: Option<String>,
    /// What the steps did, for the answer.
    told: Vec<String>,
    message: Option<Message>,
    question: Option<Question>,
    due: Option<Instant>,
    /// What it was steered with while it waited for an answer: the parameters of `turn/steer`.
    steered: Vec<Value>,
    /// The item of a compaction; its message is the summary and is told to nobody.
    compaction: Option<Value>,
}

/// The agent's message that is being written.
#[derive(Debug)]
struct Message {
    id: String,
    started: u64,
    text: String,
}

/// A request to the client that has no answer yet.
#[derive(Debug)]
struct Question {
    request: u64,
    about: About,
}

/// What a question is about.
#[derive(Debug)]
enum About {
    /// A step that needs approval, and its item.
    Step(Step, Value),
    /// Something that only a person knows.
    Person(Asked),
}

impl Turn {
    fn new(plan: Plan) -> Self {
        Self {
            id: shapes::new_id(),
            started: now_ms(),
            items: Vec::new(),
            plan,
            diff: None,
            told: Vec::new(),
            message: None,
            question: None,
            due: None,
            steered: Vec::new(),
            compaction: None,
        }
    }

    pub(crate) fn is_compaction(&self) -> bool {
        self.compaction.is_some()
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// The turn in progress as `thread/resume` shows it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = shapes::turn_in_progress(&self.id, Some(self.started / 1000));
        shown["items"] = json!(self.items);
        shown["itemsView"] = json!("full");
        shown
    }
}

impl Thread {
    /// `turn/start`: starts a turn, or steers the one in progress. The reply to `request` comes out in its place in the order.
    pub(crate) fn start_turn(&mut self, request: &Value, params: &Value, context: &mut Context<'_>) {
        if params["sandboxPolicy"].is_object() {
            self.sandbox = shapes::policy(&params["sandboxPolicy"]);
        }
        if !params["approvalPolicy"].is_null() {
            self.approval = params["approvalPolicy"].clone();
        }
        if let Some(model) = params["model"].as_str() {
            model.clone_into(&mut self.model);
        }
        if let Some(effort) = params["effort"].as_str() {
            self.effort = Some(effort.to_owned());
        }
        if let Some(turn) = &self.turn {
            let id = turn.id.clone();
            context.reply(request, &json!({"turn": shapes::turn_in_progress(&id, None)}));
            self.steer(params, context);
            return;
        }
        self.struck = context.faults.concern(&shapes::input_text(&params["input"]));
        if self.strikes(context, Stage::Request) {
            return;
        }
        if context.faults.garbage {
            context.out.raw(b"WARNING: this line is not JSON {");
        }
        if self.struck {
            flood_stderr(context.faults);
        }
        self.notify(
            context,
            "warning",
            &json!({"threadId": self.id, "message": "Model metadata for `fake-model` not found. Defaulting to fallback \
                    metadata; this can degrade performance and cause issues."}),
        );
        let turn = Turn::new(self.plan(params, context));
        context.reply(request, &json!({"turn": shapes::turn_in_progress(&turn.id, None)}));
        if self.strikes(context, Stage::Reply) {
            return;
        }
        self.begin(turn, context);
        if self.strikes(context, Stage::Started) {
            return;
        }
        self.stray(context);
        if self.remembers_only(params, context) {
            return;
        }
        self.hear(params, context);
        if !self.strikes(context, Stage::User) {
            self.advance(context);
        }
    }

    /// The plan of a turn with this input.
    fn plan(&self, params: &Value, context: &Context<'_>) -> Plan {
        let schema = Some(&params["outputSchema"]).filter(|schema| !schema.is_null());
        let given = Given {
            config: Some(self.config.clone()),
            model: Some(self.model.clone()),
            effort: self.effort.clone(),
            schema: schema.cloned(),
            images: shapes::images(&params["input"]),
        };
        plan(&shapes::input_text(&params["input"]), &self.memory, &given, context.faults)
    }

    /// Says that the turn began.
    fn begin(&mut self, turn: Turn, context: &mut Context<'_>) {
        let shown = shapes::turn_in_progress(&turn.id, Some(turn.started / 1000));
        self.keep(Record::Begun { turn: turn.id.clone(), started: turn.started / 1000 });
        self.turn = Some(turn);
        self.notify_status(context, &self.status());
        self.notify(context, "turn/started", &json!({"threadId": self.id, "turn": shown}));
    }

    /// `turn/interrupt`, or a decision that ends the turn.
    pub(crate) fn interrupt(&mut self, context: &mut Context<'_>) {
        let question = self.turn.as_mut().and_then(|turn| turn.question.take());
        self.end("interrupted", &Value::Null, context);
        if let Some(question) = question {
            context.asked.remove(&question.request);
            self.notify(
                context,
                "serverRequest/resolved",
                &json!({"threadId": self.id, "requestId": question.request}),
            );
        }
    }

    /// The time for the next delta has come, unless the turn has gone another way since.
    pub(crate) fn woken(&mut self, now: Instant, context: &mut Context<'_>) {
        if let Some(turn) = &mut self.turn
            && turn.due.is_some_and(|due| due <= now)
        {
            turn.due = None;
            self.advance(context);
        }
    }

    /// Goes on until the turn has to wait or has ended.
    fn advance(&mut self, context: &mut Context<'_>) {
        loop {
            let Some(turn) = &mut self.turn else { return };
            if turn.question.is_some() || turn.due.is_some() {
                return;
            }
            if let Some(asked) = turn.plan.person.take() {
                self.ask_person(asked, context);
                continue;
            }
            if let Some(text) = turn.plan.reasoning.take() {
                self.reason(&text, context);
                continue;
            }
            if let Some(step) = turn.plan.steps.pop_front() {
                self.begin_step(step, context);
                if context.out.is_over() {
                    return;
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
                    self.begin_message(context);
                    if let Some(message) = self.turn.as_mut().and_then(|turn| turn.message.as_mut()) {
                        message.text = text;
                    }
                    return self.end_message(context);
                }
                Ending::Fail(failure) => {
                    let failure = std::mem::replace(
                        failure,
                        Failure { message: String::new(), info: Value::Null, retried: false },
                    );
                    return self.fail(&failure, context);
                }
                Ending::Say { deltas, pause } => {
                    let next = deltas.pop_front();
                    let wait = pause.filter(|_| !deltas.is_empty());
                    let Some(delta) = next else {
                        if turn.message.is_none() {
                            self.begin_message(context);
                        }
                        return self.end_message(context);
                    };
                    if turn.message.is_none() {
                        self.begin_message(context);
                    }
                    self.say(&delta, context);
                    if self.strikes(context, Stage::Delta) {
                        return;
                    }
                    if let Some(wait) = wait {
                        self.wait(wait, context);
                    }
                }
                Ending::Times { left, pause } => {
                    let (rest, pause) = (left.checked_sub(1), *pause);
                    *left = rest.unwrap_or(0);
                    if turn.message.is_none() {
                        self.begin_message(context);
                    }
                    let Some(rest) = rest else { return self.end_message(context) };
                    self.say(&answers::moment(), context);
                    if rest > 0 {
                        self.wait(pause, context);
                    }
                }
            }
        }
    }

    /// Goes on after this time.
    fn wait(&mut self, pause: Duration, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let due = Instant::now() + pause;
        turn.due = Some(due);
        context.timers.push(Reverse((due, self.id.clone())));
    }

    fn reason(&mut self, text: &str, context: &mut Context<'_>) {
        let id = format!("rs_{}", shapes::new_id());
        let started = now_ms();
        self.item_started(&shapes::reasoning(&id, &[], started, None), context);
        let turn = self.turn.as_ref().map_or("", |turn| &turn.id);
        let mut part = json!({"threadId": self.id, "turnId": turn, "itemId": id, "summaryIndex": 0});
        self.notify(context, "item/reasoning/summaryPartAdded", &part);
        part["delta"] = json!(text);
        self.notify(context, "item/reasoning/summaryTextDelta", &part);
        self.item_completed(shapes::reasoning(&id, &[text], started, Some(now_ms())), context);
    }

    fn begin_message(&mut self, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let message = Message { id: format!("msg_{}", shapes::new_id()), started: now_ms(), text: String::new() };
        let item = shapes::agent_message(&message.id, "", message.started, None);
        turn.message = Some(message);
        if !turn.is_compaction() {
            self.item_started(&item, context);
        }
    }

    fn say(&mut self, delta: &str, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(message) = &mut turn.message else { return };
        message.text.push_str(delta);
        if turn.compaction.is_some() {
            return;
        }
        let params = json!({"threadId": self.id, "turnId": turn.id, "itemId": message.id, "delta": delta});
        self.notify(context, "item/agentMessage/delta", &params);
    }

    /// Completes the message, and the turn with it.
    fn end_message(&mut self, context: &mut Context<'_>) {
        let message = self.turn.as_mut().and_then(|turn| turn.message.take());
        let Some(Message { id, started, text }) = message else { return };
        if let Some(item) = self.turn.as_mut().and_then(|turn| turn.compaction.take()) {
            return self.compacted(item, text, context);
        }
        self.item_completed(shapes::agent_message(&id, &text, started, Some(now_ms())), context);
        self.used(text.len().div_ceil(4) as u64, context);
        if !self.strikes(context, Stage::Answer) {
            self.end("completed", &Value::Null, context);
        }
    }

    fn fail(&mut self, failure: &Failure, context: &mut Context<'_>) {
        let turn = self.turn.as_ref().map_or(String::new(), |turn| turn.id.clone());
        if failure.retried {
            let disconnected = json!({"responseStreamDisconnected": {"httpStatusCode": null}});
            let error = shapes::turn_error("Reconnecting... 1/1", &disconnected, Some(&failure.message));
            let params = json!({"error": error, "willRetry": true, "threadId": self.id, "turnId": turn});
            self.notify(context, "error", &params);
        }
        let error = shapes::turn_error(&failure.message, &failure.info, None);
        self.notify_status(context, &json!({"type": "systemError"}));
        let params = json!({"error": error, "willRetry": false, "threadId": self.id, "turnId": turn});
        self.notify(context, "error", &params);
        self.end("failed", &error, context);
    }

    fn end(&mut self, status: &str, error: &Value, context: &mut Context<'_>) {
        let Some(turn) = self.turn.take() else { return };
        let completed = now_ms();
        let mut ended = json!({"id": turn.id, "rootTurnId": turn.id, "items": [], "itemsView": "notLoaded",
            "status": status, "error": error, "startedAt": turn.started / 1000, "completedAt": completed / 1000,
            "durationMs": completed.saturating_sub(turn.started)});
        if status != "failed" {
            self.notify_status(context, &json!({"type": "idle"}));
        }
        let answer = turn.items.iter().rfind(|item| item["type"] == "agentMessage");
        if let Some(answer) = answer.filter(|_| status == "completed") {
            ended["items"] = json!([answer]);
            ended["itemsView"] = json!("summary");
        }
        self.notify(context, "turn/completed", &json!({"threadId": self.id, "turn": ended}));
        self.keep(Record::Ended {
            turn: turn.id,
            status: status.to_owned(),
            error: error.clone(),
            completed: completed / 1000,
        });
        ended["items"] = Value::Array(turn.items);
        ended["itemsView"] = json!("full");
        self.turns.push(ended);
        self.strikes(context, Stage::Completed);
    }

    /// Whether a fault ends or hangs the process at this stage.
    pub(crate) fn strikes(&self, context: &mut Context<'_>, stage: Stage) -> bool {
        let faults = context.faults;
        let (ends, hangs) = (faults.exit_at_turn == Some(stage), faults.hang_at_turn == Some(stage));
        let strikes = self.struck && (ends || hangs) && faults.strikes();
        if strikes {
            context.out.exit = ends.then_some(1);
            context.out.hang = !ends;
        }
        strikes
    }
}
