//! A turn whose process of Codex died under it is settled by Codex's own record.
//!
//! codexd knows what Codex told it, which is less than what Codex did: a prompt may be recorded and a turn may even be complete of which the
//! last lines were never read. So the turn stays `running` until the next process is up and was asked:
//!
//! ```text
//!  Asked, Running -> Waiting -> Resuming --> Reading --> Reverting -> ended
//!                   (for a      (the thread)  (record)  (what is not to be remembered)
//!                    process)
//! ```
//!
//! - The record has the prompt: `delivery` is yes, what happened in the turn is taken over, and it ends as the record says: completed,
//!   failed, or interrupted when the death cut it off.
//! - It has not: `delivery` is no, and the turn is interrupted. It is not sent again by itself, because the model may have been asked;
//!   whoever sent it can `retry`. Codex remembers a prompt a moment before it records it, so a turn that was cut off in that moment is
//!   taken out of its memory first. Where that fails the `delivery` stays unknown.
//! - There is no record of the thread at all: the same, and the session goes on with a new thread.
//! - The record can't be read, or no process comes within [`SETTLE_LIMIT`]: the turn is interrupted with what codexd knows by itself, as it
//!   always is where Codex has no record that tells prompts apart (`Capabilities::record`).
//!
//! On disk nothing of this is a state of its own: the turn runs in a process that is gone. A codexd that finds such a turn settles it in
//! the same way (`reviving`).

use std::time::{Duration, Instant};

use agent::{Answer, Ask, AskError, Outcome, Record, RecordedItem, RecordedTurn};
use store::Write;
use types::{Delivery, ItemBody, ResumedHow, ThreadId, TurnError, TurnErrorCode, TurnKind, TurnStatus};

use super::{HELD_WAIT, Now, Output, Phase, State};
use crate::policy;

/// How long after the death of its process a turn may stay unsettled.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// How often a turn's record is asked for while that ends each Codex that is asked: what it wants to tell may be what ends it.
const TRIES: u32 = 2;

/// How far the settling is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// No process is up.
    Waiting,
    Resuming {
        /// Another process has the thread, perhaps the one that is dying: asked again then.
        again_at: Option<Instant>,
    },
    Reading,
    Reverting,
}

/// A turn whose process is gone.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// What is said of it if it did not complete; not known until it is known why the process ended.
    why: Option<TurnError>,
    /// By then it is settled.
    until: Instant,
    /// How many processes ended while they were asked for the record.
    ended: u32,
}

impl State {
    /// The process of the turn is gone, for a reason that may not be known yet.
    pub(super) fn lose(&mut self, why: Option<TurnError>, now: &Now<'_>, out: &mut Output) {
        // Nobody waits for the answers any more.
        self.close_approvals(now, out);
        let Some(active) = &mut self.active else { return };
        let lost = active.lost.get_or_insert(Lost { why: None, until: now.clock + SETTLE_LIMIT, ended: 0 });
        if lost.why.is_none() {
            lost.why = why;
        }
        if lost.why.is_some() {
            active.stopping = None;
        }
        out.batch.writes.extend(active.ask.take().map(Write::SettleAsk));
        self.enter(Phase::Settling(Step::Waiting), None);
    }

