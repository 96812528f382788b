//! A thread: its policy, its memory, what it keeps on disk, how it looks on the wire.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fs::File;
use std::time::Instant;

use fake_model::answers::Said;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::pump::Out;
use crate::script::compacted;
use crate::sessions::{Record, Sessions, append, injected, without_reverted};
use crate::shapes::{self, now_ms};
use crate::turns::Turn;

/// What a thread needs of the server that it lives in.
pub(crate) struct Context<'a> {
    pub(crate) out: &'a mut Out,
    pub(crate) faults: &'a Faults,
    pub(crate) sessions: &'a Sessions,
    pub(crate) opted_out: &'a HashSet<String>,
    /// Open questions to the client: request id to thread.
    pub(crate) asked: &'a mut HashMap<u64, String>,
    pub(crate) next_request: &'a mut u64,
    /// When a thread wants to go on.
    pub(crate) timers: &'a mut BinaryHeap<Reverse<(Instant, String)>>,
}

impl Context<'_> {
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        if !self.opted_out.contains(method) {
            self.out.send(&json!({"method": method, "params": params, "emittedAtMs": now_ms()}));
        }
    }

    pub(crate) fn reply(&mut self, id: &Value, result: &Value) {
        self.out.reply(&json!({"id": id, "result": result}));
    }
}

/// A turn as the record shows it that has not ended: its process is gone.
fn cut_off(turn: &str, started: u64) -> Value {
    let mut begun = shapes::turn_in_progress(turn, Some(started));
    begun["status"] = json!("interrupted");
    begun["itemsView"] = json!("full");
    begun
}

/// A loaded thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) cwd: String,
    /// The model and the effort in force. What a turn names stays in force after it.
    pub(crate) model: String,
    pub(crate) effort: Option<String>,
    /// The configuration that was named at the start or the resume.
    pub(crate) config: Value,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) name: Option<String>,
    pub(crate) ephemeral: bool,
    /// The policy in force, as `thread/start` and `thread/resume` show it. A turn's own policy stays in force after it.
    pub(crate) sandbox: Value,
    pub(crate) approval: Value,
    /// Whether the client hears of it (`thread/unsubscribe`).
    pub(crate) subscribed: bool,
    pub(crate) memory: Vec<Said>,
    /// Turns that have ended, in full.
    pub(crate) turns: Vec<Value>,
    pub(crate) turn: Option<Turn>,
    /// Whether the last turn is one that faults of turns are meant for.
    pub(crate) struck: bool,
    /// Calls of the model, and the tokens that they wrote.
    pub(crate) calls: u64,
    pub(crate) output_tokens: u64,
    /// Those of the last call.
    pub(crate) last_output: u64,
    /// The model and the effort that the file tells.
    kept_settings: (String, Option<String>),
    /// Commands and files that were approved for the session. No file tells them, and no fork has them.
    pub(crate) approved: HashSet<String>,
    /// The thread that this one is a fork of.
    pub(crate) forked_from: Option<String>,
    file: Option<File>,
    unsaved: Vec<Record>,
}

impl Thread {
    pub(crate) fn new(cwd: String, model: String, sandbox: Value, approval: Value, ephemeral: bool) -> Self {
        Self {
            id: shapes::new_id(),
            cwd,
            kept_settings: (model.clone(), None),
            model,
            effort: None,
            config: json!({}),
            created: now_ms() / 1000,
            name: None,
            ephemeral,
            sandbox,
            approval,
            subscribed: true,
            memory: Vec::new(),
            turns: Vec::new(),
            turn: None,
            struck: false,
            calls: 0,
            output_tokens: 0,
            last_output: 0,
            approved: HashSet::new(),
            forked_from: None,
            file: None,
            unsaved: Vec::new(),
        }
    }

    /// A thread as its file tells it. The policy is not kept in it: the real one falls back to its config, too.
    pub(crate) fn from_records(id: &str, records: Vec<Record>, file: Option<File>) -> Self {
        let read_only = shapes::sandbox("read-only").unwrap_or_default();
        let mut thread = Self::new(String::new(), String::new(), read_only, json!("on-request"), false);
        id.clone_into(&mut thread.id);
        thread.file = file;
        for record in without_reverted(records) {
            match record {
                Record::Thread { cwd, model, created, forked_from } => {
                    thread.forked_from = forked_from;
                    thread.cwd = cwd;
                    thread.kept_settings = (model.clone(), None);
                    thread.model = model;
                    thread.created = created;
                }
                Record::Settings { model, effort } => {
                    thread.kept_settings = (model.clone(), effort.clone());
                    thread.model = model;
                    thread.effort = effort;
                }
                Record::Compacted { summary } => {
                    thread.memory = compacted(std::mem::take(&mut thread.memory), summary);
                }
                Record::Injected { role, text } => thread.memory.extend(injected(&role, text)),
                Record::Name { name } => thread.name = Some(name),
                Record::Item { turn, started, item } => {
                    thread.memory.extend(shapes::said(&item));
                    if item["type"] == "agentMessage" || item["type"] == "contextCompaction" {
                        thread.calls += 1;
                        thread.last_output = item["text"].as_str().map_or(0, |text| text.len().div_ceil(4) as u64);
                        thread.output_tokens += thread.last_output;
                    }
                    if thread.turns.last().is_none_or(|last| last["id"] != turn.as_str()) {
                        thread.turns.push(cut_off(&turn, started));
                    }
                    if let Some(items) = thread.turns.last_mut().and_then(|turn| turn["items"].as_array_mut()) {
                        items.push(item);
                    }
                }
                Record::Begun { turn, started } => thread.turns.push(cut_off(&turn, started)),
                Record::Heard { text } => thread.memory.push(Said { role: "user", text }),
                Record::Reverted { .. } => {}
                Record::Ended { turn, status, error, completed } => {
                    if let Some(last) = thread.turns.last_mut().filter(|last| last["id"] == turn.as_str()) {
                        last["status"] = json!(status);
                        last["error"] = error;
                        last["completedAt"] = json!(completed);
                    }
                }
            }
        }
        thread
    }

