//! A session with work, as a pure machine: inputs in; writes, asks and replies out. No I/O, and the caller says what time
//! it is.
//!
//! The path of a turn (the names are [`Phase`]s):
//!
//! ```text
//!  queued -> Checking -> NoAgent -> Resuming ---------------------------> Asked -> Running -> ended
//!            (cwd)       (waits)      | no record                          ^  |
//!                                     v                                    |  | not loaded, and not heard
//!                                  Starting -> Recalling -> Injecting -----+  +--> Resuming
//!                                  (new thread) (history)   (messages)
//! ```
//!
//! A thread that is loaded goes straight to `Asked`. Only in `Asked` and `Running` may Codex have heard the prompt: if it
//! ends there, the turn is settled by Codex's own record ([`settling`]); anywhere else the turn goes back to `NoAgent` and waits for
//! the next process.

mod asked_for;
mod asking;
mod ending;
mod exchange;
mod forking;
mod leaving;
mod opening;
mod reviving;
mod running;
mod settling;
mod steering;
mod turn;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use agent::{Ask, ThreadSpec};
use store::{Base, NewEvent, PendingAsk, Running, StoredSession, StoredTurn, Write};
use types::{
    AgentId, AskId, EventName, InputPart, ItemId, Principal, Session, ThreadId, TurnError, TurnErrorCode, TurnId,
    TurnOptions, TurnStatus,
};

use crate::{SharedCwd, asks, mail::Loaded};
pub(crate) use asking::Decider;
pub use exchange::Finished;
use forking::Forking;
use settling::Step;
use steering::Steer;
pub(crate) use steering::Steering;
use turn::{Active, Job, OpenItem, Phase, Stop, Stopping, Waiting};

pub(crate) use exchange::{Bounds, Effect, Input, Limits, Now, Output, Patch, Up};

/// How long another process may hold a thread before the caller is told. A Codex that was killed has been seen to hold one
/// for some seconds.
const HELD_PATIENCE: Duration = Duration::from_secs(10);
const HELD_PATIENCE_FORK: Duration = Duration::from_secs(4);
const HELD_WAIT: Duration = Duration::from_millis(250);
const HELD_WAIT_LONG: Duration = Duration::from_secs(2);

/// How often one turn may find its thread not loaded.
const REOPENINGS: u32 = 3;

/// Between two tries to tell Codex to stop.
const STOP_AGAIN: Duration = Duration::from_millis(50);

/// How long it may take until Codex was started anew for a turn that it did not stop.
const RESTART_GRACE: Duration = Duration::from_secs(15);

/// When the commands that an interrupt left are looked for again: Codex may have been about to start one.
const SWEEPS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// A session that is on its way out.
#[derive(Debug, Clone)]
struct Leaving {
    /// Codex is to remove its records first.
    records: bool,
    /// Those that are still there.
    threads: VecDeque<ThreadId>,
    /// The ask that has no answer yet.
    ask: Option<AskId>,
    /// Its deletion is in the batch: nothing may be written of it any more.
    gone: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct State {
    session: Session,
    developer_instructions: Option<String>,
    limits: Limits,
    agent: Option<Up>,
    /// Why waiting for an agent makes no sense.
    hopeless: Option<String>,
    /// No turn begins before another Codex is up.
    draining: bool,
    /// The thread is loaded in the agent that is up.
    loaded: bool,
    /// Codex may remember nothing of what was said: the next new thread is given it.
    has_history: bool,
    /// A new thread that has not been given what was said yet. It becomes the session's own when it has.
    fresh: Option<ThreadId>,
    queue: VecDeque<Waiting>,
    active: Option<Active>,
    /// It is being deleted.
    leaving: Option<Leaving>,
    /// Another session is being made of it.
    forking: Option<Forking>,
    /// Additions that Codex was told of, to a turn that has ended.
    late_steers: Vec<Steer>,
    /// When Codex is told again to end what an interrupt left.
    sweeps: VecDeque<Instant>,
    /// The last line of a process that is understood and on disk. What comes again of it, after a restart of codexd, is passed over.
    seen: Option<(AgentId, u64)>,
    /// What a new or resumed thread was told to have.
    thread_base: Base,
    /// What the thread goes back to after turns with a model or an effort of their own.
    base: Option<Base>,
    /// Warnings that were told lately; Codex repeats some with every turn.
    warned: VecDeque<String>,
}

impl State {
    /// A session that has had no turn.
    pub(crate) fn new(session: Session, developer_instructions: Option<String>, limits: Limits) -> Self {
        Self {
            draining: false,
            loaded: false,
            has_history: session.turn_count > 0,
            fresh: None,
            session,
            developer_instructions,
            limits,
            agent: None,
            hopeless: None,
            queue: VecDeque::new(),
            active: None,
            leaving: None,
            forking: None,
            late_steers: Vec::new(),
            sweeps: VecDeque::new(),
            seen: None,
            thread_base: Base::default(),
            base: None,
            warned: VecDeque::new(),
        }
    }