    /// Whether the turn is over and it is not known yet how.
    pub(super) fn is_settling(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.lost.is_some())
    }

    /// The next step, with the process that is up.
    pub(super) fn settle(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(up) = &self.agent else { return };
        let records = up.capabilities.record;
        match self.lost_thread().filter(|_| records) {
            Some(thread) => {
                let ask = self.ask(Ask::ResumeThread { thread, spec: self.spec() }, now, out);
                self.enter(Phase::Settling(Step::Resuming { again_at: None }), ask);
            }
            None => self.settle_by_what_is_known(now, out),
        }
    }

    /// The thread on which the turn ran.
    fn lost_thread(&self) -> Option<ThreadId> {
        self.fresh.clone().or_else(|| self.session.thread_id.clone())
    }

    /// Codex answered while a turn was being settled.
    pub(super) fn settling(&mut self, step: Step, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        match (step, answer) {
            // That one is gone as well: the next one is asked.
            (step, Err(AskError::Exited { .. })) => {
                let lost = self.active.as_mut().and_then(|active| active.lost.as_mut());
                let ended = lost.map_or(0, |lost| {
                    lost.ended += u32::from(step == Step::Reading);
                    lost.ended
                });
                self.enter(Phase::Settling(Step::Waiting), None);
                if ended >= TRIES {
                    self.settle_by_what_is_known(now, out);
                }
            }
            (Step::Resuming { .. }, Ok(Answer::Thread { applied, .. })) => {
                self.told_base(applied.as_ref());
                let allowed = self.thread_spec();
                let wider = applied.as_ref().and_then(|applied| policy::widened(&allowed, applied));
                // With more than is allowed it is not used; the next turn resumes it again, and is refused.
                self.loaded = self.fresh.is_none() && wider.is_none();
                if self.loaded {
                    self.resumed(ResumedHow::Resumed, now, out);
                }
                self.read_record(now, out);
            }
            (Step::Resuming { .. } | Step::Reading, Err(AskError::NoRecord(why))) => {
                tracing::info!(session = %self.session.id, why, "Codex has lost the thread with the turn");
                // What is known to have been heard is given to the new thread with the rest of what was said.
                if self.active.as_ref().is_some_and(|active| active.delivery != Delivery::Yes) {
                    self.now_delivered(Delivery::No);
                }
                if self.fresh.is_none() {
                    self.abandon_thread(out);
                    self.forget_base(out);
                }
                self.cut_off(now, out);
            }
            (Step::Resuming { .. }, Err(AskError::Held(_))) => {
                let again_at = Some(now.clock + HELD_WAIT);
                self.enter(Phase::Settling(Step::Resuming { again_at }), None);
            }
            (Step::Reading, Ok(Answer::Record(record))) => self.settle_by_record(record, now, out),
            (Step::Reverting, Ok(_)) => {
                self.now_delivered(Delivery::No);
                self.cut_off(now, out);
            }
            (_, answer) => {
                tracing::warn!(?step, ?answer, session = %self.session.id, "Codex's record does not tell what became of a turn");
                self.settle_by_what_is_known(now, out);
            }
        }
    }

    fn read_record(&mut self, now: &Now<'_>, out: &mut Output) {
        let (Some(thread), Some(active)) = (self.lost_thread(), &self.active) else { return };
        let prompt = (active.job.kind == TurnKind::Prompt).then(|| active.job.turn.clone());
        let codex_turn = active.codex_turn.clone();
        let ask = self.ask(Ask::Record { thread, prompt, codex_turn }, now, out);
        self.enter(Phase::Settling(Step::Reading), ask);
    }

    fn settle_by_record(&mut self, record: Record, now: &Now<'_>, out: &mut Output) {
        match record {
            Record::Turn(turn) => self.take_over_record(turn, now, out),
            Record::Absent { cut_off: Some(codex_turn) } => {
                let Some(thread) = self.lost_thread() else { return };
                // It is known only when the turn is out of Codex's memory.
                self.now_delivered(Delivery::Unknown);
                let ask = self.ask(Ask::Revert { thread, codex_turn }, now, out);
                self.enter(Phase::Settling(Step::Reverting), ask);
            }
            Record::Absent { cut_off: None } => {
                self.now_delivered(Delivery::No);
                self.cut_off(now, out);
            }
            Record::Unclear(why) => {
                tracing::warn!(session = %self.session.id, why, "Codex's record does not tell what became of a turn");
                self.settle_by_what_is_known(now, out);
            }
        }
    }

    /// The record has the turn: what it tells and we had not is taken over, and the turn ends as it ended there.
    fn take_over_record(&mut self, turn: RecordedTurn, now: &Now<'_>, out: &mut Output) {
        for item in turn.items {
            self.take_over_item(item, now, out);
        }
        match turn.outcome {
            Outcome::Completed => self.end(TurnStatus::Completed, None, now, out),
            Outcome::Failed(error) => self.end(TurnStatus::Failed, Some(error), now, out),
            Outcome::Interrupted => self.cut_off(now, out),
        }
    }

    fn take_over_item(&mut self, item: RecordedItem, now: &Now<'_>, out: &mut Output) {
        let RecordedItem { codex_id, given, status, body } = item;
        let Some(active) = &self.active else { return };
        let is_message = matches!(body, ItemBody::UserMessage { .. });
        if is_message && given.as_deref() != Some(active.job.turn.as_str()) {
            // One that was told to be recorded before is not waited for any more.
            return self.steer_on_record(given.as_deref(), now, out);
        }
        let had = active.items.get(&codex_id).is_some_and(|item| item.open.is_none());
        let first = is_message || (active.job.kind == TurnKind::Compact && matches!(body, ItemBody::Other { .. }));
        if first && active.delivery != Delivery::Yes {
            self.delivered(Some(body), now, out);
        } else if !first && !had {
            self.item_completed(codex_id, status, body, now, out);
        }
    }

    /// The turn ends with what codexd knows by itself.
    pub(super) fn settle_by_what_is_known(&mut self, now: &Now<'_>, out: &mut Output) {
        self.cut_off(now, out);
    }

    /// The turn ends as one that the death of its process cut off.
    fn cut_off(&mut self, now: &Now<'_>, out: &mut Output) {
        let why = self.active.as_mut().and_then(|active| active.lost.as_mut()).and_then(|lost| lost.why.take());
        let error = why.unwrap_or_else(|| {
            let message = "Codex ended under the turn. The session goes on with the next prompt";
            TurnError::new(TurnErrorCode::AgentExited, message)
        });
        let unheard = self.active.as_ref().is_some_and(|active| active.delivery == Delivery::No);
        let error = match unheard {
            true => TurnError {
                message: format!("{}. Codex has no record of this prompt; a retry sends it again", error.message),
                ..error
            },
            false => error,
        };
        self.end(TurnStatus::Interrupted, Some(error), now, out);
    }

    fn now_delivered(&mut self, delivery: Delivery) {
        if let Some(active) = &mut self.active {
            active.delivery = delivery;
        }
    }

    /// When the settling has something to do by itself.
    pub(super) fn settling_wake(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let until = active.lost.as_ref()?.until;
        Some(match active.phase {
            Phase::Settling(Step::Resuming { again_at: Some(at) }) => at.min(until),
            _ => until,
        })
    }

    pub(super) fn settling_tick(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        if active.lost.as_ref().is_some_and(|lost| lost.until <= now.clock) {
            tracing::warn!(session = %self.session.id, "no Codex told in time what became of a turn");
            return self.settle_by_what_is_known(now, out);
        }
        if let Phase::Settling(Step::Resuming { again_at: Some(at) }) = active.phase
            && at <= now.clock
        {
            self.settle(now, out);
        }
    }
}
