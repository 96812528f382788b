//! How a session goes: what runs in it is stopped, Codex's own record is removed when that was asked for, and in one commit
//! everything of ours is gone. An event tells what it was.

use agent::{Answer, Ask, AskError, Reply, Report, What};
use serde_json::json;
use store::{NewEvent, Write};
use types::{Code, Decision, EventName, ThreadId};

use super::{Effect, Input, Leaving, Now, Output, State, Stop};
use crate::Refusal;

impl State {
    /// The session is to go; [`Effect::Left`] says when it has. With `threads` Codex's records of these go first, and that of
    /// its current thread, which it may have got since.
    pub(crate) fn delete(
        &mut self,
        threads: Option<Vec<ThreadId>>,
        now: &Now<'_>,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        if self.leaving.is_some() {
            return Ok(());
        }
        if threads.is_some() {
            let refuse = |code, detail: String| Err(Refusal::new(code, detail).of_session(&self.session.id));
            match &self.agent {
                Some(agent) if agent.capabilities.delete => {}
                Some(_) => {
                    let detail = "this version of Codex can't remove a thread; nothing was deleted. Leave `thread` out to \
                                  delete only what codexd has";
                    return refuse(Code::NotSupported, detail.to_owned());
                }
                None => return refuse(Code::AgentUnavailable, "Codex is not running; nothing was deleted".to_owned()),
            }
        }
        if self.forking.is_some() {
            let detail = "a fork of the session is being made; try again in a moment";
            return Err(Refusal::new(Code::TurnActive, detail).of_session(&self.session.id));
        }
        self.leaving = Some(Leaving {
            records: threads.is_some(),
            threads: threads.unwrap_or_default().into(),
            ask: None,
            gone: false,
        });
        if self.active.is_some() {
            self.stop(Stop::Asked, false, now, out);
        } else {
            self.leave(now, out);
        }
        Ok(())
    }

    /// The next step, when nothing runs.
    pub(super) fn leave(&mut self, now: &Now<'_>, out: &mut Output) {
        let current = self.session.thread_id.clone();
        let Some(leaving) = &mut self.leaving else { return };
        if let Some(current) = current.filter(|current| leaving.records && !leaving.threads.contains(current)) {
            leaving.threads.push_back(current);
        }
        if let Some(thread) = leaving.threads.front().cloned() {
            let ask = self.ask(Ask::DeleteThread { thread }, now, out);
            if ask.is_none() {
                self.stay(Code::AgentUnavailable, "Codex ended before it removed the thread", now, out);
            } else if let Some(leaving) = &mut self.leaving {
                leaving.ask = ask;
            }
            return;
        }
        // Which one it was, and nothing of what was in it.
        let detail = json!({ "sessionId": self.session.id });
        out.batch.push(Write::DeleteSession(self.session.id.clone()));
        // It points to nothing, so that it outlives the session.
        out.batch.push(Write::AddEvent(Box::new(NewEvent {
            name: EventName::SessionDeleted,
            at: now.at,
            session: None,
            turn: None,
            item: None,
            detail: Some(detail),
        })));
        if let Some(leaving) = &mut self.leaving {
            leaving.gone = true;
        }
        self.queue.clear();
        self.sweeps.clear();
        self.late_steers.clear();
        self.loaded = false;
        out.seen = None;
        out.effects.push(Effect::Left(Ok(())));
    }

    pub(super) fn gone(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.gone)
    }

    /// What Codex still says of a session that is gone. A question must have an answer.
    pub(super) fn unheard(input: Input, out: &mut Output) {
        let Input::Report(Report { agent, seq, what, .. }) = input else { return };
        if let What::Approval(question) = what {
            let reply = Reply::Decide(Decision::Decline);
            out.effects.push(Effect::Reply { agent: agent.clone(), request: question.request, reply });
        }
        out.effects.push(Effect::Ack { agent, seq });
    }

    /// Codex answered whether its record of a thread is gone.
    pub(super) fn thread_removed(&mut self, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.ask = None;
        match answer {
            Ok(_) | Err(AskError::NoRecord(_)) => {
                let removed = leaving.threads.pop_front();
                if removed.is_some() && removed == self.session.thread_id {
                    self.abandon_thread(out);
                }
                self.leave(now, out);
            }
            Err(AskError::Exited { .. }) => {
                self.stay(Code::AgentUnavailable, "Codex ended before it removed the thread", now, out)
            }
            Err(AskError::Timeout { .. }) => {
                self.stay(Code::AgentTimeout, "Codex did not remove the thread in time", now, out)
            }
            Err(error) => self.stay(Code::AgentError, &format!("Codex did not remove the thread: {error}"), now, out),
        }
    }

    /// It can't go: what waited in it is held, as after an interrupted turn.
    fn stay(&mut self, code: Code, why: &str, now: &Now<'_>, out: &mut Output) {
        self.leaving = None;
        self.hold(now, out);
        let detail = format!("{why}; the session is still there");
        out.effects.push(Effect::Left(Err(Refusal::new(code, detail).of_session(&self.session.id))));
    }
}
