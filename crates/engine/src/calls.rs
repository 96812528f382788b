//! What can be asked of the engine: a cheap handle, whose channels are its own.

use std::{sync::Arc, time::Duration};

use agent::{Answer, Ask, AskError, Message, Port};
use audit::Audit;
use serde_json::Value;
use store::{Found, SessionCursor, SessionFilter, Store, StoreError, TurnCursor};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use types::{
    Code, EventId, Resumed, Session, SessionId, Turn, TurnId,
    agent::{Model, Restart},
};

use crate::{
    OnExpiry, Policy, Reader, Refusal,
    feed::Feed,
    folders::Folders,
    hub::{Call, Hub, Known},
    idempotency::Claims,
    mail::{Ended, Mail},
    prompt::LABELS,
    recovery,
    restart::Restarts,
    state::{Bounds, Finished},
    stats::{Counts, Stats},
    work::Submitted,
    worktrees::Worktrees,
};

/// Calls that wait for the hub.
const CALLS: usize = 1024;

/// The engine's own settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// What principals may ask.
    pub policy: Policy,
    /// Where it is noted what happens by itself.
    pub audit: Audit,
    /// The most characters of saved conversation that a new thread is given.
    pub max_inject_chars: usize,
    /// How long a turn may take.
    pub turn_limit: Duration,
    /// How many turns may wait in one session.
    pub queue_limit: usize,
    /// How many sessions may have work at once.
    pub awake_limit: usize,
    /// How long Codex waits for the answer to a question.
    pub approval_limit: Duration,
    /// What becomes of a question that nobody answers.
    pub on_expiry: OnExpiry,
    /// How long a turn that is told to stop may take, until Codex is started anew for it or it is given up.
    pub stop_grace: Duration,
    /// Turns that waited when the last daemon ended are held.
    pub hold: bool,
    /// Which git makes worktrees, and where.
    pub git: worktree::Git,
    /// How long a session stays awake when it has nothing to do: somebody who goes on at once finds it ready.
    pub linger: Duration,
}

/// A handle on the engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) store: Store,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) claims: Claims,
    pub(crate) worktrees: Worktrees,
    tasks: TaskTracker,
    stats: Arc<Stats>,
    feed: Feed,
    pub(crate) restart: watch::Receiver<Option<Restart>>,
}

