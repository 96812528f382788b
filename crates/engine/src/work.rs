//! What starts work: a session, a prompt, a prompt again, a compaction.
//!
//! All of them go through [`Engine::work`], because all of them may come under a key of the caller's ([`Idempotency`]).

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};
use store::{IdempotencyKey, NewTurn};
use tokio::{sync::oneshot, time::timeout};
use types::{
    Code, ItemId, Origin, Principal, Session, SessionId, Timestamp, TitleSource, TurnId, TurnKind, agent::AgentStatus,
    auto_title, fold_title,
};

use crate::{
    Engine, Idempotency, Prompt, Refusal,
    hub::Call,
    idempotency::{again, remember},
    mail::{Ended, Mail},
    policy::{Overrides, Strictness},
    prompt::{check_labels, check_prompt, checked_images},
    state::Steering,
};

/// A session to make.
#[derive(Debug, Clone, Default)]
pub struct NewSession {
    /// Its first prompt; it waits for one without.
    pub prompt: Option<Prompt>,
    /// Its title; from the prompt without.
    pub title: Option<String>,
    /// What is to be different from the daemon's own settings.
    pub overrides: Overrides,
    /// Instructions for each of its threads.
    pub developer_instructions: Option<String>,
    /// Values of Codex's configuration for each of its threads.
    pub config: Map<String, Value>,
    /// The caller's own words.
    pub labels: BTreeMap<String, String>,
    /// It has a git worktree to itself, of the repository that its folder is in.
    pub worktree: bool,
    /// What becomes of an override that is not allowed.
    pub strictness: Strictness,
}

/// What is to be done when a turn of the session is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBusy {
    /// The new one waits.
    #[default]
    Queue,
    /// The new one is refused.
    Reject,
    /// What it says is added to the one that runs; when none runs any more it is a turn of its own.
    Steer,
}

/// Something that starts work.
#[derive(Debug, Clone)]
pub enum Work {
    /// A new session.
    Create(Box<NewSession>),
    /// A prompt for a session: its id, or that of any thread that it has had.
    Submit {
        /// Which one.
        session: String,
        /// The prompt.
        prompt: Box<Prompt>,
        /// What is to be done when it is busy.
        on_busy: OnBusy,
    },
    /// More words for a turn that runs.
    Steer {
        /// Which one.
        turn: TurnId,
        /// The words, and pictures.
        prompt: Box<Prompt>,
    },
    /// Another session is to begin with the history of this one.
    Fork {
        /// Which one.
        session: String,
        /// The title of the new one; that of the other one without.
        title: Option<String>,
    },
    /// The conversation of a session is to become shorter.
    Compact {
        /// Which one.
        session: String,
    },
    /// The prompt of a turn that ended, again.
    Retry {
        /// Which one.
        turn: TurnId,
        /// Also when Codex has recorded the prompt.
        force: bool,
    },
}

/// What came of it. It is on disk.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The session.
    pub session: SessionId,
    /// The turn; none when a session was made that waits for its first prompt.
    pub turn: Option<Submitted>,
    /// The overrides that were left out, by their names in the request.
    pub ignored: Vec<&'static str>,
    /// It was done before, by the same request.
    pub replayed: bool,
}

/// A turn that was accepted, and is on disk.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// Its session.
    pub session: SessionId,
    /// Its id.
    pub turn: TurnId,
    /// The session's turns as they end, if somebody watches already.
    pub(crate) ended: Option<Ended>,
}

impl Engine {
    /// Starts work. When this returns, it is on disk.
    ///
    /// # Errors
    /// When the request or an override is refused, there is no such session or turn, its queue is full, Codex can't be started,
    /// the store can't take it, or the key belongs to another request. Then nothing was done, and the key is free.
    pub async fn work(
        &self,
        who: &Principal,
        origin: Origin,
        work: Work,
        key: Option<Idempotency>,
    ) -> Result<Accepted, Refusal> {
        let Some(key) = key else {
            let makes_worktrees =
                matches!(&work, Work::Fork { .. }) || matches!(&work, Work::Create(new) if new.worktree);
            if !makes_worktrees {
                return self.begin(who, origin, work, None).await;
            }
            let (engine, who) = (self.clone(), who.clone());
            // A task of its own: whoever goes away in the middle leaves nothing half made.
            let begun = tokio::spawn(async move { engine.begin(&who, origin, work, None).await });
            return begun.await.map_err(|_| Refusal::new(Code::Internal, "the request broke off"))?;
        };
        let bound = IdempotencyKey { principal: who.name(), method: key.method, path: key.path, key: key.key };
        let claim = loop {
            match self.claims.take(&bound) {
                Ok(claim) => break claim,
                // It ends with an error: the other side is dropped.
                Err(mut other) => drop(other.changed().await),
            }
        };
        if let Some(known) = self.store.remembered(&bound, Timestamp::now()).await? {
            return again(known, key.body);
        }
        let (engine, who) = (self.clone(), who.clone());
        // A task of its own: the claim holds until the commit is through, also when the caller goes away.
        let begun = tokio::spawn(async move {
            let begun = engine.begin(&who, origin, work, Some((bound, key.body))).await;
            drop(claim);
            begun
        });
        begun.await.map_err(|_| Refusal::new(Code::Internal, "the request broke off"))?
    }

