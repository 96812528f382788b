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

mod acting;
mod calling;
mod writing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agent::Port;
use audit::Audit;
use store::{NewSession, Store};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};
use types::{AskId, SessionId, Timestamp, TurnId};

use crate::{
    Policy, Refusal,
    callers::Callers,
    feed::Feed,
    folders::{Folders, Place},
    mail::{Birth, Internal, Loaded, Mail},
    state::{Bounds, Effect, Finished, Input, Limits, Now, Output, State},
    stats::Stats,
    unwritten::Unwritten,
};

/// How long the disk is given for the last words of a session when codexd stops. What it has not taken by then is settled by the
/// next start.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long what Codex reports may wait for more of its kind. A crash in that time is made good by Codex's host, or,
/// when that is gone as well, by Codex's own record.
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
    pub(crate) audit: Audit,
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
    pub(crate) folders: Folders,
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
                    place: None,
                    unwritten: None,
                    kept: Vec::new(),
                    gone: false,
                    worked: false,
                };
                // One that was running when the last daemon ended is at work already, and was told what there was to tell.
                living.enter_folder();
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
    /// Its place in the folder that it works in, and for which turn.
    place: Option<(TurnId, Place)>,
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
        let (known, loaded) = (self.known(), self.state.loaded());
        match self.task.load(&self.id, loaded.as_ref()).await {
            Ok(state) => self.state = state,
            Err(refusal) => {
                tracing::warn!(%refusal, session = %self.id, "the session can't be read again");
                return;
            }
        }
        self.tell_again(known);
    }

    /// What it was told of Codex, for a state that takes its place.
    fn known(&self) -> Vec<Input> {
        let drain = self.state.is_draining().then_some(Input::Drain);
        drain.into_iter().chain(self.state.agent().map(Input::AgentUp)).collect()
    }

    fn tell_again(&mut self, known: Vec<Input>) {
        let store = self.task.store.clone();
        for input in known {
            self.state.handle(input, &now(&|| store.next_ask()), &mut self.gathered);
        }
    }
}

fn now(next_ask: &dyn Fn() -> AskId) -> Now<'_> {
    Now { clock: Instant::now(), at: Timestamp::now(), next_ask }
}
