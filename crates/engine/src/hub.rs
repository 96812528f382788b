//! One task that knows who is awake: it wakes sessions, carries mail to them, and finds out whom a line of Codex's is about.
//!
//! It alone sends to a session's mailbox, so it knows when one is empty: a session that asks to be put to rest is closed only
//! if it has handled everything that was ever sent to it. Asks go through here too, so that who asked is known before the
//! answer can come. It never waits for the disk on behalf of a session, nor for a session: what one has no room for waits here, and
//! Codex is not listened to meanwhile, but calls still find their sessions.

mod hearing;

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use agent::{Answer, Ask, AskError, Message, Port};
use audit::Audit;
use store::{NewSession, Store, StoreError};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::{sleep, sleep_until},
};
use tokio_util::task::TaskTracker;
use types::{AgentId, AskId, Code, SessionId, ThreadId, Timestamp};

use crate::{
    Policy, Refusal, asks,
    feed::Feed,
    folders::Folders,
    mail::{Birth, Internal, Loaded, Mail},
    recovery,
    restart::{Restarts, Wish},
    session::Task,
    state::{Bounds, Input, Up},
    stats::Stats,
};

/// Mail that one session has not taken yet: calls, and beside them reports. Beyond that a call is refused, and Codex is not
/// listened to for a while.
const MAILBOX: usize = 1024;

/// How often it is looked whether Codex is gone for good while it is not listened to.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to read what the last daemon left.
const TAKE_OVER_AGAIN: Duration = Duration::from_millis(500);

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
    /// How many turns Codex runs.
    Running(oneshot::Sender<usize>),
    /// Codex is to be started anew. Answered when that is under way.
    Restart {
        by: String,
        drain: bool,
        reply: oneshot::Sender<()>,
    },
    /// A question to Codex that is about no session, and of which nothing is kept.
    Query {
        ask: Ask,
        reply: oneshot::Sender<Result<Answer, AskError>>,
    },
}

struct Slot {
    calls: mpsc::Sender<Mail>,
    reports: mpsc::Sender<Mail>,
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
    pub(crate) folders: Folders,
    pub(crate) audit: Audit,
    pub(crate) restarts: Restarts,
    pub(crate) known: Known,
}

/// What the hub remembers.
#[derive(Default)]
pub(crate) struct Known {
    slots: HashMap<SessionId, Slot>,
    /// What sessions had no room for, in order.
    late: VecDeque<(SessionId, Mail)>,
    agent: Option<Up>,
    /// Why waiting for an agent makes no sense.
    hopeless: Option<String>,
    /// The threads that the agent that is up has loaded, both ways.
    sessions: HashMap<ThreadId, SessionId>,
    threads: HashMap<SessionId, Loaded>,
    asks: HashMap<AskId, SessionId>,
    /// Those of them that make a copy of a thread.
    forks: HashSet<AskId>,
    /// The sessions whose turns Codex runs, and by which ask.
    working: HashMap<SessionId, AskId>,
    /// A process was up before.
    started: bool,
    /// It is known whether a process outlived the last daemon.
    told: bool,
    /// Who waits for the answer to a query. Their numbers go down, from minus the time of the first one: those of asks go up.
    queries: HashMap<AskId, oneshot::Sender<Result<Answer, AskError>>>,
    last_query: i64,
}

