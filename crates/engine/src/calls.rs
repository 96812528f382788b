//! What can be asked of the engine: a cheap handle, whose channels are its own.

use std::{sync::Arc, time::Duration};

use agent::{Message, Port};
use store::{Found, NewTurn, Store, StoreError, StoredSession};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use types::{
    Code, ItemId, Origin, Principal, Session, SessionId, Timestamp, TitleSource, Turn, TurnId,
    agent::{AgentInfo, AgentStatus},
    auto_title, fold_title,
};

use crate::{
    Policy, Refusal,
    hub::{Call, Hub, Known},
    mail::{Ended, Mail},
    policy::{Overrides, Strictness},
    recovery,
    state::{Bounds, Finished},
};

/// The most characters that Codex takes as one prompt (measured, 0.153 and later: `max_chars`).
const PROMPT_CHARS: usize = 1_048_576;

/// Calls that wait for the hub.
const CALLS: usize = 1024;

/// The engine's own settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// What principals may ask.
    pub policy: Policy,
    /// The most characters of saved conversation that a new thread is given.
    pub max_inject_chars: usize,
    /// How long a turn may take.
    pub turn_limit: Duration,
    /// How many turns may wait in one session.
    pub queue_limit: usize,
    /// How many sessions may have work at once.
    pub awake_limit: usize,
    /// How long a session stays awake when it has nothing to do: somebody who goes on at once finds it ready.
    pub linger: Duration,
}

/// A session to make.
#[derive(Debug, Clone, Default)]
pub struct NewSession {
    /// Its first prompt.
    pub prompt: String,
    /// Its title; from the prompt without.
    pub title: Option<String>,
    /// What is to be different from the daemon's own settings.
    pub overrides: Overrides,
    /// Instructions for each of its threads.
    pub developer_instructions: Option<String>,
}

/// A session that was made.
#[derive(Debug, Clone)]
pub struct Started {
    /// Its first turn.
    pub first: Submitted,
    /// The overrides that were left out, by their names in the request.
    pub ignored: Vec<&'static str>,
}

/// A turn that was accepted, and is on disk.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// Its session.
    pub session: SessionId,
    /// Its id.
    pub turn: TurnId,
    /// The session's turns as they end.
    ended: Ended,
}

/// A handle on the engine.
#[derive(Clone)]
pub struct Engine {
    calls: mpsc::Sender<Call>,
    store: Store,
    port: Arc<dyn Port>,
    policy: Arc<Policy>,
    tasks: TaskTracker,
}

