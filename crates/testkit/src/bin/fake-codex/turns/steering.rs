//! More input for a turn that runs.

use serde_json::Value;

use crate::threads::{Context, Thread};

impl Thread {
    /// Adds input to the turn in progress. While the turn waits for an answer that has to wait, too, and is lost when the turn ends
    /// before. The message being written is cut off and never completes, as measured.
    pub(crate) fn steer(&mut self, params: &Value, context: &mut Context<'_>) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.question.is_some()) {
            turn.steered.push(params.clone());
            return;
        }
        self.used_if_cut_off(context);
        self.go_another_way(params, context);
        self.advance(context);
    }

    /// Takes what came while the turn waited.
    pub(super) fn take_steered(&mut self, context: &mut Context<'_>) {
        let steered = self.turn.as_mut().map(|turn| std::mem::take(&mut turn.steered)).unwrap_or_default();
        for params in steered {
            self.go_another_way(&params, context);
        }
    }

    fn go_another_way(&mut self, params: &Value, context: &mut Context<'_>) {
        let mut plan = self.plan(params, context);
        // What a fault puts before a turn was there already.
        plan.person = None;
        if context.faults.approval {
            plan.steps.pop_front();
        }
        self.hear(params, context);
        if let Some(turn) = &mut self.turn {
            turn.plan = plan;
            turn.message = None;
            turn.due = None;
            turn.told.clear();
        }
    }
}
