//! The task of one session with work: mailbox, commit, then act.
//!
//! It is awake while a turn runs or waits, and for a moment after that; then it asks the hub to be put to rest, and the
//! session costs nothing but disk. What waits in the mailbox is handled together and committed as one batch.
//!
//! What Codex reports in the middle of a turn is understood at once and written down a moment later, in one commit with what comes
//! next ([`GATHER`]): each commit waits for the disk, which Codex is using at the same time. What somebody waits for, the end
//! of a turn, an ask, an answer, never waits; and nothing is acknowledged or shown before it is written down.
//!
//! When the disk refuses a batch, callers in it are told and nothing of theirs was changed. What Codex said can't be refused: it
//! is kept and committed again until it is taken ([`Unwritten`]). Meanwhile no more of what Codex says is taken from the mailbox, so
//! that its lines wait upstream and memory stays bounded; callers are refused at once, since nothing of theirs could be stored
//! before what is older.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use agent::Port;
use store::{Batch, NewEvent, NewSession, Store, StoreError, Write};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};
use types::{AskId, EventName, Session, SessionId, Timestamp};

use crate::{
    Policy, Refusal,
    callers::{Caller, Callers},
    feed::Feed,
    mail::{Birth, Internal, Loaded, Mail},
    recovery,
    state::{Bounds, Effect, Finished, Input, Limits, Now, Output, State},
    stats::Stats,
    unwritten::Unwritten,
};

/// How long the disk is given for the last words of a session when codexd stops. What it has not taken by then is settled by the
/// next start.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long what Codex reports may wait for more of its kind. A crash in that time finds Codex gone as well, and the prompt's
/// `delivery` is told as `unknown` instead of `yes`.
const GATHER: Duration = Duration::from_millis(50);

/// The most mail that is handled as one batch.
const BATCH: usize = 256;

/// How long looking at a folder may take: it may lie on a network that is gone.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// What a task is given to live with.
pub(crate) struct Task {
    pub(crate) store: Store,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) bounds: Bounds,
    pub(crate) hub: mpsc::UnboundedSender<Internal>,
    /// What is asked of it.
    pub(crate) inbox: mpsc::Receiver<Mail>,
    /// What it is told, above all by Codex; not taken while what it was told before can't be stored.
    pub(crate) reports: mpsc::Receiver<Mail>,
    /// The turn that ended last since it is awake.
    pub(crate) ended: watch::Sender<Option<Arc<Finished>>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) feed: Feed,
}

impl Task {
    /// Lives until the hub closes the mailbox.
    pub(crate) async fn run(mut self, birth: Birth, loaded: Option<Loaded>, first: Vec<Input>) {
        let id = match &birth {
            Birth::Stored(id) => id.clone(),
            Birth::New(new) => new.session.id.clone(),
        };
        let mut new = None;
        let state = match birth {
            Birth::Stored(id) => self.load(&id, loaded.as_ref()).await,
            Birth::New(session) => {
                let instructions = session.developer_instructions.clone();
                let state = State::new(session.session.clone(), instructions, self.limits());
                new = Some(session);
                Ok(state)
            }
        };
        match state {
            Ok(state) => {
                let mut living = Living {
                    task: self,
                    id,
                    state,
                    new,
                    jobs: JoinSet::new(),
                    handled: 0,
                    gathered: Output::default(),
                    write_at: None,
                    callers: Callers::default(),
                    unwritten: None,
                    kept: Vec::new(),
                    gone: false,
                    worked: false,
                };
                living.handle(first.into_iter().map(Mail::Input).collect()).await;
                living.live().await;
            }
            Err(refusal) => {
                let mut handled = 0;
                let _ = self.hub.send(Internal::Retire { session: id.clone(), handled, loaded: None });
                loop {
                    let mail = tokio::select! {
                        Some(mail) = self.inbox.recv() => mail,
                        Some(mail) = self.reports.recv() => mail,
                        else => return,
                    };
                    mail.refuse(refusal.clone());
                    handled += 1;
                    let _ = self.hub.send(Internal::Retire { session: id.clone(), handled, loaded: None });
                }
            }
        }
    }

    async fn load(&self, id: &SessionId, loaded: Option<&Loaded>) -> Result<State, Refusal> {
        let stored = self.store.session(id).await?.ok_or_else(|| Refusal::no_session(id.as_str()))?;
        let waiting = self.store.unfinished_turns(id).await?;
        let running = self.store.running(id).await?;
        let waiting = waiting.into_iter().filter(|turn| turn.turn.status == types::TurnStatus::Queued).collect();
        Ok(State::stored(stored, waiting, running, self.limits(), loaded))
    }