    /// Adds to a turn that runs; what none takes becomes `otherwise`.
    async fn steer(
        &self,
        who: &Principal,
        session: SessionId,
        turn: Option<TurnId>,
        prompt: Prompt,
        otherwise: Option<Box<NewTurn>>,
        key: Option<(IdempotencyKey, [u8; 32])>,
    ) -> Result<Accepted, Refusal> {
        let remember = remember(key, &session, turn.as_ref(), Timestamp::now());
        let item = ItemId::fresh();
        let steering = Steering { item, turn, prompt, by: who.clone(), otherwise, remember };
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Steer { steering: Box::new(steering), reply };
        let call = Call::Deliver { session: session.clone(), mail };
        self.calls.send(call).await.map_err(|_| Refusal::shutting_down())?;
        let (id, ended) = answer.await.map_err(|_| Refusal::shutting_down())??;
        let turn = Submitted { session: session.clone(), turn: id, ended: Some(ended) };
        Ok(Accepted { session, turn: Some(turn), ignored: Vec::new(), replayed: false })
    }

    async fn begin(
        &self,
        who: &Principal,
        origin: Origin,
        work: Work,
        key: Option<(IdempotencyKey, [u8; 32])>,
    ) -> Result<Accepted, Refusal> {
        self.check_agent()?;
        match work {
            Work::Create(new) => self.create(who, origin, *new, key).await,
            Work::Submit { session, prompt, on_busy } => {
                check_prompt(&prompt)?;
                let (id, prompt) = self.look(who, &session, *prompt).await?;
                let turn = new_turn(&id, TurnKind::Prompt, prompt.clone(), None, who, origin);
                if on_busy == OnBusy::Steer {
                    return self.steer(who, id, None, prompt, Some(Box::new(turn)), key).await;
                }
                self.submit(turn, on_busy, key).await
            }
            Work::Steer { turn, prompt } => {
                check_prompt(&prompt)?;
                let found = self.turn(&turn).await?;
                if found.status.ended() {
                    let refusal = Refusal::new(Code::TurnEnded, "the turn has ended").of_session(&found.session_id);
                    return Err(Refusal { turn: Some(turn), ..refusal });
                }
                let (id, prompt) = self.look(who, found.session_id.as_str(), *prompt).await?;
                self.steer(who, id, Some(turn), prompt, None, key).await
            }
            Work::Fork { session, title } => self.fork(who, origin, &session, title, key).await,
            Work::Compact { session } => {
                let (id, prompt) = self.look(who, &session, Prompt::default()).await?;
                let turn = new_turn(&id, TurnKind::Compact, prompt, None, who, origin);
                self.submit(turn, OnBusy::Queue, key).await
            }
            Work::Retry { turn, force } => {
                let stored = self.store.stored_turn(&turn).await?.ok_or_else(|| Refusal::no_turn(&turn))?;
                let old = stored.turn;
                let refuse = |code, detail: &str| {
                    Err(Refusal { turn: Some(turn.clone()), ..Refusal::new(code, detail).of_session(&old.session_id) })
                };
                if !old.status.ended() {
                    return refuse(Code::TurnActive, "the turn has not ended yet");
                }
                if old.delivery == types::Delivery::Yes && !force {
                    let detail = "Codex has recorded the prompt of this turn and would hear it twice; \
                                  {\"force\": true} sends it all the same";
                    return refuse(Code::TurnEnded, detail);
                }
                let prompt = Prompt { text: old.prompt.clone(), options: stored.options };
                if old.kind == TurnKind::Prompt {
                    check_prompt(&prompt)?;
                }
                let (id, prompt) = self.look(who, old.session_id.as_str(), prompt).await?;
                self.submit(new_turn(&id, old.kind, prompt, Some(turn), who, origin), OnBusy::Queue, key).await
            }
        }
    }

