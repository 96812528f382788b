//! From a turn that wants to run to a thread that can run it: loaded, else resumed, else a new one that is given the saved
//! messages. Which one happened is an event.

use std::time::Instant;

use agent::{Answer, Applied, Ask, AskError, ThreadSpec, TurnSpec};
use serde_json::json;
use store::{Base, Message, SessionChange, TurnChange, Write};
use types::{
    Delivery, EventName, InputPart, OnHeld, Resumed, ResumedHow, Role, ThreadId, TurnErrorCode, TurnKind, TurnOptions,
    TurnStatus,
};

use super::{
    Effect, HELD_PATIENCE, HELD_PATIENCE_FORK, HELD_WAIT, HELD_WAIT_LONG, Now, Output, Phase, REOPENINGS, State,
};
use crate::{Refusal, asks, mail::Loaded, policy, replay};

impl State {
    /// Brings the active turn a step nearer to Codex, with what is known now.
    pub(super) fn open(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        if active.stopping.is_some() {
            return self.stopped(now, out);
        }
        let since = match active.phase {
            Phase::Resuming { since, .. } => since,
            _ => now.clock,
        };
        if self.agent.is_none() {
            self.enter(Phase::NoAgent, None);
            self.announce(Ok(()), out);
            self.give_up_if_hopeless(now, out);
            return;
        }
        match self.session.thread_id.clone() {
            Some(thread) if self.loaded => self.start_turn(Some(thread), None, now, out),
            Some(thread) => {
                let ask = self.ask(Ask::ResumeThread { thread, spec: self.spec() }, now, out);
                self.enter(Phase::Resuming { since, again_at: None }, ask);
            }
            None => {
                let ask = self.ask(Ask::StartThread(self.spec()), now, out);
                self.enter(Phase::Starting, ask);
            }
        }
    }

    /// Codex answered while the thread was being opened.
    pub(super) fn opened(&mut self, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        let phase = active.phase.clone();
        match (phase, answer) {
            // Whatever it was: the prompt was not with it, so the next process may be asked afresh.
            (_, Err(AskError::Exited { .. })) => {
                self.fresh = None;
                self.enter(Phase::NoAgent, None);
                self.give_up_if_hopeless(now, out);
            }
            (Phase::Resuming { .. }, Ok(Answer::Thread { applied, .. })) => {
                self.told_base(applied.as_ref());
                if self.refuse_widened(applied.as_ref(), &self.thread_spec(), now, out) {
                    return;
                }
                self.loaded = true;
                self.resumed(ResumedHow::Resumed, now, out);
                self.start_turn(self.session.thread_id.clone(), None, now, out);
            }
            (Phase::Resuming { .. }, Err(AskError::NoRecord(why))) => {
                tracing::info!(session = %self.session.id, why, "the thread is gone; a new one is given the saved messages");
                self.session.thread_id = None;
                self.forget_base(out);
                self.open(now, out);
            }
            (Phase::Resuming { since, .. }, Err(AskError::Held(why))) => self.held(since, why, now, out),
            (Phase::Forking, Ok(Answer::Thread { thread: Some(thread), applied })) => {
                self.told_base(applied.as_ref());
                self.forget_base(out);
                if self.refuse_widened(applied.as_ref(), &self.thread_spec(), now, out) {
                    return;
                }
                self.adopt(thread.clone(), now, out);
                let loaded = Loaded { thread: thread.clone(), base: self.thread_base.clone() };
                out.effects.push(Effect::Loaded { session: self.session.id.clone(), loaded });
                self.resumed(ResumedHow::Forked, now, out);
                self.start_turn(Some(thread), None, now, out);
            }
            (Phase::Forking, Err(AskError::NoRecord(_))) => {
                self.session.thread_id = None;
                self.forget_base(out);
                self.open(now, out);
            }
            (Phase::Starting, Ok(Answer::Thread { thread, applied })) => {
                self.told_base(applied.as_ref());
                self.forget_base(out);
                if self.refuse_widened(applied.as_ref(), &self.thread_spec(), now, out) {
                    return;
                }
                if self.has_history {
                    self.fresh = thread;
                    self.enter(Phase::Recalling, None);
                    if let Some(active) = &self.active {
                        out.effects.push(Effect::LoadHistory { turn: active.job.turn.clone() });
                    }
                } else {
                    if let Some(thread) = thread {
                        self.adopt(thread, now, out);
                    }
                    self.start_turn(self.session.thread_id.clone(), None, now, out);
                }
            }
            (Phase::Injecting { messages }, Ok(_)) => {
                if let Some(thread) = self.fresh.take() {
                    self.adopt(thread, now, out);
                }
                self.replayed(messages.len(), now, out);
                self.start_turn(self.session.thread_id.clone(), None, now, out);
            }
            (Phase::Injecting { messages }, Err(AskError::NotSupported)) => self.start_marked(&messages, now, out),
            (_, Err(error)) => self.fail_ask(&error, now, out),
            (phase, Ok(answer)) => tracing::warn!(?phase, ?answer, "an answer that does not fit"),
        }
    }

