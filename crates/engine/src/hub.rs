//! One task that knows who is awake: it wakes sessions, carries mail to them, and finds out whom a line of Codex's is about.
//!
//! It alone sends to a session's mailbox, so it knows when one is empty: a session that asks to be put to rest is closed only
//! if it has handled everything that was ever sent to it. Asks go through here too, so that who asked is known before the
//! answer can come. It never waits for the disk on behalf of a session.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, atomic::Ordering},
};

use agent::{Answer, Ask, AskError, Message, Port, Reply, Report, Route, What};
use store::{Batch, NewEvent, NewSession, Store, Write};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use types::{AskId, Code, Decision, EventName, SessionId, ThreadId, Timestamp, agent::Backend};

use crate::{
    Policy, Refusal,
    feed::Feed,
    mail::{Birth, Internal, Loaded, Mail},
    session::Task,
    state::{Bounds, Input, Up},
    stats::Stats,
};

/// Mail that one session has not taken yet; beyond that Codex is not listened to for a while.
const MAILBOX: usize = 1024;

/// What the handle asks.
pub(crate) enum Call {
    Deliver {
        session: SessionId,
        mail: Mail,
    },
    Create {
        session: Box<NewSession>,
        mail: Mail,
    },
    /// Sessions were changed on disk, beside their tasks.
    Reload,
    /// A question to Codex that is about no session, and of which nothing is kept.
    Query {
        ask: Ask,
        reply: oneshot::Sender<Result<Answer, AskError>>,
    },
}

struct Slot {
    mailbox: mpsc::Sender<Mail>,
    sent: u64,
}

/// See the module.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) bounds: Bounds,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stats: Arc<Stats>,
    pub(crate) feed: Feed,
    pub(crate) known: Known,
}

/// What the hub remembers.
#[derive(Default)]
pub(crate) struct Known {
    slots: HashMap<SessionId, Slot>,
    agent: Option<Up>,
    /// Why waiting for an agent makes no sense.
    hopeless: Option<String>,
    /// The threads that the agent that is up has loaded, both ways.
    sessions: HashMap<ThreadId, SessionId>,
    threads: HashMap<SessionId, Loaded>,
    asks: HashMap<AskId, SessionId>,
    /// Who waits for the answer to a query. Their numbers go down, from minus the time of the first one: those of asks go up.
    queries: HashMap<AskId, oneshot::Sender<Result<Answer, AskError>>>,
    last_query: i64,
}

