//! What Codex says: that it is up or gone, and whom a report is about.

use agent::{Answer, Message, Reply, Report, Route, What};
use store::{Batch, NewEvent, Write};
use tokio::sync::mpsc;
use types::{Decision, EventName, SessionId, ThreadId, Timestamp, agent::Backend};

use super::Hub;
use crate::{
    audited,
    mail::{Internal, Loaded, Mail},
    state::{Input, Up},
};

impl Hub {
    pub(super) async fn message(&mut self, message: Message, tell: &mpsc::UnboundedSender<Internal>) {
        let first = !std::mem::replace(&mut self.known.told, true);
        match message {
            Message::Up { agent, backend, capabilities, attached } => {
                let again = std::mem::replace(&mut self.known.started, true);
                let name = match (attached, again) {
                    (true, _) => EventName::AgentAttached,
                    (false, true) => EventName::AgentRestarted,
                    (false, false) => EventName::AgentStarted,
                };
                self.agent_event(name, None).await;
                let up = Up { id: agent, backend, capabilities, attached };
                self.known.agent = Some(up.clone());
                self.known.hopeless = None;
                self.restarts.over();
                self.broadcast(|| Input::AgentUp(up.clone()));
                if first {
                    self.take_over(attached.then_some(&up), tell).await;
                }
            }
            Message::Down { agent, error, retrying } => {
                if agent.is_some() {
                    self.agent_event(EventName::AgentExited, Some(&error)).await;
                }
                self.known.agent = None;
                self.restarts.over();
                self.known.hopeless = (!retrying).then(|| error.clone());
                self.known.working.clear();
                self.known.forks.clear();
                self.known.sessions.clear();
                self.known.threads.clear();
                if first {
                    self.take_over(None, tell).await;
                }
                self.broadcast(|| Input::AgentDown { error: error.clone(), retrying });
            }
            Message::Report(report) => self.report(report),
        }
    }

    fn report(&mut self, report: Report) {
        if let What::Answer(id, answer) = &report.what
            && let Some(reply) = self.known.queries.remove(id)
        {
            let _ = reply.send(answer.clone());
            self.port.ack(&report.agent, report.seq);
            return;
        }
        let session = match &report.route {
            Route::Thread(thread) => self.known.sessions.get(thread).cloned(),
            Route::Ask(id) => self.known.asks.get(id).cloned(),
        };
        let Some(session) = session else {
            self.unclaimed(&report);
            return;
        };
        let current = self.known.agent.as_ref().is_some_and(|up| up.id == report.agent);
        match &report.what {
            What::Answer(id, answer) => {
                // A call of mcp-server reports under its ask until its turn ends; app-server reports under the thread.
                let by_ask = self.known.agent.as_ref().is_some_and(|up| up.backend == Backend::McpServer);
                let goes_on = by_ask && matches!(answer, Ok(Answer::Turn { .. }));
                if !goes_on {
                    self.known.asks.remove(id);
                }
                if answer.is_err() && self.known.working.get(&session) == Some(id) {
                    self.known.working.remove(&session);
                }
                let fork = self.known.forks.remove(id);
                if let (Ok(Answer::Thread { thread: Some(thread), .. }), true, false) = (answer, current, fork) {
                    self.loaded(thread.clone(), session.clone());
                }
            }
            What::Named { thread, .. } if current => self.loaded(thread.clone(), session.clone()),
            What::TurnEnded { .. } => {
                // The end of a turn that was given up is about another thread.
                let its_own = match &report.route {
                    Route::Thread(thread) => {
                        self.known.threads.get(&session).is_none_or(|known| known.thread == *thread)
                    }
                    Route::Ask(id) => self.known.working.get(&session) == Some(id),
                };
                if its_own {
                    self.known.working.remove(&session);
                }
                if let Route::Ask(id) = &report.route {
                    self.known.asks.remove(id);
                }
            }
            _ => {}
        }
        if self.known.slots.contains_key(&session) {
            self.tell(&session, Mail::Input(Input::Report(report)));
        } else {
            self.unclaimed(&report);
        }
    }

    /// Nobody is awake whom this is about. Codex waits for ever for the answer to a question, so it gets one.
    fn unclaimed(&self, report: &Report) {
        if let What::Approval(question) = &report.what {
            tracing::warn!(kind = ?question.kind, "a question of Codex's that is about no running turn was declined");
            let reply = Reply::Decide(Decision::Decline);
            self.port.reply(&report.agent, question.request.clone(), reply);
        }
        self.port.ack(&report.agent, report.seq);
    }

    pub(super) fn loaded(&mut self, thread: ThreadId, session: SessionId) {
        let base = store::Base::default();
        self.known.threads.insert(session.clone(), Loaded { thread: thread.clone(), base });
        self.known.sessions.insert(thread, session);
    }

    async fn agent_event(&self, name: EventName, error: Option<&str>) {
        let mut batch = Batch::default();
        let detail = serde_json::json!({"agent": self.port.info(), "error": error});
        batch.push(Write::AddEvent(Box::new(NewEvent {
            name,
            at: Timestamp::now(),
            session: None,
            turn: None,
            item: None,
            detail: Some(detail),
        })));
        audited::note(&self.audit, &batch);
        if let Err(error) = self.store.commit(batch).await {
            tracing::warn!(%error, %name, "an event of the agent can't be stored");
        }
        self.feed.happened();
    }
}