    fn limits(&self) -> Limits {
        Limits { bounds: self.bounds, policy: self.policy.clone() }
    }
}

struct Living {
    task: Task,
    id: SessionId,
    state: State,
    /// Not on disk yet.
    new: Option<Box<NewSession>>,
    jobs: JoinSet<Input>,
    handled: u64,
    /// What is understood and not written down yet, and until when that may be so.
    gathered: Output,
    write_at: Option<Instant>,
    /// Who waits for what comes of it.
    callers: Callers,
    /// What the disk did not take, and what was told after it.
    unwritten: Option<Unwritten>,
    kept: Vec<Mail>,
    /// It is gone: nothing is done for it any more.
    gone: bool,
    /// It took a turn: somebody may go on at once.
    worked: bool,
}

impl Living {
    async fn live(&mut self) {
        let (mut mails, mut reports) = (Vec::new(), Vec::new());
        let mut told_hub = None;
        loop {
            let again_at = self.unwritten.as_ref().map(Unwritten::again_at);
            let flows = again_at.is_none();
            if flows && !self.kept.is_empty() {
                let kept = std::mem::take(&mut self.kept);
                self.inputs(kept).await;
                continue;
            }
            let wake = self.state.wake();
            // Who waits for a turn that is held waits for this task.
            let watched = self.task.ended.receiver_count() > 0;
            let rests = self.state.at_rest() && self.jobs.is_empty() && flows;
            let idle = rests && !watched && told_hub != Some(self.handled);
            let told = flows && !(self.task.reports.is_closed() && self.task.reports.is_empty());
            tokio::select! {
                count = self.task.inbox.recv_many(&mut mails, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.handled += count as u64;
                }
                count = self.task.reports.recv_many(&mut reports, BATCH), if told => self.handled += count as u64,
                Some(done) = self.jobs.join_next(), if flows => match done {
                    Ok(input) => mails.push(Mail::Input(input)),
                    Err(error) => tracing::error!(%error, "a job of a session"),
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() && flows => {
                    mails.push(Mail::Input(Input::Tick));
                }
                () = sleep_until(self.write_at.unwrap_or_else(Instant::now).into()), if self.write_at.is_some() && flows => {
                    self.write_down().await;
                }
                () = sleep_until(again_at.unwrap_or_else(Instant::now).into()), if !flows => {
                    self.write_down().await;
                }
                // The last one who waited went away: only now may it rest.
                () = self.task.ended.closed(), if watched => {}
                () = sleep(if self.worked && !self.gone { self.task.bounds.linger } else { Duration::ZERO }), if idle => {
                    told_hub = Some(self.handled);
                    let (session, loaded) = (self.id.clone(), self.state.loaded());
                    let _ = self.task.hub.send(Internal::Retire { session, handled: self.handled, loaded });
                }
            }
            mails.append(&mut reports);
            self.handle(std::mem::take(&mut mails)).await;
        }
        if timeout(LAST_WORDS, self.last_words()).await.is_err() {
            let session = &self.id;
            tracing::error!(%session, "what Codex said last can't be stored; the next start of codexd settles the turn");
        }
    }

    /// Writes down everything that it was ever told.
    async fn last_words(&mut self) {
        let mut mails = Vec::new();
        loop {
            if self.unwritten.is_some() {
                self.wait_for_room().await;
            }
            mails.append(&mut self.kept);
            if mails.is_empty() && self.task.reports.recv_many(&mut mails, BATCH).await == 0 {
                break;
            }
            self.inputs(std::mem::take(&mut mails)).await;
        }
        if !self.write_down().await {
            self.wait_for_room().await;
        }
    }

    async fn wait_for_room(&mut self) {
        while let Some(unwritten) = &self.unwritten {
            sleep_until(unwritten.again_at().into()).await;
            self.write_down().await;
        }
    }

    /// Calls and reports are committed apart: the one may be refused, the other may not.
    async fn handle(&mut self, mails: Vec<Mail>) {
        let mut mails = mails.into_iter().peekable();
        while let Some(first) = mails.next() {
            let call = first.is_call();
            let mut group = vec![first];
            while let Some(mail) = mails.next_if(|mail| mail.is_call() == call) {
                group.push(mail);
            }
            if call { self.calls(group).await } else { self.inputs(group).await }
        }
    }

    async fn calls(&mut self, mails: Vec<Mail>) {
        // Each call is also one more try: who freed some room need not wait for the next one.
        self.write_down().await;
        if let Some(unwritten) = &self.unwritten {
            for mail in mails {
                match mail {
                    // It changes nothing.
                    Mail::Watch { reply } => drop(reply.send(Ok(self.task.ended.subscribe()))),
                    mail => mail.refuse(unwritten.refusal().of_session(&self.id)),
                }
            }
            return;
        }
        let before = (self.state.clone(), self.new.clone());
        let mut out = Output::default();
        let mut callers = Vec::new();
        let mut accepted = 0_u32;
        for mail in mails {
            if self.gone {
                mail.refuse(Refusal::no_session(self.id.as_str()));
                continue;
            }
            let mut own = Output::default();
            let Some((result, caller)) = self.call(mail, &mut own, &mut accepted) else { continue };
            match result {
                Ok(()) => {
                    if !own.batch.is_empty() {
                        self.new = None;
                    }
                    out.batch.writes.append(&mut own.batch.writes);
                    out.effects.append(&mut own.effects);
                    callers.push(caller);
                }
                Err(refusal) => caller.refuse(refusal),
            }
        }
        if let Err(error) = self.task.store.commit(out.batch).await {
            (self.state, self.new) = before;
            let refusal = Refusal::from(error).of_session(&self.id);
            callers.into_iter().for_each(|caller| caller.refuse(refusal.clone()));
            return;
        }
        self.worked |= accepted > 0;
        for _ in 0..accepted {
            self.task.stats.accepted();
        }
        // Before anything is acted on, so that no end is missed.
        let ended = self.task.ended.subscribe();
        callers.into_iter().for_each(|caller| self.callers.stored(caller, &ended));
        self.act(out.effects);
    }

    /// What one caller asks for, and when it is answered.
    fn call(&mut self, mail: Mail, own: &mut Output, accepted: &mut u32) -> Option<(Result<(), Refusal>, Caller)> {
        let store = self.task.store.clone();
        let next_ask = || store.next_ask();
        let now = now(&next_ask);
        Some(match mail {
            Mail::Submit { turn, on_busy, remember, reply } => {
                if let Some(new) = &self.new {
                    create(new, now.at, &mut own.batch);
                }
                let id = turn.id.clone();
                let result = self.state.submit(*turn, on_busy, &now, own);
                own.batch.writes.extend(remember.map(Write::Remember));
                *accepted += u32::from(result.is_ok());
                let opens = result.is_ok() && self.state.opens(&id);
                (result, if opens { Caller::Opened(id, reply) } else { Caller::Stored(reply) })
            }
            Mail::Begin { remember, reply } => {
                if let Some(new) = &self.new {
                    create(new, now.at, &mut own.batch);
                    own.batch.writes.extend(remember.map(Write::Remember));
                }
                (Ok(()), Caller::Stored(reply))
            }
            Mail::Change { patch, reply } => (self.state.change(*patch, &now, own), Caller::Stored(reply)),
            Mail::Decide { id, verdict, by, reply } => {
                (self.state.decide(&id, verdict, &by, &now, own), Caller::Stored(reply))
            }
            Mail::Interrupt { turn, force, reply } => {
                (self.state.interrupt(&turn, force, &now, own), Caller::Stored(reply))
            }
            Mail::Steer { steering, reply } => {
                let item = steering.item.clone();
                (self.state.steer(*steering, &now, own), Caller::Steered(item, reply))
            }
            Mail::Fork { fork, remember, reply } => {
                let id = fork.id.clone();
                let of = |session: &Session| fork.of(session, &self.task.policy);
                (self.state.fork(id.clone(), of, remember, &now, own), Caller::Forked(id, reply))
            }
            Mail::Resume { reply } => (self.state.resume(&now, own), Caller::Stored(reply)),
            Mail::Delete { threads, reply } => (self.state.delete(threads, &now, own), Caller::Left(reply)),
            Mail::Watch { reply } => (Ok(()), Caller::Stored(reply)),
            Mail::Input(_) | Mail::Reload => return None,
        })
    }

    async fn inputs(&mut self, mails: Vec<Mail>) {
        let mut partial = false;
        for mail in mails {
            if self.unwritten.is_some() {
                self.kept.push(mail);
                continue;
            }
            if matches!(mail, Mail::Reload) {
                self.reload().await;
                continue;
            }
            if let Mail::Input(input) = mail {
                partial = matches!(&input, Input::Report(report) if report.line != report.seq);
                let store = self.task.store.clone();
                self.state.handle(input, &now(&|| store.next_ask()), &mut self.gathered);
            }
        }
        if self.unwritten.is_some() {
            return;
        }
        if partial {
            // The rest of what the line says is on its way, and belongs to the same commit.
            self.write_at.get_or_insert_with(|| Instant::now() + GATHER);
            return;
        }
        // What somebody watches is told at once; otherwise it may wait for more of its kind.
        let watched = self.task.feed.watched();
        let waits = |effect: &Effect| match effect {
            Effect::Ack { .. } => true,
            Effect::Grew { .. } | Effect::ItemOver(_) => !watched,
            _ => false,
        };
        let urgent = watched || !self.gathered.effects.iter().all(waits);
        if urgent || self.gathered.batch.is_empty() {
            self.write_down().await;
        } else {
            self.write_at.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    /// Reads the session again. One with work is left alone: nobody else changes such a one.
    async fn reload(&mut self) {
        if self.gone || self.new.is_some() || !self.state.at_rest() {
            return;
        }
        if !self.write_down().await {
            self.kept.push(Mail::Reload);
            return;
        }
        let (up, loaded) = (self.state.agent(), self.state.loaded());
        match self.task.load(&self.id, loaded.as_ref()).await {
            Ok(state) => self.state = state,
            Err(refusal) => {
                tracing::warn!(%refusal, session = %self.id, "the session can't be read again");
                return;
            }
        }
        if let Some(up) = up {
            let store = self.task.store.clone();
            self.state.handle(Input::AgentUp(up), &now(&|| store.next_ask()), &mut self.gathered);
        }
    }

    /// Commits what is not written down yet, and does what follows from it. False when the disk does not take it: then it is kept,
    /// and tried again.
    async fn write_down(&mut self) -> bool {
        while let Some((out, tries)) = self.next_to_write() {
            if out.batch.is_empty() {
                self.act(out.effects);
                continue;
            }
            match self.commit_all(&out.batch).await {
                Ok(true) => self.act(out.effects),
                Ok(false) => {}
                Err(error) => {
                    self.unwritten = Some(Unwritten::new(out, error, tries));
                    return false;
                }
            }
        }
        true
    }

    /// What is to be committed next, and how often that was tried.
    fn next_to_write(&mut self) -> Option<(Output, u32)> {
        if let Some(unwritten) = self.unwritten.take() {
            return Some(unwritten.again());
        }
        self.write_at = None;
        let mut out = std::mem::take(&mut self.gathered);
        out.seal(&self.id);
        self.take_texts_away(&mut out);
        (!out.batch.is_empty() || !out.effects.is_empty()).then_some((out, 0))
    }

    /// Before readers can see that something ended, its text in progress goes: what was not told of it comes with the end.
    fn take_texts_away(&self, out: &mut Output) {
        let (mut over, mut ended) = (HashSet::new(), HashSet::new());
        for effect in &out.effects {
            match effect {
                Effect::ItemOver(item) => drop(over.insert(item.clone())),
                Effect::Ended(finished) => drop(ended.insert(finished.turn.clone())),
                _ => {}
            }
        }
        if over.is_empty() && ended.is_empty() {
            return;
        }
        out.effects.retain(|effect| match effect {
            Effect::Grew { item, turn, .. } => !over.contains(item) && !ended.contains(turn),
            _ => true,
        });
        over.iter().for_each(|item| self.task.feed.ended(&self.id, item));
        ended.iter().for_each(|turn| self.task.feed.quiet(&self.id, turn));
    }

    /// Commits what can't be refused. `Ok(false)` when nothing follows from it: the store is closed, or what Codex said contradicts
    /// it: then the turn has failed, and the session begins anew from what is on disk. An error is the disk's.
    async fn commit_all(&mut self, batch: &Batch) -> Result<bool, StoreError> {
        match self.task.store.commit(batch.clone()).await {
            Ok(_) => Ok(true),
            Err(StoreError::Closed) => Ok(false),
            Err(StoreError::Constraint(why)) => {
                tracing::error!(why, session = %self.id, "what Codex said contradicts the store; its turn fails");
                match self.begin_anew(&why).await {
                    // Then it comes to this again.
                    Err(error @ (StoreError::Full | StoreError::Unwritable(_) | StoreError::Busy)) => {
                        return Err(error);
                    }
                    Err(error) => tracing::error!(%error, session = %self.id, "the session can't be read again"),
                    Ok(()) => {}
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Fails what runs, holds what waits, and forgets everything that is not on disk.
    async fn begin_anew(&mut self, why: &str) -> Result<(), StoreError> {
        let (store, at) = (self.task.store.clone(), Timestamp::now());
        let message = format!("what Codex said can't be kept ({why}); the session goes on with a new thread");
        let (batch, failed) = recovery::fail_session(&store, &self.id, &message, at).await?;
        store.commit(batch).await?;
        let up = self.state.agent();
        let unanswered = self.state.open_questions();
        match self.task.load(&self.id, None).await {
            Ok(state) => self.state = state,
            Err(refusal) => return Err(StoreError::Io(refusal.detail)),
        }
        for (agent, request) in unanswered {
            self.task.port.reply(&agent, request, agent::Reply::Decide(types::Decision::Cancel));
        }
        self.jobs.abort_all();
        self.callers.give_up(&message);
        if let Some(up) = up {
            let next_ask = || store.next_ask();
            self.state.handle(Input::AgentUp(up), &now(&next_ask), &mut self.gathered);
        }
        for finished in failed {
            self.task.feed.quiet(&self.id, &finished.turn);
            self.task.ended.send_replace(Some(Arc::new(finished)));
        }
        self.task.feed.happened();
        Ok(())
    }

    /// Does what follows from a commit, and says that something happened.
    fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask { agent, id, ask } => {
                    let _ =
                        self.task.hub.send(Internal::Ask { session: self.id.clone(), agent, id, ask: Box::new(ask) });
                }
                Effect::Reply { agent, request, reply } => self.task.port.reply(&agent, request, reply),
                Effect::Ack { agent, seq } => self.task.port.ack(&agent, seq),
                Effect::Grew { turn, item, kind, text } => self.task.feed.grew(&self.id, &turn, &item, kind, &text),
                Effect::ItemOver(item) => self.task.feed.ended(&self.id, &item),
                Effect::Ended(finished) => {
                    self.task.feed.quiet(&self.id, &finished.turn);
                    self.task.stats.ended(finished.status);
                    self.task.ended.send_replace(Some(Arc::new(finished)));
                }
                Effect::Left(result) => {
                    self.gone |= result.is_ok();
                    // Whoever waits for a turn that went with it looks again, and finds none.
                    self.task.ended.send_modify(|_| {});
                    self.callers.left(&self.id, result, &self.task.ended.subscribe());
                }
                Effect::Steered { item, result } => {
                    self.callers.steered(&item, result, &self.task.ended.subscribe());
                }
                Effect::Forked(session) => self.callers.forked(&session, &self.task.ended.subscribe()),
                Effect::Opened { turn, result } => {
                    self.callers.opened(&turn, result, &self.task.ended.subscribe());
                }
                Effect::Loaded { session, loaded } => {
                    let _ = self.task.hub.send(Internal::Loaded { session, loaded });
                }
                Effect::Unstoppable { agent, force } => {
                    let session = self.id.clone();
                    let _ = self.task.hub.send(Internal::Unstoppable { session, agent, force });
                }
                Effect::CheckCwd { turn, principal, images } => {
                    let (policy, cwd) = (self.task.policy.clone(), self.state.session().cwd.clone());
                    self.jobs.spawn(async move {
                        let look = tokio::task::spawn_blocking(move || {
                            let cwd = policy.check_cwd(&principal, &cwd)?;
                            images.iter().try_for_each(|path| policy.check_image(&principal, &cwd, path).map(drop))
                        });
                        let verdict = match tokio::time::timeout(LOOK_LIMIT, look).await {
                            Ok(Ok(verdict)) => verdict.map_err(|refusal| refusal.detail),
                            _ => Err("the folder of the session can't be looked at".to_owned()),
                        };
                        Input::Checked { turn, verdict }
                    });
                }
                Effect::LoadHistory { turn } => {
                    let (store, id) = (self.task.store.clone(), self.id.clone());
                    self.jobs.spawn(async move {
                        let messages = store.history(&id).await.map_err(|error| error.to_string());
                        Input::History { turn, messages }
                    });
                }
            }
        }
        self.task.feed.happened();
    }
}

fn now(next_ask: &dyn Fn() -> AskId) -> Now<'_> {
    Now { clock: Instant::now(), at: Timestamp::now(), next_ask }
}

fn create(new: &NewSession, at: Timestamp, batch: &mut Batch) {
    batch.push(Write::CreateSession(Box::new(new.clone())));
    batch.push(Write::AddEvent(Box::new(NewEvent {
        name: EventName::SessionCreated,
        at,
        session: Some(new.session.id.clone()),
        turn: None,
        item: None,
        detail: None,
    })));
}
