//! A second session with the same history and a future of its own.
//!
//! The history is copied on disk, up to the last turn that ended. Codex is asked for a fork of its thread only while the session
//! is idle: what it would copy of a turn that runs is nobody's to know. Until it has answered no other turn begins, so that both
//! histories end at the same turn. Without a fork of Codex's the new session's first turn begins a thread that is given the saved
//! messages.

use agent::{Answer, Ask, AskError};
use serde_json::json;
use store::{Base, NewEvent, NewSession, Remembered, Write};
use types::{AskId, EventName, Resumed, ResumedHow, SessionId};

use super::{Effect, Now, Output, State};
use crate::{Refusal, mail::Loaded, policy};

/// A fork that waits for Codex.
#[derive(Debug, Clone)]
pub(super) struct Forking {
    pub(super) ask: AskId,
    new: Box<NewSession>,
    remember: Option<Box<Remembered>>,
}

impl State {
    /// Somebody wants a second session of this one. The answer is [`Effect::Forked`].
    pub(crate) fn fork(
        &mut self,
        id: SessionId,
        fork: impl FnOnce(&types::Session) -> NewSession,
        remember: Option<Box<Remembered>>,
        now: &Now<'_>,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        self.check_open()?;
        let mut new = Box::new(fork(&self.session));
        new.session.id = id;
        new.session.forked_from = Some(self.session.id.clone());
        new.session.usage = self.session.usage;
        new.developer_instructions.clone_from(&self.developer_instructions);
        let able = self.agent.as_ref().is_some_and(|up| up.capabilities.fork);
        let idle = self.active.is_none() && self.forking.is_none() && self.fresh.is_none();
        if let (true, true, Some(thread)) = (able, idle, self.session.thread_id.clone())
            && let Some(ask) = self.ask(Ask::Fork { thread, spec: self.spec() }, now, out)
        {
            self.forking = Some(Forking { ask, new, remember });
            return Ok(());
        }
        self.forked(*new, remember, now, out);
        Ok(())
    }

    /// Codex answered whether there is a fork of the thread.
    pub(super) fn fork_made(&mut self, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        let Some(Forking { mut new, remember, .. }) = self.forking.take() else { return };
        let mut base = None;
        match answer {
            Ok(Answer::Thread { thread: Some(thread), applied }) => {
                let wider = applied.as_ref().and_then(|applied| policy::widened(&self.spec(), applied));
                if let Some(wider) = wider {
                    tracing::warn!(session = %self.session.id, wider, "Codex's fork may do more than it should; it is not used");
                } else if let Some(up) = &self.agent {
                    new.session.thread_id = Some(thread);
                    new.session.backend = Some(up.backend.as_str().to_owned());
                    new.session.resumed = Some(Resumed { how: ResumedHow::Forked, at: now.at });
                    let told = applied.map(|applied| Base { model: applied.model, effort: applied.effort });
                    base = Some(told.unwrap_or_default());
                }
            }
            Ok(_) => {}
            Err(error) => tracing::info!(session = %self.session.id, %error, "no fork by Codex; the saved messages do"),
        }
        let loaded = new.session.thread_id.clone().zip(base).map(|(thread, base)| Loaded { thread, base });
        let (session, how) = (new.session.id.clone(), new.session.resumed);
        self.forked(*new, remember, now, out);
        if let (Some(loaded), Some(resumed)) = (loaded, how) {
            let detail = json!({"how": resumed.how, "threadId": loaded.thread});
            out.batch.push(new_event(EventName::SessionResumed, &session, Some(detail), now));
            out.effects.push(Effect::Loaded { session, loaded });
        }
        self.start_next(now, out);
    }

    fn forked(&self, new: NewSession, remember: Option<Box<Remembered>>, now: &Now<'_>, out: &mut Output) {
        let id = new.session.id.clone();
        out.batch.push(Write::CreateSession(Box::new(new)));
        out.batch.push(Write::CopyTurns { from: self.session.id.clone(), to: id.clone() });
        out.batch.writes.extend(remember.map(Write::Remember));
        out.batch.push(new_event(EventName::SessionCreated, &id, None, now));
        out.effects.push(Effect::Forked(id));
    }
}

fn new_event(name: EventName, session: &SessionId, detail: Option<serde_json::Value>, now: &Now<'_>) -> Write {
    Write::AddEvent(Box::new(NewEvent {
        name,
        at: now.at,
        session: Some(session.clone()),
        turn: None,
        item: None,
        detail,
    }))
}
