//! Notifications that a client can make nothing of, for the fault `unknown-notes`.

use serde_json::json;

use crate::shapes;
use crate::threads::{Context, Thread};

impl Thread {
    /// Sends one of every kind, if that is wanted.
    pub(super) fn stray(&self, context: &mut Context<'_>) {
        let Some(turn) = self.turn.as_ref().filter(|_| self.struck && context.faults.unknown_notes) else { return };
        let (thread, turn, other) = (&self.id, &turn.id, shapes::new_id());
        let notes = [
            // Of unknown methods.
            json!({"method": "future/nothing"}),
            json!({"method": "future/thing", "params": {"threadId": thread, "turnId": turn, "anything": [1, null]}}),
            json!({"method": "turn/reconsidered", "params": {"threadId": thread, "turn": {"id": turn}}}),
            // Of items that nobody has seen before.
            json!({"method": "item/started", "params": {"threadId": thread, "turnId": turn,
                "item": {"type": "futureItem", "id": "future_1", "anything": {"deep": [true]}}}}),
            json!({"method": "item/completed", "params": {"threadId": thread, "turnId": turn,
                "item": {"type": "futureItem", "id": "future_1", "anything": {"deep": [false]}}}}),
            // About what is not there.
            json!({"method": "item/agentMessage/delta", "params": {"threadId": thread, "turnId": turn,
                "itemId": "msg_never_begun", "delta": "NOT OF THIS ANSWER"}}),
            json!({"method": "item/agentMessage/delta", "params": {"threadId": other, "turnId": other,
                "itemId": "msg_never_begun", "delta": "NOT OF THIS ANSWER"}}),
            json!({"method": "turn/completed", "params": {"threadId": other, "turn": {"id": other,
                "items": [], "status": "failed", "error": {"message": "NOT OF THIS TURN"}}}}),
            json!({"method": "turn/completed", "params": {"threadId": thread, "turn": {"id": other,
                "items": [], "status": "failed", "error": {"message": "NOT OF THIS TURN"}}}}),
            json!({"method": "serverRequest/resolved", "params": {"threadId": thread, "requestId": 4711}}),
            // That make no sense.
            json!({"method": "turn/completed"}),
            json!({"method": "turn/completed", "params": {"threadId": thread, "turn": "no object"}}),
            json!({"method": "turn/completed", "params": {"threadId": [thread], "turn": {"id": 1}}}),
            json!({"method": "item/completed", "params": {"threadId": thread, "turnId": turn, "item": null}}),
            json!({"method": "thread/tokenUsage/updated", "params": {"threadId": thread, "turnId": turn,
                "tokenUsage": {"last": {"inputTokens": "many"}}}}),
            json!({"method": "", "params": 7}),
        ];
        for note in notes {
            context.out.send(&note);
        }
    }
}