impl Hub {
    /// Runs until the agent is gone for good, then lets every session finish.
    pub(crate) async fn run(mut self) {
        let (tell, mut internal) = mpsc::unbounded_channel();
        loop {
            let late = self.known.late.front().and_then(|(session, _)| self.known.slots.get(session));
            let late = late.map(|slot| slot.reports.clone());
            let listens = self.known.late.is_empty();
            let overdue = self.restarts.until();
            tokio::select! {
                // What sessions tell comes first: it is what the others are about.
                biased;
                Some(note) = internal.recv() => self.internal(note),
                permit = room(late), if !listens => {
                    // Without room for ever the session is gone.
                    if let (Some((_, mail)), Some(permit)) = (self.known.late.pop_front(), permit) {
                        permit.send(mail);
                    }
                }
                message = self.messages.recv(), if listens => match message {
                    Some(message) => self.message(message, &tell).await,
                    None => break,
                },
                () = sleep_until(overdue.unwrap_or_else(Instant::now).into()), if overdue.is_some() => {
                    let why = self.restarts.overdue();
                    self.port.restart(self.known.agent.as_ref().map(|up| &up.id), false, &why);
                }
                () = sleep(LOOK_EVERY), if !listens && self.messages.is_closed() && self.messages.is_empty() => break,
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
                self.call_on(&session, mail);
            }
            Call::Create { session, mail } => {
                let id = session.session.id.clone();
                self.wake(id.clone(), Birth::New(session), tell);
                self.call_on(&id, mail);
            }
            Call::Running(reply) => drop(reply.send(self.known.working.len())),
            Call::Restart { by, drain, reply } => {
                self.restart(&by, drain);
                let _ = reply.send(());
            }
            Call::Reload => {
                let awake: Vec<SessionId> = self.known.slots.keys().cloned().collect();
                for session in awake {
                    self.tell(&session, Mail::Reload);
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

    /// Somebody wants another Codex. Where none is up, nothing runs that could end first.
    fn restart(&mut self, by: &str, drain: bool) {
        let agent = self.known.agent.as_ref().map(|up| up.id.clone());
        let drain = drain && agent.is_some();
        let wish = self.restarts.want(by, drain, Instant::now(), Timestamp::now());
        if wish == Wish::Known {
            return;
        }
        tracing::info!(by, drain, "Codex is to be started anew");
        if wish == Wish::Drain {
            self.broadcast(|| Input::Drain);
        }
        self.port.restart(agent.as_ref(), drain, &format!("{by} asked for a restart"));
    }

    /// Wakes the sessions with work of before. Those whose turn runs in the process that outlived the last daemon hear of it from now on.
    async fn take_over(&mut self, alive: Option<&Up>, tell: &mpsc::UnboundedSender<Internal>) {
        let alive = alive.map(|up| &up.id);
        // Whatever else Codex says has to wait until it is known whom it is about.
        while let Err(error) = self.take_over_from_disk(alive, tell).await {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::error!(%error, "what the last daemon left can't be read; trying again");
            tokio::time::sleep(TAKE_OVER_AGAIN).await;
        }
    }

    async fn take_over_from_disk(
        &mut self,
        alive: Option<&AgentId>,
        tell: &mpsc::UnboundedSender<Internal>,
    ) -> Result<(), StoreError> {
        if let Err(error) = recovery::forget_asks(&self.store, alive).await {
            // They are in nobody's way.
            tracing::warn!(%error, "what was asked of a Codex that is gone is not forgotten yet");
        }
        for ask in self.store.pending_asks().await? {
            if ask.meaning == asks::FORK {
                self.known.forks.insert(ask.id);
            }
            self.known.asks.insert(ask.id, ask.session);
        }
        for session in self.store.unfinished_sessions().await? {
            let running = self.store.running(&session).await?;
            if running.is_none() && self.store.unfinished_turns(&session).await?.iter().all(|waiting| waiting.turn.held)
            {
                // It waits for somebody, not for Codex.
                continue;
            }
            if let Some(running) = running
                && running.turn.agent.as_ref() == alive
                && alive.is_some()
            {
                self.known.working.insert(session.clone(), running.turn.ask.unwrap_or(AskId(0)));
                self.known.asks.extend(running.turn.ask.map(|ask| (ask, session.clone())));
                if let Some(thread) = running.turn.thread {
                    self.loaded(thread, session.clone());
                }
            }
            if !self.known.slots.contains_key(&session) {
                self.wake(session.clone(), Birth::Stored(session), tell);
            }
        }
        Ok(())
    }

    fn wake(&mut self, id: SessionId, birth: Birth, tell: &mpsc::UnboundedSender<Internal>) {
        if self.known.slots.len() >= self.bounds.awake {
            return;
        }
        let ((calls, inbox), (told, reports)) = (mpsc::channel(MAILBOX), mpsc::channel(MAILBOX));
        let mut first = Vec::new();
        if self.restarts.drains() {
            first.push(Input::Drain);
        }
        if let Some(up) = &self.known.agent {
            first.push(Input::AgentUp(up.clone()));
        } else if let Some(error) = &self.known.hopeless {
            first.push(Input::AgentDown { error: error.clone(), retrying: false });
        }
        let task = Task {
            store: self.store.clone(),
            port: self.port.clone(),
            policy: self.policy.clone(),
            audit: self.audit.clone(),
            bounds: self.bounds,
            hub: tell.clone(),
            inbox,
            reports,
            ended: watch::Sender::new(None),
            stats: self.stats.clone(),
            feed: self.feed.clone(),
            folders: self.folders.clone(),
        };
        let loaded = self.known.threads.get(&id).cloned();
        self.tasks.spawn(task.run(birth, loaded, first));
        self.known.slots.insert(id, Slot { calls, reports: told, sent: 0 });
        self.stats.awake.store(self.known.slots.len() as u64, Ordering::Relaxed);
    }

    /// Carries a call to a session that is awake.
    fn call_on(&mut self, session: &SessionId, mail: Mail) {
        let Some(slot) = self.known.slots.get_mut(session) else {
            let awake = self.bounds.awake;
            let detail = format!("{awake} sessions have work already; try again when some have finished");
            mail.refuse(Refusal::new(Code::Overloaded, detail));
            return;
        };
        match slot.calls.try_send(mail) {
            Ok(()) => slot.sent += 1,
            Err(TrySendError::Full(mail) | TrySendError::Closed(mail)) => {
                let detail = "too much is asked of the session at once; try again in a moment";
                mail.refuse(Refusal::new(Code::Overloaded, detail).of_session(session));
            }
        }
    }

    /// Tells a session something, behind what it was told before.
    fn tell(&mut self, session: &SessionId, mail: Mail) {
        let Some(slot) = self.known.slots.get_mut(session) else { return };
        slot.sent += 1;
        let mail = if self.known.late.is_empty() {
            match slot.reports.try_send(mail) {
                Err(TrySendError::Full(mail)) => mail,
                _ => return,
            }
        } else {
            mail
        };
        self.known.late.push_back((session.clone(), mail));
    }

    fn internal(&mut self, note: Internal) {
        match note {
            Internal::Ask { session, agent, id, ask } => {
                match &*ask {
                    Ask::StartTurn(_) | Ask::Compact { .. } => drop(self.known.working.insert(session.clone(), id)),
                    // Whose the copy is, the session says itself.
                    Ask::Fork { .. } => drop(self.known.forks.insert(id)),
                    _ => {}
                }
                self.known.asks.insert(id, session);
                self.port.ask(&agent, id, *ask);
            }
            Internal::Loaded { session, loaded } => {
                self.known.sessions.insert(loaded.thread.clone(), session.clone());
                self.known.threads.insert(session, loaded);
            }
            Internal::Unstoppable { session, agent, force } => {
                let alone = self.known.working.keys().all(|working| *working == session);
                if force || alone {
                    tracing::warn!(%session, "Codex does not stop a turn; it is started anew");
                    let why = format!("a turn of session {session} had to be stopped, and Codex did not stop it");
                    self.port.replace(&agent, &why);
                } else {
                    self.tell(&session, Mail::Input(Input::LeftRunning));
                }
            }
            Internal::Retire { session, handled, loaded } => {
                if let Entry::Occupied(slot) = self.known.slots.entry(session)
                    && slot.get().sent == handled
                {
                    // What the session knows of its thread is truer than what was seen to pass by.
                    let (session, _) = slot.remove_entry();
                    self.known.working.remove(&session);
                    self.stats.awake.store(self.known.slots.len() as u64, Ordering::Relaxed);
                    match loaded {
                        Some(loaded) => self.known.threads.insert(session, loaded),
                        None => self.known.threads.remove(&session),
                    };
                }
            }
        }
    }

    fn broadcast(&mut self, input: impl Fn() -> Input) {
        let awake: Vec<SessionId> = self.known.slots.keys().cloned().collect();
        for session in awake {
            self.tell(&session, Mail::Input(input()));
        }
    }
}

/// Room for what a session is told; `None` when there never will be.
async fn room(reports: Option<mpsc::Sender<Mail>>) -> Option<mpsc::OwnedPermit<Mail>> {
    reports?.reserve_owned().await.ok()
}
