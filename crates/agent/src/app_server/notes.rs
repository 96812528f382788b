//! Codex's notifications as reports.

use types::{AskId, ItemStatus, ThreadId};

use super::{AppServer, Call, errors, items, wire};
use crate::{
    adapter::Out,
    domain::{Answer, DeltaKind, Outcome, Route, What},
};

impl AppServer {
    /// A notification; those that nobody needs are passed over.
    pub(super) fn notification(
        &mut self,
        method: &str,
        incoming: &wire::Incoming<'_>,
        out: &mut Out,
    ) -> Result<(), serde_json::Error> {
        let params = incoming.params;
        let (thread, what) = match method {
            "turn/started" => {
                let note: wire::TurnNote = wire::read(params)?;
                self.threads.turn_started(&note.thread_id, &note.turn.id);
                (note.thread_id, What::TurnStarted { codex_turn: note.turn.id })
            }
            "item/started" => {
                let note: wire::ItemNote<'_> = wire::read(params)?;
                let item = items::read(note.item, ItemStatus::InProgress)?;
                if let Some(turn) = &note.turn_id {
                    self.begin(&note.thread_id, turn, out);
                }
                (note.thread_id, What::ItemStarted { codex_id: item.codex_id, body: item.body })
            }
            "item/completed" => {
                let note: wire::ItemNote<'_> = wire::read(params)?;
                let item = items::read(note.item, ItemStatus::Completed)?;
                if !self.second_api && self.threads.declined_before(&note.thread_id, &item) {
                    return Ok(());
                }
                (note.thread_id, What::ItemCompleted { codex_id: item.codex_id, status: item.status, body: item.body })
            }
            "item/agentMessage/delta" => delta(wire::read(params)?, DeltaKind::Text),
            "item/reasoning/summaryTextDelta" => delta(wire::read(params)?, DeltaKind::Reasoning),
            "item/commandExecution/outputDelta" => delta(wire::read(params)?, DeltaKind::Output),
            "turn/plan/updated" => {
                let note: wire::PlanNote = wire::read(params)?;
                (note.thread_id, items::plan(note.plan))
            }
            "turn/diff/updated" => {
                let note: wire::DiffNote = wire::read(params)?;
                (note.thread_id, What::Diff(note.diff))
            }
            "thread/tokenUsage/updated" => {
                let note: wire::UsageNote = wire::read(params)?;
                let thread = note.thread_id.clone();
                match self.threads.used(note) {
                    Some(usage) => (thread, What::Usage(usage)),
                    None => return Ok(()),
                }
            }
            "error" => {
                let note: wire::ErrorNote = wire::read(params)?;
                // The last one comes again with the end of the turn.
                if !note.will_retry {
                    return Ok(());
                }
                let details = note.error.additional_details.map(|text| format!(" ({text})")).unwrap_or_default();
                (note.thread_id, What::Warning(format!("{}{details}", note.error.message)))
            }
            "warning" => {
                let note: wire::WarningNote = wire::read(params)?;
                match note.thread_id {
                    Some(thread) => (thread, What::Warning(note.message)),
                    None => return Ok(()),
                }
            }
            "turn/completed" => {
                let note: wire::TurnNote = wire::read(params)?;
                self.begin(&note.thread_id, &note.turn.id, out);
                self.threads.turn_ended(&note.thread_id);
                self.questions.turn_ended(&note.thread_id, &note.turn.id, out);
                self.interrupts_ended(&note.thread_id, out);
                let last_message = note.turn.last_message();
                let outcome = match note.turn.status.as_str() {
                    "completed" => Outcome::Completed,
                    "interrupted" => Outcome::Interrupted,
                    _ => Outcome::Failed(errors::of_turn(note.turn.error.as_ref())),
                };
                let what = What::TurnEnded { codex_turn: Some(note.turn.id), outcome, last_message };
                (note.thread_id, what)
            }
            "serverRequest/resolved" => {
                self.questions.resolved(wire::read(params)?, out);
                return Ok(());
            }
            "configWarning" => {
                let note: wire::ConfigNote = wire::read(params)?;
                tracing::info!(target: "codex", "{}", note.summary);
                return Ok(());
            }
            _ => return Ok(()),
        };
        out.reports.push((Route::Thread(thread), what));
        Ok(())
    }

    /// The turn of the thread ended, so nothing is left to interrupt; not every version answers then.
    fn interrupts_ended(&mut self, thread: &ThreadId, out: &mut Out) {
        let mut ended: Vec<AskId> = self
            .rpc
            .iter()
            .filter(|(_, call)| matches!(call, Call::Interrupt(of) if of == thread))
            .map(|(id, _)| id)
            .collect();
        ended.sort_unstable();
        for id in ended {
            self.rpc.answered(id, &mut out.lines);
            out.answer(id, Ok(Answer::Done));
        }
    }

    /// Says that a turn began when Codex did not say it itself.
    fn begin(&mut self, thread: &ThreadId, turn: &str, out: &mut Out) {
        if self.threads.begins(thread, turn) {
            out.reports.push((Route::Thread(thread.clone()), What::TurnStarted { codex_turn: turn.to_owned() }));
        }
    }
}

fn delta(note: wire::DeltaNote, kind: DeltaKind) -> (ThreadId, What) {
    (note.thread_id, What::ItemDelta { codex_id: note.item_id, kind, text: note.delta })
}