    async fn create(
        &self,
        who: &Principal,
        origin: Origin,
        new: NewSession,
        key: Option<(IdempotencyKey, [u8; 32])>,
    ) -> Result<Accepted, Refusal> {
        if let Some(prompt) = &new.prompt {
            check_prompt(prompt)?;
        }
        check_labels(new.labels.iter().map(|(key, value)| (key, Some(value))))?;
        let (granted, mut prompt) = {
            let (policy, who, overrides) = (self.policy.clone(), who.clone(), new.overrides);
            let (config, prompt) = (new.config.clone(), new.prompt);
            let look = move || {
                let granted = policy.grant(&who, &overrides, new.strictness)?;
                policy.check_config(&config)?;
                let prompt =
                    prompt.map(|prompt| checked_images(&policy, &who, &granted.cwd, None, prompt)).transpose()?;
                Ok::<_, Refusal>((granted, prompt))
            };
            blocking(look).await??
        };
        let at = Timestamp::now();
        let manual = new.title.as_deref().and_then(fold_title);
        let id = SessionId::fresh();
        let (cwd, worktree) = if new.worktree {
            let (cwd, worktree) = self.worktrees.make(&self.policy, who, &id, &granted.cwd).await?;
            (cwd, Some(worktree))
        } else {
            (granted.cwd, None)
        };
        let mut session = Session::new(id.clone(), cwd, granted.sandbox, granted.approval_policy, at);
        session.worktree = worktree;
        session.title_source = if manual.is_some() { TitleSource::Manual } else { TitleSource::Auto };
        let from_prompt = || prompt.as_ref().and_then(|prompt| auto_title(&prompt.text));
        session.title = manual.or_else(from_prompt).unwrap_or_default();
        session.model = granted.model;
        session.config = new.config;
        if let Some(effort) = prompt.as_mut().and_then(|prompt| prompt.options.effort.take()) {
            // Codex keeps an effort for good, so it is the session's: it is shown, and comes back with each new thread.
            session.config.entry("model_reasoning_effort").or_insert(Value::String(effort));
        }
        session.labels = new.labels;
        let turn = prompt.map(|prompt| new_turn(&id, TurnKind::Prompt, prompt, None, who, origin));
        let turn_id = turn.as_ref().map(|turn| turn.id.clone());
        let remember = remember(key, &id, turn_id.as_ref(), at);
        let session = Box::new(store::NewSession {
            session,
            principal: who.clone(),
            origin,
            developer_instructions: new.developer_instructions,
        });
        let (reply, answer) = oneshot::channel();
        let mail = match turn {
            Some(turn) => Mail::Submit { turn: Box::new(turn), on_busy: OnBusy::Queue, remember, reply },
            None => Mail::Begin { remember, reply },
        };
        let ended = self.call(Call::Create { session, mail }, answer).await;
        if ended.is_err() && new.worktree {
            self.worktrees.discard(&id).await;
        }
        let ended = ended?;
        let turn = turn_id.map(|turn| Submitted { session: id.clone(), turn, ended: Some(ended) });
        Ok(Accepted { session: id, turn, ignored: granted.ignored, replayed: false })
    }

    /// Finds the session, and whether this principal may work in its folder with these pictures now.
    pub(crate) async fn look(
        &self,
        who: &Principal,
        session: &str,
        prompt: Prompt,
    ) -> Result<(SessionId, Prompt), Refusal> {
        let Session { id, cwd, worktree, .. } = self.session(session).await?;
        let (policy, asker, named) = (self.policy.clone(), who.clone(), id.clone());
        let look = move || {
            let cwd = policy.check_place(&asker, &cwd, worktree.as_ref())?;
            checked_images(&policy, &asker, &cwd, worktree.as_ref(), prompt)
        };
        let looked = blocking(look).await.and_then(|looked| looked);
        looked.map(|prompt| (id, prompt)).map_err(|refusal| refusal.of_its_folder(&named))
    }

    async fn submit(
        &self,
        turn: NewTurn,
        on_busy: OnBusy,
        key: Option<(IdempotencyKey, [u8; 32])>,
    ) -> Result<Accepted, Refusal> {
        let (session, id) = (turn.session.clone(), turn.id.clone());
        let remember = remember(key, &session, Some(&id), turn.created_at);
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Submit { turn: Box::new(turn), on_busy, remember, reply };
        let ended = self.call(Call::Deliver { session: session.clone(), mail }, answer).await?;
        let turn = Submitted { session: session.clone(), turn: id, ended: Some(ended) };
        Ok(Accepted { session, turn: Some(turn), ignored: Vec::new(), replayed: false })
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

fn new_turn(
    session: &SessionId,
    kind: TurnKind,
    prompt: Prompt,
    retry_of: Option<TurnId>,
    who: &Principal,
    origin: Origin,
) -> NewTurn {
    NewTurn {
        id: TurnId::fresh(),
        session: session.clone(),
        prompt_item: ItemId::fresh(),
        kind,
        prompt: prompt.text,
        options: prompt.options,
        retry_of,
        principal: who.clone(),
        origin,
        created_at: Timestamp::now(),
    }
}

/// How long looking at the file system may take: a folder may lie on a network that is gone.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Runs something that looks at the file system.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    match timeout(LOOK_LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Refusal::new(Code::Internal, "a look at the file system failed")),
        Err(_) => {
            Err(Refusal::new(Code::BadCwd, "the file system does not answer; is the folder on a network that is gone?"))
        }
    }
}
