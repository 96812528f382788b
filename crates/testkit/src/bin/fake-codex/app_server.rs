//! `app-server`: the dispatch of requests, and what belongs to no thread.

mod checks;
mod opening;
mod record;
mod requests;
mod service;
mod shelf;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use self::checks::{Answer, Refusal, check_input, not_found, refuse, required, thread_id};
use crate::faults::{self, Faults};
use crate::pump::{Out, Server};
use crate::sessions::{Record, Sessions, injected};
use crate::shapes::{self, now_ms};
use crate::threads::{Context, Thread};
use crate::turns::Turn;

/// The methods of 0.169.0 that the double has.
const METHODS: &[&str] = &[
    "initialize",
    "thread/start",
    "thread/resume",
    "thread/fork",
    "thread/archive",
    "thread/delete",
    "thread/unsubscribe",
    "thread/name/set",
    "thread/unarchive",
    "thread/compact/start",
    "thread/backgroundTerminals/clean",
    "thread/list",
    "thread/loaded/list",
    "thread/read",
    "thread/turns/list",
    "thread/items/list",
    "thread/revert",
    "thread/inject_items",
    "turn/start",
    "turn/steer",
    "turn/interrupt",
    "model/list",
    "account/read",
    "account/rateLimits/read",
];

/// The server.
pub(crate) struct AppServer {
    home: PathBuf,
    version: String,
    faults: Faults,
    born: Instant,
    sessions: Sessions,
    initialized: bool,
    experimental: bool,
    opted_out: HashSet<String>,
    threads: HashMap<String, Thread>,
    asked: HashMap<u64, String>,
    next_request: u64,
    timers: BinaryHeap<Reverse<(Instant, String)>>,
}

impl AppServer {
    pub(crate) fn new(home: PathBuf, version: String, faults: Faults) -> Self {
        Self {
            sessions: Sessions::new(&home),
            home,
            version,
            faults,
            born: Instant::now(),
            initialized: false,
            experimental: false,
            opted_out: HashSet::new(),
            threads: HashMap::new(),
            asked: HashMap::new(),
            next_request: 0,
            timers: BinaryHeap::new(),
        }
    }

