//! What is told of a turn on its way: the prompt, items, tokens, the diff.

use serde_json::{Value, json};

use super::Turn;
use crate::faults::Stage;
use crate::sessions::Record;
use crate::shapes::{self, now_ms};
use crate::threads::{Context, Thread};

impl Thread {
    /// The user's message, started and completed.
    pub(super) fn hear(&mut self, params: &Value, context: &mut Context<'_>) {
        let mut parts = params["input"].as_array().cloned().unwrap_or_default();
        if parts.is_empty() {
            return;
        }
        for part in &mut parts {
            let (field, value) =
                if part["type"] == "text" { ("text_elements", json!([])) } else { ("detail", Value::Null) };
            if part[field].is_null() {
                part[field] = value;
            }
        }
        self.keep_settings();
        let item = shapes::user_message(&params["clientUserMessageId"], &parts);
        self.item_started(&item, context);
        self.item_completed(item, context);
    }

    /// Whether the process ends in the moment in which the prompt is remembered and not recorded. The real one has such a moment.
    pub(super) fn remembers_only(&mut self, params: &Value, context: &mut Context<'_>) -> bool {
        let strikes = self.strikes(context, Stage::Heard);
        if strikes {
            self.keep(Record::Heard { text: shapes::input_text(&params["input"]) });
        }
        strikes
    }

    pub(super) fn used(&mut self, output: u64, context: &mut Context<'_>) {
        self.calls += 1;
        self.output_tokens += output;
        self.last_output = output;
        self.tell_usage(&shapes::token_usage(self.calls, self.output_tokens, output), context);
        self.notify(context, "account/rateLimits/updated", &json!({"rateLimits": shapes::rate_limits()}));
        self.repeat_diff(context);
    }

    pub(super) fn tell_usage(&self, usage: &Value, context: &mut Context<'_>) {
        let turn = self.turn.as_ref().map_or("", |turn| &turn.id);
        let params = json!({"threadId": self.id, "turnId": turn, "tokenUsage": usage});
        self.notify(context, "thread/tokenUsage/updated", &params);
    }

    /// What was told last, once more, as the real one does.
    pub(super) fn repeat_usage(&self, context: &mut Context<'_>) {
        if self.calls > 0 {
            self.tell_usage(&shapes::token_usage(self.calls, self.output_tokens, self.last_output), context);
        }
    }

    /// The usage that is told when the model is cut off in a message: that of the call before, as measured.
    pub(crate) fn used_if_cut_off(&mut self, context: &mut Context<'_>) {
        if self.turn.as_ref().is_some_and(|turn| turn.message.is_some() && !turn.is_compaction()) {
            self.repeat_usage(context);
        }
    }

    pub(super) fn repeat_diff(&self, context: &mut Context<'_>) {
        let Some(Turn { id, diff: Some(diff), .. }) = &self.turn else { return };
        let params = json!({"threadId": self.id, "turnId": id, "diff": diff});
        self.notify(context, "turn/diff/updated", &params);
    }

    pub(super) fn item_started(&self, item: &Value, context: &mut Context<'_>) {
        let Some(turn) = &self.turn else { return };
        let mut item = item.clone();
        item["completedAtMs"] = Value::Null;
        let started = item["startedAtMs"].clone();
        let params = json!({"item": item, "threadId": self.id, "turnId": turn.id, "startedAtMs": started});
        self.notify(context, "item/started", &params);
    }

    pub(super) fn item_completed(&mut self, mut item: Value, context: &mut Context<'_>) {
        let Some(turn) = &mut self.turn else { return };
        let now = now_ms();
        item["completedAtMs"] = json!(now);
        self.memory.extend(shapes::said(&item));
        turn.items.push(item.clone());
        let (id, started) = (turn.id.clone(), turn.started / 1000);
        let params = json!({"item": item, "threadId": self.id, "turnId": id, "contentTokenCount": null,
            "completedAtMs": now});
        self.notify(context, "item/completed", &params);
        self.keep(Record::Item { turn: id, started, item });
    }
}