    /// Another process has the thread.
    fn held(&mut self, since: Instant, why: String, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        let waited = now.clock.saturating_duration_since(since);
        let on_held = active.job.options.on_held;
        // One that was killed has been seen to hold a thread for some seconds: nobody is told of that.
        let patience = if on_held == OnHeld::Fork { HELD_PATIENCE_FORK } else { HELD_PATIENCE };
        if waited < patience {
            return self.enter(Phase::Resuming { since, again_at: Some(now.clock + HELD_WAIT) }, None);
        }
        match on_held {
            OnHeld::Fail => self.fail_ask(&AskError::Held(why), now, out),
            OnHeld::Wait => {
                self.announce(Ok(()), out);
                self.warn(
                    "another Codex process is using the thread; the turn waits until it lets go".to_owned(),
                    now,
                    out,
                );
                self.enter(Phase::Resuming { since, again_at: Some(now.clock + HELD_WAIT_LONG) }, None);
            }
            OnHeld::Fork => {
                let Some(thread) = self.session.thread_id.clone() else { return };
                let ask = self.ask(Ask::Fork { thread, spec: self.thread_spec() }, now, out);
                self.enter(Phase::Forking, ask);
            }
        }
    }

    /// Tells the turn's caller, who waits for it, whether it gets its thread.
    pub(super) fn announce(&mut self, result: Result<(), Refusal>, out: &mut Output) {
        if let Some(active) = self.active.as_mut().filter(|active| active.announced) {
            active.announced = false;
            out.effects.push(Effect::Opened { turn: active.job.turn.clone(), result });
        }
    }

    /// The saved messages are here.
    pub(super) fn recalled(&mut self, history: Vec<Message>, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        let messages = replay::select(history, &active.job.turn, self.limits.bounds.inject_chars);
        let Some(agent) = &self.agent else {
            self.fresh = None;
            self.enter(Phase::NoAgent, None);
            self.give_up_if_hopeless(now, out);
            return;
        };
        match self.fresh.clone() {
            Some(thread) if agent.capabilities.inject && !messages.is_empty() => {
                let ask = self.ask(Ask::Inject { thread, messages: messages.clone() }, now, out);
                self.enter(Phase::Injecting { messages }, ask);
            }
            _ => self.start_marked(&messages, now, out),
        }
    }

    fn start_marked(&mut self, messages: &[(Role, String)], now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        if active.job.kind == TurnKind::Compact {
            let message = "the thread is gone and this version of Codex can't be given the saved messages without a prompt; \
                           the next prompt begins a new one, which is shorter by itself";
            self.fail(TurnErrorCode::Other, message.to_owned(), now, out);
            return;
        }
        let prompt = replay::marked(messages, &active.job.prompt);
        self.replayed(messages.len(), now, out);
        // The thread becomes the session's own once Codex has recorded this prompt, and with it what was said.
        self.start_turn(self.fresh.clone(), Some(prompt), now, out);
    }

