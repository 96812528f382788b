//! Threads are started and resumed, with what is in force for them.

use serde_json::{Map, Value, json};

use super::AppServer;
use super::checks::{Answer, Refusal, refuse, refuse_missing, thread_id};
use crate::pump::Out;
use crate::sessions::{Missing, Record};
use crate::shapes;
use crate::threads::Thread;

/// The model of the configuration that a `CODEX_HOME` would have.
const MODEL: &str = "fake-model";

impl AppServer {
    pub(super) fn start(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let config = config_of(params)?;
        let sandbox = sandbox_of(params).or_else(|| shapes::sandbox("read-only")).unwrap_or_default();
        let approval = approval_of(params).unwrap_or_else(|| json!("on-request"));
        let cwd = shapes::absolute(params["cwd"].as_str());
        let mut thread = Thread::new(cwd, model_of(params, &config), sandbox, approval, params["ephemeral"] == true);
        thread.effort = effort_of(&config);
        thread.config = Value::Object(config);
        let name = thread.id.clone();
        let version = self.version.clone();
        self.threads.insert(name.clone(), thread);
        self.with_thread(&name, out, |thread, context| {
            let result = thread.opened(context, &version, false);
            context.reply(id, &result);
            context.notify("thread/started", &json!({"thread": result["thread"]}));
        });
        Ok(Value::Null)
    }

    pub(super) fn resume(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid session id")?.to_owned();
        let config = config_of(params)?;
        let with_turns = params["excludeTurns"] != true;
        let loaded = self.threads.contains_key(&name);
        if !loaded && self.faults.held.is_some_and(|time| self.born.elapsed() < time) {
            return refuse_missing(&name, &Missing::Locked);
        }
        if !loaded {
            let (file, records) = self.sessions.open(&name).or_else(|missing| refuse_missing(&name, &missing))?;
            let mut thread = Thread::from_records(&name, records, Some(file));
            // What is named counts only here: a loaded thread keeps what is in force, as measured.
            thread.sandbox = sandbox_of(params).unwrap_or(thread.sandbox);
            thread.approval = approval_of(params).unwrap_or(thread.approval);
            // Whoever names the model or the effort gets the other one from the configuration, not from the thread.
            if params["model"].is_string() || effort_of(&config).is_some() || config.contains_key("model") {
                thread.model = model_of(params, &config);
                thread.effort = effort_of(&config);
                thread.keep_settings();
            }
            thread.config = Value::Object(config);
            self.threads.insert(name.clone(), thread);
        }
        let version = self.version.clone();
        self.with_thread(&name, out, |thread, context| {
            thread.subscribed = true;
            if with_turns {
                let summary = "Full-history hydration is deprecated for paginated threads; use `excludeTurns: true`, \
                               then page with `thread/turns/list` and `thread/items/list`.";
                context.notify("deprecationNotice", &json!({"summary": summary, "details": null}));
            }
            if !loaded {
                thread.notify_status(context, &thread.status());
            }
            let mut result = thread.opened(context, &version, with_turns);
            let cursor =
                thread.turns.last().map(|turn| json!({"requestedThreadId": thread.id, "turn": turn["id"]}).to_string());
            result["initialTurnsPage"] = Value::Null;
            result["turnsBackwardsCursor"] = json!(cursor);
            result["itemsBackwardsCursor"] = json!(cursor);
            let settings =
                json!({"model": thread.model, "reasoning_effort": thread.effort, "developer_instructions": null});
            result["collaborationMode"] = json!({"mode": "default", "settings": settings});
            context.reply(id, &result);
            if let Some(last) = thread.turns.last() {
                if !loaded && thread.calls > 0 {
                    let usage = shapes::token_usage(thread.calls, thread.output_tokens, thread.last_output);
                    let params = json!({"threadId": thread.id, "turnId": last["id"], "tokenUsage": usage});
                    context.notify("thread/tokenUsage/updated", &params);
                }
                context.notify("thread/goal/cleared", &json!({"threadId": thread.id}));
            }
        });
        Ok(Value::Null)
    }
}

impl AppServer {
    /// `thread/fork`: a thread of its own with all that the other one holds, also when that is at work, not loaded, or loaded by
    /// another process. It is on disk with the reply.
    pub(super) fn fork(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let of = thread_id(params, "invalid session id")?.to_owned();
        let config = config_of(params)?;
        let records = self.sessions.copy(&of).or_else(|missing| refuse_missing(&of, &missing))?;
        let name = shapes::new_id();
        let mut thread = Thread::from_records(&name, records.clone(), None);
        for record in records {
            if !matches!(record, Record::Thread { .. } | Record::Name { .. }) {
                thread.keep(record);
            }
        }
        thread.name = None;
        thread.created = shapes::now_ms() / 1000;
        thread.forked_from = Some(of);
        thread.sandbox = sandbox_of(params).unwrap_or(thread.sandbox);
        thread.approval = approval_of(params).unwrap_or(thread.approval);
        if let Some(cwd) = params["cwd"].as_str() {
            thread.cwd = shapes::absolute(Some(cwd));
        }
        // Those that a turn named are not the fork's, as measured.
        thread.model = model_of(params, &config);
        thread.effort = effort_of(&config);
        thread.config = Value::Object(config);
        thread.keep_settings();
        let with_turns = params["excludeTurns"] != true;
        let version = self.version.clone();
        self.threads.insert(name.clone(), thread);
        self.with_thread(&name, out, |thread, context| {
            thread.save(context.sessions);
            let result = thread.opened(context, &version, with_turns);
            context.reply(id, &result);
            let mut shown = result["thread"].clone();
            shown["turns"] = Value::Array(Vec::new());
            context.notify("thread/started", &json!({"thread": shown}));
        });
        Ok(Value::Null)
    }
}

fn sandbox_of(params: &Value) -> Option<Value> {
    shapes::sandbox(params["sandbox"].as_str()?)
}

fn approval_of(params: &Value) -> Option<Value> {
    Some(&params["approvalPolicy"]).filter(|policy| !policy.is_null()).cloned()
}

/// The configuration of a request. Its values have types, of which the double knows these.
fn config_of(params: &Value) -> Result<Map<String, Value>, Refusal> {
    let config = params["config"].as_object().cloned().unwrap_or_default();
    for name in ["model", "model_reasoning_effort"] {
        if let Some(number) = config.get(name).filter(|value| !value.is_string()) {
            let kind = if number.is_i64() { "integer" } else { "value" };
            return refuse(format!(
                "failed to load configuration: invalid type: {kind} `{number}`, expected a string\nin `{name}`\n"
            ));
        }
    }
    if let Some(profile) = config.get("profile").and_then(Value::as_str) {
        return refuse(format!(
            "failed to load configuration: legacy `profile = \"{profile}\"` config is no longer supported; use `--profile \
             {profile}` with `{profile}.config.toml` instead"
        ));
    }
    Ok(config)
}

fn model_of(params: &Value, config: &Map<String, Value>) -> String {
    let named = params["model"].as_str().or_else(|| config.get("model")?.as_str());
    named.unwrap_or(MODEL).to_owned()
}

fn effort_of(config: &Map<String, Value>) -> Option<String> {
    Some(config.get("model_reasoning_effort")?.as_str()?.to_owned())
}