impl Hub {
    /// Runs until the agent is gone for good, then lets every session finish.
    pub(crate) async fn run(mut self) {
        let (tell, mut internal) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                // What sessions tell comes first: it is what the others are about.
                biased;
                Some(note) = internal.recv() => self.internal(note),
                message = self.messages.recv() => match message {
                    Some(message) => self.message(message).await,
                    None => break,
                },
                Some(call) = self.calls.recv() => self.call(call, &tell).await,
            }
        }
        self.calls.close();
        self.known.slots.clear();
    }

    async fn call(&mut self, call: Call, tell: &mpsc::UnboundedSender<Internal>) {
        match call {
            Call::Deliver { session, mail } => {
                if !self.known.slots.contains_key(&session) {
                    self.wake(session.clone(), Birth::Stored(session.clone()), tell);
                }
                self.send(&session, mail).await;
            }
            Call::Create { session, mail } => {
                let id = session.session.id.clone();
                self.wake(id.clone(), Birth::New(session), tell);
                self.send(&id, mail).await;
            }
            Call::Reload => {
                let awake: Vec<SessionId> = self.known.slots.keys().cloned().collect();
                for session in awake {
                    self.send(&session, Mail::Reload).await;
                }
            }
            Call::Query { ask, reply } => match &self.known.agent {
                Some(up) => {
                    // A Codex that outlived the codexd before us may still answer what that asked, under numbers of its own.
                    if self.known.last_query == 0 {
                        self.known.last_query = -Timestamp::now().as_millis();
                    }
                    self.known.last_query -= 1;
                    let id = AskId(self.known.last_query);
                    self.known.queries.insert(id, reply);
                    self.port.ask(&up.id, id, ask);
                }
                None => {
                    let _ = reply.send(Err(AskError::Exited { heard: false }));
                }
            },
        }
    }

    fn wake(&mut self, id: SessionId, birth: Birth, tell: &mpsc::UnboundedSender<Internal>) {
        if self.known.slots.len() >= self.bounds.awake {
            return;
        }
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let mut first = Vec::new();
        if let Some(up) = &self.known.agent {
            first.push(Input::AgentUp(up.clone()));
        } else if let Some(error) = &self.known.hopeless {
            first.push(Input::AgentDown { error: error.clone(), retrying: false });
        }
        let task = Task {
            store: self.store.clone(),
            port: self.port.clone(),
            policy: self.policy.clone(),
            bounds: self.bounds,
            hub: tell.clone(),
            inbox,
            ended: watch::Sender::new(None),
            stats: self.stats.clone(),
            feed: self.feed.clone(),
        };
        let loaded = self.known.threads.get(&id).cloned();
        self.tasks.spawn(task.run(birth, loaded, first));
        self.known.slots.insert(id, Slot { mailbox, sent: 0 });
        self.stats.awake.store(self.known.slots.len() as u64, Ordering::Relaxed);
    }

    async fn send(&mut self, session: &SessionId, mail: Mail) {
        if let Some(slot) = self.known.slots.get_mut(session) {
            slot.sent += 1;
            let _ = slot.mailbox.send(mail).await;
        } else {
            let awake = self.bounds.awake;
            let detail = format!("{awake} sessions have work already; try again when some have finished");
            mail.refuse(Refusal::new(Code::Overloaded, detail));
        }
    }

    fn internal(&mut self, note: Internal) {
        match note {
            Internal::Ask { session, agent, id, ask } => {
                self.known.asks.insert(id, session);
                self.port.ask(&agent, id, *ask);
            }
            Internal::Retire { session, handled, loaded } => {
                if let Entry::Occupied(slot) = self.known.slots.entry(session)
                    && slot.get().sent == handled
                {
                    // What the session knows of its thread is truer than what was seen to pass by.
                    let (session, _) = slot.remove_entry();
                    self.stats.awake.store(self.known.slots.len() as u64, Ordering::Relaxed);
                    match loaded {
                        Some(loaded) => self.known.threads.insert(session, loaded),
                        None => self.known.threads.remove(&session),
                    };
                }
            }
        }
    }

    async fn message(&mut self, message: Message) {
        match message {
            Message::Up { agent, backend, capabilities, attached: _ } => {
                self.agent_event(EventName::AgentStarted, None).await;
                let up = Up { id: agent, backend, capabilities };
                self.known.agent = Some(up.clone());
                self.known.hopeless = None;
                self.broadcast(|| Input::AgentUp(up.clone())).await;
            }
            Message::Down { agent, error, retrying } => {
                if agent.is_some() {
                    self.agent_event(EventName::AgentExited, Some(&error)).await;
                }
                self.known.agent = None;
                self.known.hopeless = (!retrying).then(|| error.clone());
                self.known.sessions.clear();
                self.known.threads.clear();
                self.broadcast(|| Input::AgentDown { error: error.clone(), retrying }).await;
            }
            Message::Report(report) => self.report(report).await,
        }
    }

    async fn report(&mut self, report: Report) {
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
                if let (Ok(Answer::Thread { thread: Some(thread), .. }), true) = (answer, current) {
                    self.loaded(thread.clone(), session.clone());
                }
            }
            What::Named { thread, .. } if current => self.loaded(thread.clone(), session.clone()),
            What::TurnEnded { .. } => {
                if let Route::Ask(id) = &report.route {
                    self.known.asks.remove(id);
                }
            }
            _ => {}
        }
        if self.known.slots.contains_key(&session) {
            self.send(&session, Mail::Input(Input::Report(report))).await;
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

    fn loaded(&mut self, thread: ThreadId, session: SessionId) {
        let base = store::Base::default();
        self.known.threads.insert(session.clone(), Loaded { thread: thread.clone(), base });
        self.known.sessions.insert(thread, session);
    }

    async fn broadcast(&mut self, input: impl Fn() -> Input) {
        for slot in self.known.slots.values_mut() {
            slot.sent += 1;
            let _ = slot.mailbox.send(Mail::Input(input())).await;
        }
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
        if let Err(error) = self.store.commit(batch).await {
            tracing::warn!(%error, %name, "an event of the agent can't be stored");
        }
        self.feed.happened();
    }
}