    /// Asks for the turn itself. `marked` is its text together with what was said before.
    fn start_turn(&mut self, thread: Option<ThreadId>, marked: Option<String>, now: &Now<'_>, out: &mut Output) {
        let Some(ask) = self.turn_ask(thread, marked, out) else {
            let message = "there is no thread that could be made shorter".to_owned();
            return self.fail(TurnErrorCode::Other, message, now, out);
        };
        let (Some(active), Some(agent)) = (&self.active, &self.agent) else { return };
        let turn = active.job.turn.clone();
        let mut change = TurnChange {
            agent: Some(agent.id.clone()),
            thread: asks::thread(&ask).cloned(),
            delivery: Some(Delivery::Unknown),
            ..TurnChange::default()
        };
        if !active.started {
            change.status = Some(TurnStatus::Running);
            change.started_at = Some(now.at);
            self.event(EventName::TurnStarted, Some(&turn), None, None, now, out);
        }
        self.announce(Ok(()), out);
        let ask = self.ask(ask, now, out);
        change.ask = ask;
        out.batch.push(Write::UpdateTurn { id: turn, change: Box::new(change) });
        self.enter(Phase::Asked, ask);
        if let Some(active) = &mut self.active {
            active.started = true;
            active.delivery = Delivery::Unknown;
        }
    }

    fn turn_ask(&mut self, thread: Option<ThreadId>, marked: Option<String>, out: &mut Output) -> Option<Ask> {
        let job = self.active.as_ref()?.job.clone();
        if job.kind == TurnKind::Compact {
            return thread.map(|thread| Ask::Compact { thread });
        }
        let (model, effort) = self.model_of(&job.options, out);
        let mut input = job.options.input;
        if input.is_empty() {
            input.push(InputPart::Text { text: marked.unwrap_or(job.prompt) });
        } else if let Some(text) = marked {
            // Its words are in the marked text already; its pictures follow.
            input.retain(|part| !matches!(part, InputPart::Text { .. }));
            input.insert(0, InputPart::Text { text });
        }
        let output_schema = job.options.output_schema;
        Some(Ask::StartTurn(TurnSpec {
            thread,
            input,
            model,
            effort,
            output_schema,
            turn: job.turn,
            spec: self.spec(),
        }))
    }

    /// The model and the effort that this turn names. Codex keeps what a turn names for those that follow, so the first turn
    /// without takes it back.
    fn model_of(&mut self, options: &TurnOptions, out: &mut Output) -> (Option<String>, Option<String>) {
        let own = options.model.is_some() || options.effort.is_some();
        match self.base.clone() {
            // That of the session goes with what applies to the thread.
            None if !own => (None, None),
            None => {
                let base = self.thread_base.clone();
                let model = self.session.model.clone();
                self.rebase(Some(Base { model: model.or(base.model), effort: base.effort }), out);
                (options.model.clone().or_else(|| self.session.model.clone()), options.effort.clone())
            }
            Some(base) => (options.model.clone().or(base.model), options.effort.clone().or(base.effort)),
        }
    }

    /// Codex has recorded a turn; one that named nothing of its own has taken the thread back to what it had.
    pub(super) fn based(&mut self, out: &mut Output) {
        let plain = self.active.as_ref().is_some_and(|active| {
            let options = &active.job.options;
            active.job.kind == TurnKind::Prompt && options.model.is_none() && options.effort.is_none()
        });
        if let (true, Some(base)) = (plain, self.base.clone()) {
            self.thread_base = base;
            self.rebase(None, out);
        }
    }

    fn rebase(&mut self, base: Option<Base>, out: &mut Output) {
        self.base.clone_from(&base);
        let change = SessionChange { base: Some(base), ..SessionChange::default() };
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
    }