    /// Does something with a loaded thread, and saves what comes of it.
    fn with_thread<T>(
        &mut self,
        id: &str,
        out: &mut Out,
        action: impl FnOnce(&mut Thread, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let thread = self.threads.get_mut(id)?;
        let mut context = Context {
            out,
            faults: &self.faults,
            sessions: &self.sessions,
            opted_out: &self.opted_out,
            asked: &mut self.asked,
            next_request: &mut self.next_request,
            timers: &mut self.timers,
        };
        let result = action(thread, &mut context);
        thread.save(&self.sessions);
        Some(result)
    }

    fn notify(&self, out: &mut Out, method: &str, params: &Value) {
        if !self.opted_out.contains(method) {
            out.send(&json!({"method": method, "params": params, "emittedAtMs": now_ms()}));
        }
    }

    fn request(&mut self, id: &Value, method: &str, params: &Value, out: &mut Out) {
        if method == "initialize" && self.faults.hang_at_initialize {
            return;
        }
        let answer = if method != "initialize" && !self.initialized {
            refuse("Not initialized")
        } else if self.is_overloaded(method, params) {
            self.faults.overloaded -= 1;
            Err(Refusal { code: -32001, message: "Server overloaded; retry later.".to_owned(), data: None })
        } else {
            self.answer(id, method, params, out)
        };
        match answer {
            // The reply has been sent in its place among the notifications.
            Ok(Value::Null) => {}
            Ok(result) => out.reply(&json!({"id": id, "result": result})),
            Err(Refusal { code, message, data }) => {
                let mut error = json!({"code": code, "message": message});
                if let Some(data) = data {
                    error["data"] = data;
                }
                out.reply(&json!({"error": error, "id": id}));
            }
        }
    }

    fn is_overloaded(&self, method: &str, params: &Value) -> bool {
        let meant = match &self.faults.only {
            Some(text) => method == "turn/start" && shapes::input_text(&params["input"]).contains(text.as_str()),
            None => method != "initialize",
        };
        meant && self.faults.overloaded > 0
    }

    fn answer(&mut self, id: &Value, method: &str, params: &Value, out: &mut Out) -> Answer {
        requests::check(method, params)?;
        match method {
            "initialize" => self.initialize(id, params, out),
            "thread/start" => self.start(id, params, out),
            "thread/resume" => self.resume(id, params, out),
            "thread/fork" => self.fork(id, params, out),
            "turn/start" => self.turn_start(id, params, out),
            "turn/steer" => self.turn_steer(id, params, out),
            "turn/interrupt" => self.turn_interrupt(id, params, out),
            "thread/inject_items" => self.inject(params, out),
            "thread/unsubscribe" => {
                let thread = required(params, "threadId")?;
                let known = self.with_thread(thread, out, |thread, _| thread.subscribed = false);
                Ok(json!({"status": if known.is_some() { "unsubscribed" } else { "notLoaded" }}))
            }
            "thread/archive" | "thread/unarchive" => self.file_away(id, method, params, out),
            "thread/delete" => self.delete(id, params, out),
            "thread/name/set" => self.name(id, params, out),
            "thread/compact/start" => {
                let thread = required(params, "threadId")?;
                let done = self.with_thread(thread, out, |thread, context| thread.compact(id, context));
                done.map_or_else(|| not_found(thread), |()| Ok(Value::Null))
            }
            "thread/loaded/list" => {
                let ids: Vec<&String> = self.threads.keys().collect();
                Ok(json!({"data": ids, "nextCursor": null}))
            }
            "thread/list" => Ok(self.list()),
            "thread/read" => {
                let thread = self.peek(params)?;
                let with_turns = params["includeTurns"] == true;
                Ok(json!({"thread": thread.shown(&self.sessions, &self.version, with_turns)}))
            }
            "thread/turns/list" => self.turns(params),
            "thread/items/list" => self.items(params),
            "thread/revert" => self.revert(id, params, out),
            "thread/backgroundTerminals/clean" if !self.experimental => {
                refuse("thread/backgroundTerminals/clean requires experimentalApi capability")
            }
            "thread/backgroundTerminals/clean" => Ok(json!({})),
            "model/list" => service::models(params, &self.faults),
            "account/read" => Ok(service::account()),
            "account/rateLimits/read" => service::rate_limits(),
            unknown => {
                let known: Vec<String> = METHODS.iter().map(|method| format!("`{method}`")).collect();
                let known = known.join(", ");
                refuse(format!("Invalid request: unknown variant `{unknown}`, expected one of {known}"))
            }
        }
    }

    fn initialize(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        if self.initialized {
            return refuse("Already initialized");
        }
        let info = &params["clientInfo"];
        let (Some(name), Some(version)) = (info["name"].as_str(), info["version"].as_str()) else {
            return refuse("Invalid request: missing field `clientInfo`");
        };
        let capabilities = &params["capabilities"];
        self.initialized = true;
        self.experimental = capabilities["experimentalApi"] == true;
        let opted_out = capabilities["optOutNotificationMethods"].as_array().map_or(&[][..], Vec::as_slice);
        self.opted_out = opted_out.iter().filter_map(|method| Some(method.as_str()?.to_owned())).collect();
        let agent = format!("{name}/{} (Debian 12.0.0; x86_64) xterm ({name}; {version})", self.version);
        let platform = if cfg!(windows) { ("windows", "windows") } else { ("unix", std::env::consts::OS) };
        out.reply(&json!({"id": id, "result": {"userAgent": agent, "codexHome": self.home,
            "platformFamily": platform.0, "platformOs": platform.1}}));
        let status = json!({"status": "disabled", "serverName": "vm", "installationId": shapes::new_id(),
            "environmentId": null});
        self.notify(out, "remoteControl/status/changed", &status);
        Ok(Value::Null)
    }

    fn turn_start(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        check_input(params)?;
        let done = self.with_thread(name, out, |thread, context| {
            if thread.turn.as_ref().is_some_and(Turn::is_compaction) {
                return checks::not_steerable();
            }
            thread.start_turn(id, params, context);
            Ok(Value::Null)
        });
        done.unwrap_or_else(|| not_found(name))
    }

    fn turn_steer(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        let expected = required(params, "expectedTurnId")?;
        if params["input"].as_array().is_some_and(Vec::is_empty) {
            return refuse("input must not be empty");
        }
        check_input(params)?;
        let done = self.with_thread(name, out, |thread, context| {
            let Some(turn) = &thread.turn else {
                return refuse("no active turn to steer");
            };
            if turn.id != expected {
                return refuse(format!("expected active turn id `{expected}` but found `{}`", turn.id));
            }
            if turn.is_compaction() {
                return checks::not_steerable();
            }
            context.reply(id, &json!({"turnId": expected}));
            thread.steer(params, context);
            Ok(Value::Null)
        });
        done.unwrap_or_else(|| not_found(name))
    }

    fn turn_interrupt(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        let expected = required(params, "turnId")?;
        let done = self.with_thread(name, out, |thread, context| {
            let Some(turn) = &thread.turn else {
                return refuse("no active turn to interrupt");
            };
            if turn.id != expected {
                return refuse(format!("expected active turn id {expected} but found {}", turn.id));
            }
            thread.used_if_cut_off(context);
            context.reply(id, &json!({}));
            thread.interrupt(context);
            Ok(Value::Null)
        });
        done.unwrap_or_else(|| not_found(name))
    }

    fn inject(&mut self, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        let Some(items) = params["items"].as_array() else {
            return refuse("Invalid request: missing field `items`");
        };
        let done = self.with_thread(name, out, |thread, _| {
            for item in items {
                let (role, text) = (item["role"].as_str().unwrap_or_default(), shapes::input_text(&item["content"]));
                if let Some(said) = injected(role, text) {
                    thread.keep(Record::Injected { role: said.role.to_owned(), text: said.text.clone() });
                    thread.memory.push(said);
                }
            }
        });
        done.map_or_else(|| not_found(name), |()| Ok(json!({})))
    }
}

impl Server for AppServer {
    fn start(&mut self, out: &mut Out) {
        if self.faults.garbage {
            out.raw(b"not json at all");
            out.raw(b"{\"half\": \xff\xfe");
            out.raw(b"[]");
            out.raw(br#"{"method":"item/agentMessage/delta","params":{"threadId":"#);
        }
    }

    fn line(&mut self, line: &str, out: &mut Out) {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            // The real one logs an error and lives on.
            return;
        };
        let id = &message["id"];
        match message["method"].as_str() {
            Some(method) if !id.is_null() => self.request(id, method, &message["params"], out),
            Some("initialized") => faults::exit_when_ready(&self.faults),
            // Other notifications need nothing.
            Some(_) => {}
            None => {
                let thread = id.as_u64().and_then(|request| self.asked.remove(&request));
                if let Some(thread) = thread {
                    self.with_thread(&thread, out, |thread, context| thread.answered(&message, context));
                }
            }
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn wake(&mut self, out: &mut Out) {
        let now = Instant::now();
        while self.wake_at().is_some_and(|at| at <= now) {
            if let Some(Reverse((_, thread))) = self.timers.pop() {
                self.with_thread(&thread, out, |thread, context| thread.woken(now, context));
            }
        }
    }
}