    /// Tells the client, unless it does not want to hear of this thread. Its status it hears anyway, as measured.
    pub(crate) fn notify(&self, context: &mut Context<'_>, method: &str, params: &Value) {
        if self.subscribed || method == "thread/status/changed" {
            context.notify(method, params);
        }
    }

    pub(crate) fn notify_status(&self, context: &mut Context<'_>, status: &Value) {
        self.notify(context, "thread/status/changed", &json!({"threadId": self.id, "status": status}));
    }

    /// Remembers for the file which model and effort are in force, if it does not tell them.
    pub(crate) fn keep_settings(&mut self) {
        let now = (self.model.clone(), self.effort.clone());
        if self.kept_settings != now {
            self.kept_settings = now.clone();
            self.keep(Record::Settings { model: now.0, effort: now.1 });
        }
    }

    /// Remembers something for the file; [`Thread::save`] writes it.
    pub(crate) fn keep(&mut self, record: Record) {
        if !self.ephemeral {
            self.unsaved.push(record);
        }
    }

    /// Writes what is to be kept, before the client can have read of it.
    pub(crate) fn save(&mut self, sessions: &Sessions) {
        if self.unsaved.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.file = sessions.create(&self.id).ok();
            let begin = Record::Thread {
                cwd: self.cwd.clone(),
                model: self.model.clone(),
                created: self.created,
                forked_from: self.forked_from.clone(),
            };
            self.unsaved.insert(0, begin);
        }
        // A thread that cannot be written is one that cannot be resumed.
        let _ = self.file.as_ref().map(|file| append(file, &self.unsaved));
        self.unsaved.clear();
    }

    pub(crate) fn status(&self) -> Value {
        match &self.turn {
            None => json!({"type": "idle"}),
            Some(turn) if turn.is_asking() => json!({"type": "active", "activeFlags": ["waitingOnApproval"]}),
            Some(_) => json!({"type": "active", "activeFlags": []}),
        }
    }

    /// The thread on the wire, with its turns or without.
    pub(crate) fn shown(&self, sessions: &Sessions, version: &str, with_turns: bool) -> Value {
        let spoken = self.turns.iter().filter_map(|turn| turn["items"].as_array()).flatten().find_map(shapes::said);
        let preview = spoken.map_or(String::new(), |said| said.text);
        let path = if self.ephemeral { Value::Null } else { json!(sessions.path(&self.id)) };
        let mut turns = if with_turns { self.turns.clone() } else { Vec::new() };
        if let Some(turn) = self.turn.as_ref().filter(|_| with_turns) {
            turns.push(turn.shown());
        }
        json!({"id": self.id, "environments": [{"environmentId": "local", "cwd": self.cwd,
                "runtimeWorkspaceRoots": [self.cwd]}], "extra": null, "sessionId": self.id, "forkedFromId": self.forked_from,
            "attachedToThreadId": null, "parentThreadId": null, "preview": preview, "ephemeral": self.ephemeral,
            "section": null, "sectionEnteredAt": null, "projectId": null, "historyMode": "paginated",
            "modelProvider": "fake", "model": self.model, "reasoningEffort": self.effort, "createdAt": self.created,
            "updatedAt": self.created, "recencyAt": self.created, "status": self.status(), "path": path,
            "cwd": self.cwd, "cliVersion": version, "originator": "codexd", "source": "vscode",
            "canAcceptDirectInput": true, "threadSource": null, "agentNickname": null, "agentRole": null,
            "gitInfo": null, "name": self.name, "daybreakEnabled": null, "turns": turns})
    }

    /// The result of `thread/start`, and most of that of `thread/resume`.
    pub(crate) fn opened(&self, context: &Context<'_>, version: &str, with_turns: bool) -> Value {
        let (sandbox, approval) = if context.faults.wider {
            (json!({"type": "dangerFullAccess"}), json!("never"))
        } else {
            (self.sandbox.clone(), self.approval.clone())
        };
        json!({"thread": self.shown(context.sessions, version, with_turns), "model": self.model,
            "modelProvider": "fake", "serviceTier": null, "disabledPluginIds": [], "cwd": self.cwd,
            "runtimeWorkspaceRoots": [self.cwd], "instructionSources": [], "approvalPolicy": approval,
            "approvalsReviewer": "user", "sandbox": sandbox, "activePermissionProfile": null,
            "reasoningEffort": self.effort, "multiAgentMode": "explicitRequestOnly"})
    }
}