    /// A new thread has had no turn: there is nothing to go back to.
    pub(super) fn forget_base(&mut self, out: &mut Output) {
        if self.base.is_some() {
            self.rebase(None, out);
        }
    }

    pub(super) fn told_base(&mut self, applied: Option<&Applied>) {
        if let Some(applied) = applied {
            self.thread_base = Base { model: applied.model.clone(), effort: applied.effort.clone() };
        }
    }

    /// Codex answered whether it takes the turn.
    pub(super) fn taken(&mut self, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &mut self.active else { return };
        match answer {
            Ok(answer) => {
                active.phase = Phase::Running;
                if let Answer::Turn { codex_turn } = answer {
                    active.codex_turn = Some(codex_turn.clone());
                    let change = TurnChange { codex_turn: Some(codex_turn), ..TurnChange::default() };
                    out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
                }
            }
            Err(error) => {
                if !error.heard() {
                    active.delivery = Delivery::No;
                }
                match error {
                    AskError::NotLoaded if active.reopened < REOPENINGS => {
                        active.reopened += 1;
                        self.loaded = false;
                        self.open(now, out);
                    }
                    AskError::Exited { heard: false } | AskError::Unsent if active.stopping.is_some() => {
                        self.stopped(now, out);
                    }
                    // The daemon before ended before it could ask.
                    AskError::Unsent => self.open(now, out),
                    AskError::Exited { heard: false } => {
                        self.fresh = None;
                        self.enter(Phase::NoAgent, None);
                        self.give_up_if_hopeless(now, out);
                    }
                    // Why it ended comes next.
                    AskError::Exited { heard: true } => self.lose(None, now, out),
                    error => {
                        if error.heard() {
                            self.abandon_thread(out);
                        }
                        self.fail_ask(&error, now, out);
                    }
                }
            }
        }
    }

    /// The session has a new thread.
    pub(super) fn adopt(&mut self, thread: ThreadId, now: &Now<'_>, out: &mut Output) {
        let Some(backend) = self.agent.as_ref().map(|agent| agent.backend) else { return };
        self.loaded = true;
        if self.session.thread_id.as_ref() == Some(&thread) {
            return;
        }
        self.session.thread_id = Some(thread.clone());
        out.batch.push(Write::AddThread { thread, session: self.session.id.clone(), backend, at: now.at });
    }

    /// Fails the turn when Codex says that it applied more than was allowed.
    pub(super) fn refuse_widened(
        &mut self,
        applied: Option<&Applied>,
        allowed: &ThreadSpec,
        now: &Now<'_>,
        out: &mut Output,
    ) -> bool {
        let Some(wider) = applied.and_then(|applied| policy::widened(allowed, applied)) else { return false };
        let message = format!(
            "Codex applied {wider}; the turn was not started. Look for what sets it in Codex's own configuration"
        );
        self.loaded = false;
        self.fail(TurnErrorCode::PolicyWidened, message, now, out);
        true
    }

    fn replayed(&mut self, messages: usize, now: &Now<'_>, out: &mut Output) {
        tracing::info!(session = %self.session.id, messages, "replayed");
        self.resumed(ResumedHow::Replayed, now, out);
    }

    pub(super) fn resumed(&mut self, how: ResumedHow, now: &Now<'_>, out: &mut Output) {
        let resumed = Resumed { how, at: now.at };
        self.session.resumed = Some(resumed);
        let change = SessionChange { resumed: Some(resumed), ..SessionChange::default() };
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
        let turn = self.active.as_ref().map(|active| active.job.turn.clone());
        let detail = json!({"how": how, "threadId": self.session.thread_id});
        self.event(EventName::SessionResumed, turn.as_ref(), None, Some(detail), now, out);
    }

    pub(super) fn enter(&mut self, phase: Phase, ask: Option<types::AskId>) {
        if let Some(active) = &mut self.active {
            active.phase = phase;
            active.ask = ask;
        }
    }
}