    /// A session as the store has it, with the turns that wait and the one that runs. `loaded` is the thread that the running agent has
    /// loaded for it.
    pub(crate) fn stored(
        stored: StoredSession,
        waiting: Vec<StoredTurn>,
        running: Option<Running>,
        limits: Limits,
        loaded: Option<&Loaded>,
    ) -> Self {
        let queue = waiting
            .into_iter()
            .map(|stored| Waiting { held: stored.turn.held, stale: true, job: Job::stored(stored) })
            .collect();
        let limit = limits.bounds.turn;
        Self {
            loaded: loaded.is_some_and(|loaded| Some(&loaded.thread) == stored.session.thread_id.as_ref()),
            queue,
            active: running.map(|running| reviving::active(running, limit)),
            seen: stored.seen,
            thread_base: loaded.map(|loaded| loaded.base.clone()).unwrap_or_default(),
            base: stored.base,
            ..Self::new(stored.session, stored.developer_instructions, limits)
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The thread that Codex has loaded for it.
    pub(crate) fn loaded(&self) -> Option<Loaded> {
        let thread = self.session.thread_id.clone().filter(|_| self.loaded)?;
        Some(Loaded { thread, base: self.thread_base.clone() })
    }

    /// The process that is up.
    pub(crate) fn agent(&self) -> Option<Up> {
        self.agent.clone()
    }

    /// Whether no turn begins before another Codex is up.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// The turn that is under way, in Codex or on the way there.
    pub(crate) fn active_turn(&self) -> Option<&TurnId> {
        self.active.as_ref().map(|active| &active.job.turn)
    }

    /// True when nothing will happen until somebody asks for something.
    pub(crate) fn at_rest(&self) -> bool {
        self.active.is_none()
            && self.forking.is_none()
            && self.late_steers.is_empty()
            && self.sweeps.is_empty()
            && self.leaving.as_ref().is_none_or(|leaving| leaving.gone)
            && self.queue.iter().all(|waiting| waiting.held)
    }

    /// When [`Input::Tick`] is due.
    pub(crate) fn wake(&self) -> Option<Instant> {
        if self.is_settling() {
            return self.settling_wake();
        }
        let Some(active) = self.active.as_ref() else { return self.sweeps.front().copied() };
        let again = match &active.phase {
            Phase::Resuming { again_at, .. } => *again_at,
            _ => active.stopping.and_then(|stopping| stopping.again_at),
        };
        // The time that a person takes to answer is not the turn's.
        let deadline = if active.waiting_since.is_some() { State::next_expiry(active) } else { Some(active.deadline) };
        let end = active.stopping.map_or(deadline, |stopping| Some(stopping.limit));
        [end, again].into_iter().flatten().min()
    }

    /// Something happened.
    pub(crate) fn handle(&mut self, input: Input, now: &Now<'_>, out: &mut Output) {
        if self.gone() {
            return Self::unheard(input, out);
        }
        match input {
            Input::AgentUp(up) => {
                if self.agent.as_ref() != Some(&up) {
                    // What another process had loaded means nothing to this one.
                    self.loaded &= self.agent.is_none();
                    self.agent = Some(up);
                }
                self.hopeless = None;
                self.revive(now, out);
                if self.active.as_ref().is_some_and(|active| active.phase == Phase::Settling(Step::Waiting)) {
                    self.settle(now, out);
                }
                self.start_next(now, out);
                if self.active.as_ref().is_some_and(|active| active.phase == Phase::NoAgent) {
                    self.check_again(now, out);
                }
            }
            Input::AgentDown { error, retrying } => {
                let waited = std::mem::take(&mut self.draining);
                self.agent_down(&error, retrying, now, out);
                if waited {
                    self.start_next(now, out);
                }
            }
            Input::Drain => self.draining = true,
            Input::Report(report) => self.report(report, now, out),
            Input::Checked { turn, verdict } => {
                if !self.in_phase(&turn, |phase| *phase == Phase::Checking) {
                    return;
                }
                match verdict {
                    Ok(()) => self.open(now, out),
                    Err(why) => self.fail(TurnErrorCode::Other, why, now, out),
                }
            }
            Input::History { turn, messages } => {
                if self.in_phase(&turn, |phase| *phase == Phase::Recalling) {
                    match messages {
                        Ok(messages) => self.recalled(messages, now, out),
                        Err(why) => {
                            let message =
                                format!("the saved conversation can't be read ({why}); nothing was sent to Codex");
                            let error = TurnError { retryable: true, ..TurnError::new(TurnErrorCode::Other, message) };
                            self.end(TurnStatus::Failed, Some(error), now, out);
                        }
                    }
                }
            }
            Input::Shared(other) => {
                let message = format!(
                    "session {other} is at work in this folder too; what one writes the other may undo \
                     (--exclusive-cwd queue lets them wait for each other; a session that is made with a worktree has a folder to \
                     itself)"
                );
                self.warn(message, now, out);
            }
            Input::LeftRunning => self.left_running(now, out),
            Input::Tick => self.tick(now, out),
        }
    }

    /// The turn waited for a Codex: what its principal may do, and the folder, may have changed meanwhile.
    fn check_again(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(active) = self.active.as_mut().filter(|active| active.stopping.is_none()) else {
            return self.open(now, out);
        };
        if active.job.principal == Principal::Local {
            return self.open(now, out);
        }
        active.phase = Phase::Checking;
        let effect = check(&active.job);
        out.effects.push(effect);
    }

    fn in_phase(&self, turn: &TurnId, test: impl Fn(&Phase) -> bool) -> bool {
        self.active.as_ref().is_some_and(|active| active.job.turn == *turn && test(&active.phase))
    }

    /// Takes the next waiting turn, unless one runs or the next is held.
    fn start_next(&mut self, now: &Now<'_>, out: &mut Output) {
        let busy = self.draining || self.leaving.is_some() || self.active.is_some() || self.forking.is_some();
        if busy || self.queue.front().is_none_or(|waiting| waiting.held) {
            return;
        }
        let Some(waiting) = self.queue.pop_front() else { return };
        // From now on what Codex runs in this thread may be this turn's.
        self.sweeps.clear();
        let job = waiting.job;
        let effect = check(&job);
        self.active = Some(Active::new(job, now.clock + self.limits.bounds.turn));
        // Who may have to wait for others in the folder is looked at like one whose folder may have changed.
        let look = waiting.stale || self.limits.policy.shared_cwd != SharedCwd::Warn;
        if look { out.effects.push(effect) } else { self.open(now, out) }
    }

    /// Asks Codex; on disk first, since it is an effect of the batch that holds it.
    fn ask(&mut self, ask: Ask, now: &Now<'_>, out: &mut Output) -> Option<AskId> {
        let agent = self.agent.as_ref()?.id.clone();
        let id = (now.next_ask)();
        out.batch.push(Write::AddAsk(Box::new(PendingAsk {
            id,
            agent: agent.clone(),
            session: self.session.id.clone(),
            turn: self.active.as_ref().map(|active| active.job.turn.clone()),
            meaning: asks::word(&ask).to_owned(),
            thread: asks::thread(&ask).cloned(),
            at: now.at,
        })));
        out.effects.push(Effect::Ask { agent, id, ask });
        Some(id)
    }

    /// What a thread of the session may have; each turn names its own policy, which is this or less.
    fn thread_spec(&self) -> ThreadSpec {
        let (sandbox, approval_policy) = (self.session.sandbox, self.session.approval_policy);
        ThreadSpec { sandbox, approval_policy, ..self.spec() }
    }

    /// What applies to the turn that runs: the session's own policy, and no more than whoever sent the turn may ask today.
    fn spec(&self) -> ThreadSpec {
        let (sandbox, approval_policy) = match &self.active {
            Some(active) => {
                self.limits.policy.confine(&active.job.principal, self.session.sandbox, self.session.approval_policy)
            }
            None => (self.session.sandbox, self.session.approval_policy),
        };
        ThreadSpec {
            cwd: self.session.cwd.clone(),
            model: self.session.model.clone(),
            sandbox,
            approval_policy,
            developer_instructions: self.developer_instructions.clone(),
            config: self.session.config.clone(),
        }
    }

    fn event(
        &self,
        name: EventName,
        turn: Option<&TurnId>,
        item: Option<&ItemId>,
        detail: Option<serde_json::Value>,
        now: &Now<'_>,
        out: &mut Output,
    ) {
        out.batch.push(Write::AddEvent(Box::new(NewEvent {
            name,
            at: now.at,
            session: Some(self.session.id.clone()),
            turn: turn.cloned(),
            item: item.cloned(),
            detail,
        })));
    }
}

/// A look at the folder of a turn and at its pictures.
fn check(job: &Job) -> Effect {
    let images = local_images(&job.options).map(str::to_owned).collect();
    Effect::CheckCwd { turn: job.turn.clone(), principal: job.principal.clone(), images }
}

/// The pictures of a turn that lie on this machine.
fn local_images(options: &TurnOptions) -> impl Iterator<Item = &str> {
    options.input.iter().filter_map(|part| match part {
        InputPart::LocalImage { path } => Some(path.as_str()),
        InputPart::Text { .. } | InputPart::Image { .. } => None,
    })
}

#[cfg(test)]
mod tests;
