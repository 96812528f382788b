//! Threads that need not be loaded: filing away, naming, listing.

use serde_json::{Value, json};

use super::AppServer;
use super::checks::{Answer, Refusal, refuse_missing, required, thread_id};
use crate::pump::Out;
use crate::sessions::{Record, append};
use crate::threads::Thread;

impl AppServer {
    pub(super) fn file_away(&mut self, id: &Value, method: &str, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        let (done, notification) = match method {
            "thread/archive" => (self.sessions.archive(name), "thread/archived"),
            _ => (self.sessions.unarchive(name), "thread/unarchived"),
        };
        done.or_else(|missing| refuse_missing(name, &missing))?;
        if method != "thread/unarchive" && self.threads.remove(name).is_some() {
            let gone = json!({"threadId": name, "status": {"type": "notLoaded"}});
            self.notify(out, "thread/status/changed", &gone);
        }
        let result = if method == "thread/unarchive" {
            let records = self.sessions.peek(name).or_else(|missing| refuse_missing(name, &missing))?;
            let mut shown = Thread::from_records(name, records, None).shown(&self.sessions, &self.version, false);
            shown["status"] = json!({"type": "notLoaded"});
            shown["environments"] = Value::Null;
            shown["canAcceptDirectInput"] = Value::Null;
            json!({"thread": shown})
        } else {
            json!({})
        };
        out.send(&json!({"id": id, "result": result}));
        self.notify(out, notification, &json!({"threadId": name}));
        Ok(Value::Null)
    }

    /// `thread/delete`. A turn that runs is interrupted, after the reply.
    pub(super) fn delete(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let name = thread_id(params, "invalid thread id")?;
        let loaded = self.with_thread(name, out, |thread, context| {
            context.reply(id, &json!({}));
            if thread.turn.is_some() {
                thread.used_if_cut_off(context);
                thread.interrupt(context);
            }
        });
        if loaded.is_some() {
            self.threads.remove(name);
            // A thread that was never used has no file.
            let _ = self.sessions.delete(name);
            let gone = json!({"threadId": name, "status": {"type": "notLoaded"}});
            self.notify(out, "thread/status/changed", &gone);
        } else {
            self.sessions.delete(name).or_else(|missing| refuse_missing(name, &missing))?;
            out.send(&json!({"id": id, "result": {}}));
        }
        self.notify(out, "thread/deleted", &json!({"threadId": name}));
        Ok(Value::Null)
    }

    pub(super) fn name(&mut self, id: &Value, params: &Value, out: &mut Out) -> Answer {
        let thread = thread_id(params, "invalid thread id")?;
        let name = required(params, "name")?;
        let record = || Record::Name { name: name.to_owned() };
        let done = self.with_thread(thread, out, |thread, _| {
            thread.name = Some(name.to_owned());
            thread.keep(record());
        });
        if done.is_none() {
            let (file, _) = self.sessions.open(thread).or_else(|missing| refuse_missing(thread, &missing))?;
            // A name that cannot be written is lost, no more.
            let _ = append(&file, &[record()]);
        }
        out.send(&json!({"id": id, "result": {}}));
        self.notify(out, "thread/name/updated", &json!({"threadId": thread, "threadName": name}));
        Ok(Value::Null)
    }

    pub(super) fn list(&self) -> Value {
        let threads = self.sessions.ids().into_iter().filter_map(|id| {
            let records = self.sessions.peek(&id).ok()?;
            Some(Thread::from_records(&id, records, None).shown(&self.sessions, &self.version, false))
        });
        let threads: Vec<Value> = threads.collect();
        json!({"data": threads, "readStates": {}, "nextCursor": null, "backwardsCursor": null})
    }

    /// The thread as its file has it, loaded or not.
    pub(super) fn peek(&self, params: &Value) -> Result<Thread, Refusal> {
        let name = thread_id(params, "invalid thread id")?;
        let records = self.sessions.peek(name).or_else(|missing| refuse_missing(name, &missing))?;
        Ok(Thread::from_records(name, records, None))
    }
}
