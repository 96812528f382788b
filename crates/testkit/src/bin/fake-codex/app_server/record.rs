//! What is on record of a thread: its turns, page by page, and how a turn is taken out.

use serde_json::{Value, json};

use super::AppServer;
use super::checks::{Answer, Refusal, not_found, refuse, refuse_missing, required};
use crate::pump::Out;
use crate::sessions::{Missing, Record};
use crate::threads::Thread;

/// Entries on a page, unless told.
const PAGE: usize = 25;

impl AppServer {
    /// `thread/turns/list`, the newest first. A turn that runs is not shown before something of it was recorded, as measured.
    pub(super) fn turns(&self, params: &Value) -> Answer {
        let thread = self.on_record(params)?;
        let turns: Vec<Value> = thread.turns.iter().rev().cloned().collect();
        let (page, next) = page(turns, params);
        let page: Vec<Value> = match params["itemsView"].as_str() {
            Some("full") => page,
            Some("notLoaded") => page.into_iter().map(|turn| viewed(turn, "notLoaded", |_| false)).collect(),
            _ => page.into_iter().map(summary).collect(),
        };
        Ok(json!({"data": page, "nextCursor": next, "backwardsCursor": null}))
    }

    /// `thread/items/list`, the oldest first.
    pub(super) fn items(&self, params: &Value) -> Answer {
        let thread = self.on_record(params)?;
        let meant = |turn: &&Value| params["turnId"].is_null() || turn["id"] == params["turnId"];
        let mut entries = Vec::new();
        for turn in thread.turns.iter().filter(meant) {
            let items = turn["items"].as_array().into_iter().flatten();
            entries.extend(items.map(|item| json!({"turnId": turn["id"], "item": item})));
        }
        let (page, next) = page(entries, params);
        Ok(json!({"data": page, "nextCursor": next, "backwardsCursor": null}))
    }

    /// The thread as its file tells it.
    fn on_record(&self, params: &Value) -> Result<Thread, Refusal> {
        let name = required(params, "threadId")?;
        match self.sessions.peek(name) {
            Err(Missing::NoRollout) => refuse(format!("thread not loaded: {name}")),
            Err(missing) => refuse_missing(name, &missing),
            Ok(records) => Ok(Thread::from_records(name, records, None)),
        }
    }

    /// `thread/revert`: a turn, and all that came after it, is out of the record and of the memory.
    pub(super) fn revert(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let (name, turn) = (required(params, "threadId")?.to_owned(), required(params, "beforeTurnId")?.to_owned());
        let version = self.version.clone();
        let done = self.with_thread(&name, out, |thread, context| {
            if !thread.turns.iter().any(|shown| shown["id"] == turn.as_str()) {
                return refuse(format!("turn not found: {turn}"));
            }
            thread.keep(Record::Reverted { turn: turn.clone() });
            thread.save(context.sessions);
            if let Ok(records) = context.sessions.peek(&name) {
                let left = Thread::from_records(&name, records, None);
                (thread.memory, thread.turns) = (left.memory, left.turns);
            }
            let shown = thread.shown(context.sessions, &version, false);
            context.reply(id, &json!({"thread": shown}));
            context.notify("thread/reverted", &json!({"threadId": name}));
            Ok(Value::Null)
        });
        done.unwrap_or_else(|| not_found(&name))
    }
}

/// The page that is asked for, and where the next one begins.
fn page(all: Vec<Value>, params: &Value) -> (Vec<Value>, Option<String>) {
    let limit = params["limit"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE);
    let from = params["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let next = (from + limit < all.len()).then(|| (from + limit).to_string());
    (all.into_iter().skip(from).take(limit).collect(), next)
}

/// A turn with its prompt and, when it was completed, its answer.
fn summary(turn: Value) -> Value {
    let items = turn["items"].as_array().cloned().unwrap_or_default();
    let of = |kind: &str, item: &Value| item["type"] == kind;
    let prompt = items.iter().find(|item| of("userMessage", item)).map(|item| item["id"].clone());
    let answer = items.iter().rfind(|item| of("agentMessage", item)).map(|item| item["id"].clone());
    let answer = answer.filter(|_| turn["status"] == "completed");
    viewed(turn, "summary", |item| [&prompt, &answer].into_iter().flatten().any(|id| item["id"] == *id))
}

fn viewed(mut turn: Value, view: &str, keep: impl Fn(&Value) -> bool) -> Value {
    if let Some(items) = turn["items"].as_array_mut() {
        items.retain(keep);
    }
    turn["itemsView"] = json!(view);
    turn
}