impl Engine {
    /// Starts. What the last daemon left is settled once it is known whether its Codex is still there. `messages` is what the agent behind `port` says.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn start(
        store: Store,
        port: Arc<dyn Port>,
        messages: mpsc::Receiver<Message>,
        options: Options,
    ) -> Result<Self, StoreError> {
        options.policy.grants.read(&store).await?;
        if options.hold {
            recovery::hold(&store).await?;
        }
        let worktrees = Worktrees::new(options.git, store.clone());
        let leftovers = worktrees.leftovers().await?;
        let (calls, inbox) = mpsc::channel(CALLS);
        let policy = Arc::new(options.policy);
        let (tasks, stats) = (TaskTracker::new(), Arc::new(Stats::default()));
        let feed = Feed::new(store.clone());
        let bounds = Bounds {
            queue: options.queue_limit,
            turn: options.turn_limit,
            inject_chars: options.max_inject_chars,
            awake: options.awake_limit,
            linger: options.linger,
            approval: options.approval_limit,
            on_expiry: options.on_expiry,
            stop_grace: options.stop_grace,
        };
        let restarts = Restarts::new(bounds.turn);
        let restart = restarts.watch();
        let hub = Hub {
            store: store.clone(),
            port: port.clone(),
            policy: policy.clone(),
            audit: options.audit,
            bounds,
            calls: inbox,
            messages,
            tasks: tasks.clone(),
            stats: stats.clone(),
            feed: feed.clone(),
            folders: Folders::default(),
            restarts,
            known: Known::default(),
        };
        tasks.spawn(hub.run());
        // Nobody waits for it, at a stop neither: what is not done is left to the next start.
        tokio::spawn(worktrees.clone().tidy(leftovers));
        Ok(Self { calls, store, port, policy, claims: Claims::default(), worktrees, tasks, stats, feed, restart })
    }

    /// Waits until every session has written down how it ended. Call it when the agent has been stopped.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The operator's settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How the turn ended; `None` when it has not within `limit`, or will not because codexd stops.
    ///
    /// # Errors
    /// When the store can't be read, or the turn is gone with its session.
    pub async fn wait(&self, submitted: &Submitted, limit: Duration) -> Result<Option<Arc<Finished>>, Refusal> {
        let until = Instant::now() + limit;
        let mut ended = match &submitted.ended {
            Some(ended) => ended.clone(),
            None => self.watch(&submitted.session).await?,
        };
        loop {
            // A task that is gone has written down how its turns ended.
            let over = !matches!(timeout_at(until, ended.changed()).await, Ok(Ok(())));
            let last = ended.borrow_and_update().clone();
            if let Some(last) = last.filter(|last| last.turn == submitted.turn) {
                return Ok(Some(last));
            }
            // Another one ended, perhaps after ours.
            let turn = self.turn(&submitted.turn).await?;
            if turn.status.ended() {
                let thread = self.session(submitted.session.as_str()).await?.thread_id;
                let (status, delivery, answer, error) = (turn.status, turn.delivery, turn.answer, turn.error);
                return Ok(Some(Arc::new(Finished { turn: turn.id, status, delivery, answer, error, thread })));
            }
            if over {
                return Ok(None);
            }
        }
    }

    /// The turn as it is when it has ended, or after `limit`.
    ///
    /// # Errors
    /// When there is no such turn, or the store can't be read.
    pub async fn turn_after(&self, turn: &TurnId, limit: Duration) -> Result<Turn, Refusal> {
        let found = self.turn(turn).await?;
        if found.status.ended() || limit.is_zero() {
            return Ok(found);
        }
        let submitted = Submitted { session: found.session_id, turn: found.id, ended: None };
        self.wait(&submitted, limit).await?;
        self.turn(turn).await
    }

    /// Something to wait on for the ends of a session's turns. One may have ended long ago: the first look comes at once.
    async fn watch(&self, session: &SessionId) -> Result<Ended, Refusal> {
        let (reply, answer) = oneshot::channel();
        let call = Call::Deliver { session: session.clone(), mail: Mail::Watch { reply } };
        let mut ended = self.call(call, answer).await?;
        ended.mark_changed();
        Ok(ended)
    }

    /// One turn, with its items.
    ///
    /// # Errors
    /// When there is no such turn, or the store can't be read.
    pub async fn turn(&self, turn: &TurnId) -> Result<Turn, Refusal> {
        let found = self.store.turn(turn).await?;
        found.ok_or_else(|| Refusal::new(Code::NoTurn, format!("there is no turn {turn}")))
    }

    /// A session, by its id or by that of any thread that it has had.
    ///
    /// # Errors
    /// When there is none, or the store can't be read.
    pub async fn session(&self, text: &str) -> Result<Session, Refusal> {
        let found = self.store.session_named(text, |stored| stored.session).await?;
        found.ok_or_else(|| Refusal::no_session(text))
    }

    /// A page of the sessions that a filter lets through, newest activity first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn sessions_page(
        &self,
        filter: SessionFilter,
        after: Option<SessionCursor>,
        limit: u32,
    ) -> Result<(Vec<Session>, Option<SessionCursor>), Refusal> {
        if filter.labels.len() > LABELS {
            return Err(Refusal::new(Code::BadRequest, format!("a session has at most {LABELS} labels")));
        }
        Ok(self.store.sessions_page(filter, after, limit).await?)
    }

    /// A page of a session's turns, with their items.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn turns_page(
        &self,
        session: &SessionId,
        newest_first: bool,
        after: Option<TurnCursor>,
        limit: u32,
    ) -> Result<(Vec<Turn>, Option<TurnCursor>), Refusal> {
        Ok(self.store.turns_page(session, newest_first, after, limit).await?)
    }

    /// How the threads of a session came back, oldest first, each with the turn that needed it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn resumes(&self, session: &SessionId) -> Result<Vec<(Option<TurnId>, Resumed)>, Refusal> {
        Ok(self.store.resumes(session).await?)
    }

    /// The sessions with the newest activity first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn sessions(&self, limit: u32) -> Result<Vec<Session>, Refusal> {
        Ok(self.store.sessions(limit).await?)
    }

    /// Sessions whose title or messages hold every word of the query.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn search(&self, query: &str, limit: u32) -> Result<Vec<Found>, Refusal> {
        Ok(self.store.search(query, limit).await?)
    }

    /// What was said in a session, oldest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn history(&self, session: &SessionId) -> Result<Vec<store::Message>, Refusal> {
        Ok(self.store.history(session).await?)
    }

    /// Reads what happens in one session, or everywhere: from behind an event, or from now on. A number that is not there yet is
    /// that of another store: it is taken for the last one.
    #[must_use]
    pub fn follow(&self, session: Option<SessionId>, after: Option<EventId>) -> Reader {
        let last = self.store.last_event();
        self.feed.reader(session, after.map_or(last, |after| after.min(last)))
    }

    /// Reads the events of all sessions from behind one, and no texts in progress. Unlike [`Engine::follow`] this makes no session
    /// write down at once what may wait: an event may come 50 ms later, and a turn costs what it costs when nobody watches.
    #[must_use]
    pub fn follow_events(&self, after: EventId) -> Reader {
        self.feed.reader_of_events(after.min(self.store.last_event()))
    }

    /// How many turns Codex runs now.
    pub async fn running(&self) -> usize {
        let (reply, answer) = oneshot::channel();
        if self.calls.send(Call::Running(reply)).await.is_err() {
            return 0;
        }
        answer.await.unwrap_or(0)
    }

    /// The number of the last event.
    #[must_use]
    pub fn last_event(&self) -> EventId {
        self.store.last_event()
    }

    /// What tells this store from another one whose events have the same numbers.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stats.read(self.store.commits())
    }

    /// Finds out whether the store can be written now.
    ///
    /// # Errors
    /// Why not.
    pub async fn writable(&self) -> Result<(), Refusal> {
        Ok(self.store.writable().await?)
    }

    /// The models that Codex offers.
    ///
    /// # Errors
    /// When Codex is not there, can't tell, or does not answer.
    pub async fn models(&self) -> Result<Vec<Model>, Refusal> {
        match self.query(Ask::Models).await? {
            Answer::Models(models) => Ok(models),
            _ => Err(Refusal::new(Code::AgentError, "Codex did not tell its models")),
        }
    }

    /// What is left of the account's rate limits, as Codex tells it.
    ///
    /// # Errors
    /// As [`Engine::models`]; [`Code::NotSupported`] when the login of Codex has none.
    pub async fn limits(&self) -> Result<Value, Refusal> {
        match self.query(Ask::Limits).await {
            Ok(Answer::Limits(limits)) => Ok(limits),
            Ok(_) => Err(Refusal::new(Code::AgentError, "Codex did not tell its limits")),
            // It says so when nobody is logged in, or with an API key.
            Err(refusal) if refusal.code == Code::AgentError => Err(Refusal { code: Code::NotSupported, ..refusal }),
            Err(refusal) => Err(refusal),
        }
    }

    async fn query(&self, ask: Ask) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call::Query { ask, reply }).await.map_err(|_| Refusal::shutting_down())?;
        let answer = answer.await.map_err(|_| Refusal::shutting_down())?;
        answer.map_err(|error| Refusal::new(code_of(&error), error.to_string()))
    }

    pub(crate) async fn call(
        &self,
        call: Call,
        answer: oneshot::Receiver<Result<Ended, Refusal>>,
    ) -> Result<Ended, Refusal> {
        self.calls.send(call).await.map_err(|_| Refusal::shutting_down())?;
        answer.await.map_err(|_| Refusal::shutting_down())?
    }
}

const fn code_of(error: &AskError) -> Code {
    match error {
        AskError::NotSupported => Code::NotSupported,
        AskError::Overloaded => Code::Overloaded,
        AskError::Timeout { .. } => Code::AgentTimeout,
        AskError::Exited { .. } => Code::AgentUnavailable,
        _ => Code::AgentError,
    }
}
