//! `thread/compact/start`: a turn of one item, in which the model makes a summary of what was said.

use serde_json::{Value, json};

use super::Turn;
use crate::faults::Stage;
use crate::script;
use crate::sessions::Record;
use crate::shapes::{self, now_ms};
use crate::threads::{Context, Thread};

impl Thread {
    /// Starts a compaction. A turn that runs is interrupted by it, as measured.
    pub(crate) fn compact(&mut self, request: &Value, context: &mut Context<'_>) {
        self.struck = context.faults.only.is_none();
        if self.strikes(context, Stage::Request) {
            return;
        }
        context.reply(request, &json!({}));
        if self.strikes(context, Stage::Reply) {
            return;
        }
        if self.turn.is_some() {
            self.used_if_cut_off(context);
            self.interrupt(context);
        }
        let item = json!({"type": "contextCompaction", "id": shapes::new_id(), "startedAtMs": now_ms(),
            "completedAtMs": null});
        let mut turn = Turn::new(script::compaction(&self.memory));
        turn.compaction = Some(item.clone());
        self.begin(turn, context);
        if self.strikes(context, Stage::Started) {
            return;
        }
        self.item_started(&item, context);
        self.advance(context);
    }

    /// The summary is here. Tokens are told three times: those of the call before, those of this one, and how many the summary
    /// leaves, which were used by no call.
    pub(super) fn compacted(&mut self, item: Value, summary: String, context: &mut Context<'_>) {
        self.repeat_usage(context);
        self.used(summary.len().div_ceil(4) as u64, context);
        let mut usage = shapes::token_usage(self.calls, self.output_tokens, 0);
        usage["last"] = json!({"totalTokens": 50, "inputTokens": 0, "cachedInputTokens": 0, "cacheWriteInputTokens": 0,
            "outputTokens": 0, "reasoningOutputTokens": 0});
        self.tell_usage(&usage, context);
        self.item_completed(item, context);
        self.memory = script::compacted(std::mem::take(&mut self.memory), summary.clone());
        self.keep(Record::Compacted { summary });
        self.end("completed", &Value::Null, context);
    }
}