impl Engine {
    /// Settles what the last daemon left, then starts. `messages` is what the agent behind `port` says.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn start(
        store: Store,
        port: Arc<dyn Port>,
        messages: mpsc::Receiver<Message>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let interrupted = recovery::settle(&store).await?;
        if interrupted > 0 {
            tracing::warn!(interrupted, "turns were running when the last daemon ended; they are interrupted");
        }
        let (calls, inbox) = mpsc::channel(CALLS);
        let policy = Arc::new(options.policy);
        let tasks = TaskTracker::new();
        let bounds = Bounds {
            queue: options.queue_limit,
            turn: options.turn_limit,
            inject_chars: options.max_inject_chars,
            awake: options.awake_limit,
            linger: options.linger,
        };
        let hub = Hub {
            store: store.clone(),
            port: port.clone(),
            policy: policy.clone(),
            bounds,
            calls: inbox,
            messages,
            tasks: tasks.clone(),
            known: Known::default(),
        };
        tasks.spawn(hub.run());
        Ok(Self { calls, store, port, policy, tasks })
    }

    /// Waits until every session has written down how it ended. Call it when the agent has been stopped.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What is known of the agent.
    #[must_use]
    pub fn agent(&self) -> AgentInfo {
        self.port.info()
    }

    /// The operator's settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Makes a session and its first turn, in one commit.
    ///
    /// # Errors
    /// When the prompt or an override is refused, or the store can't take it.
    pub async fn create(
        &self,
        who: &Principal,
        origin: Origin,
        new: NewSession,
        strictness: Strictness,
    ) -> Result<Started, Refusal> {
        check_prompt(&new.prompt)?;
        self.check_agent()?;
        let granted = {
            let (policy, who, overrides) = (self.policy.clone(), who.clone(), new.overrides.clone());
            blocking(move || policy.grant(&who, &overrides, strictness)).await??
        };
        let at = Timestamp::now();
        let manual = new.title.as_deref().and_then(fold_title);
        let title_source = if manual.is_some() { TitleSource::Manual } else { TitleSource::Auto };
        let mut session = Session::new(SessionId::fresh(), granted.cwd, granted.sandbox, granted.approval_policy, at);
        session.title = manual.or_else(|| auto_title(&new.prompt)).unwrap_or_default();
        session.title_source = title_source;
        session.model = granted.model;
        let id = session.id.clone();
        let turn = new_turn(&id, new.prompt, who, origin, at);
        let turn_id = turn.id.clone();
        let session = Box::new(store::NewSession {
            session,
            principal: who.clone(),
            origin,
            developer_instructions: new.developer_instructions,
        });
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Submit { turn: Box::new(turn), reply };
        let ended = self.call(Call::Create { session, mail }, answer).await?;
        Ok(Started { first: Submitted { session: id, turn: turn_id, ended }, ignored: granted.ignored })
    }

    /// A new turn in a session; it waits when another one runs. `session` is a session id, or the id of any thread that the
    /// session has had.
    ///
    /// # Errors
    /// When there is no such session, its folder is gone or not allowed, its queue is full, or Codex can't be started.
    pub async fn submit(
        &self,
        who: &Principal,
        origin: Origin,
        session: &str,
        prompt: String,
    ) -> Result<Submitted, Refusal> {
        check_prompt(&prompt)?;
        self.check_agent()?;
        let (policy, asker) = (self.policy.clone(), who.clone());
        let look = move |stored: StoredSession| -> Result<SessionId, Refusal> {
            let Session { id, cwd, .. } = stored.session;
            policy.check_cwd(&asker, &cwd).map_err(|refusal| refusal.of_session(&id))?;
            Ok(id)
        };
        let looked = self.store.session_named(session, look).await?;
        let id = looked.ok_or_else(|| Refusal::no_session(session))??;
        let turn = new_turn(&id, prompt, who, origin, Timestamp::now());
        let turn_id = turn.id.clone();
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Submit { turn: Box::new(turn), reply };
        let ended = self.call(Call::Deliver { session: id.clone(), mail }, answer).await?;
        Ok(Submitted { session: id, turn: turn_id, ended })
    }

    /// How the turn ended; `None` when it has not within `limit`, or will not because codexd stops.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn wait(&self, submitted: &Submitted, limit: Duration) -> Result<Option<Arc<Finished>>, Refusal> {
        let until = Instant::now() + limit;
        let mut ended = submitted.ended.clone();
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

    /// A turn that was accepted earlier, to wait for.
    ///
    /// # Errors
    /// When there is no such session.
    pub async fn watch(&self, session: &SessionId, turn: &TurnId) -> Result<Submitted, Refusal> {
        let (reply, answer) = oneshot::channel();
        let call = Call::Deliver { session: session.clone(), mail: Mail::Watch { reply } };
        let mut ended = self.call(call, answer).await?;
        // It may have ended long ago: the first look comes at once.
        ended.mark_changed();
        Ok(Submitted { session: session.clone(), turn: turn.clone(), ended })
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

    /// Gives a session a title, and locks it. Returns the title as it is kept.
    ///
    /// # Errors
    /// When there is no such session or nothing is left of the title.
    pub async fn rename(&self, session: &str, title: &str) -> Result<String, Refusal> {
        let title = fold_title(title).ok_or_else(|| Refusal::new(Code::BadRequest, "the title is empty"))?;
        let found = self.session(session).await?;
        self.title(&found.id, title, TitleSource::Manual, true).await
    }

    /// Titles a session by its latest prompt, unless its title is locked and `force` is not given. Returns the title that it
    /// has then.
    ///
    /// # Errors
    /// When there is no such session.
    pub async fn autoname(&self, session: &str, force: bool) -> Result<String, Refusal> {
        let found = self.session(session).await?;
        if found.title_locked && !force {
            return Ok(found.title);
        }
        let turns = self.store.turns(&found.id).await?;
        let Some(title) = turns.last().and_then(|turn| auto_title(&turn.prompt)) else { return Ok(found.title) };
        self.title(&found.id, title, TitleSource::Auto, found.title_locked).await
    }

    async fn title(&self, id: &SessionId, title: String, source: TitleSource, locked: bool) -> Result<String, Refusal> {
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Title { title: title.clone(), source, locked, reply };
        self.call(Call::Deliver { session: id.clone(), mail }, answer).await?;
        Ok(title)
    }

    async fn call(&self, call: Call, answer: oneshot::Receiver<Result<Ended, Refusal>>) -> Result<Ended, Refusal> {
        self.calls.send(call).await.map_err(|_| Refusal::shutting_down())?;
        answer.await.map_err(|_| Refusal::shutting_down())?
    }

    /// Refuses work while Codex can't be started, so that nobody waits for nothing.
    fn check_agent(&self) -> Result<(), Refusal> {
        let info = self.port.info();
        if info.status != AgentStatus::Unavailable {
            return Ok(());
        }
        let why = info.last_error.unwrap_or_else(|| "nobody knows why".to_owned());
        Err(Refusal::new(Code::AgentUnavailable, format!("Codex is not running: {why}")))
    }
}

fn check_prompt(prompt: &str) -> Result<(), Refusal> {
    if prompt.trim().is_empty() {
        return Err(Refusal::new(Code::BadRequest, "the prompt is empty"));
    }
    // Counting is only worth it when it can matter: a character has at least one byte.
    if prompt.len() > PROMPT_CHARS && prompt.chars().count() > PROMPT_CHARS {
        let detail = format!(
            "the prompt has {} characters and Codex takes {PROMPT_CHARS}; put the rest in a file in the session's folder",
            prompt.chars().count()
        );
        return Err(Refusal::new(Code::InputTooLarge, detail));
    }
    Ok(())
}

fn new_turn(session: &SessionId, prompt: String, who: &Principal, origin: Origin, at: Timestamp) -> NewTurn {
    NewTurn {
        id: TurnId::fresh(),
        session: session.clone(),
        prompt_item: ItemId::fresh(),
        prompt,
        principal: who.clone(),
        origin,
        created_at: at,
    }
}

/// Runs something that looks at the file system.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::new(Code::Internal, "a look at the file system failed"))
}
