//! How a turn ends: as Codex says, by a deadline, with the process, or because nobody will come.

use agent::{Ask, AskError};
use store::{SessionChange, TurnChange, Write};
use types::{Code, Delivery, EventName, ItemBody, TurnError, TurnErrorCode, TurnId, TurnStatus};

use super::{
    Active, Effect, Finished, Job, Now, Output, Phase, RESTART_GRACE, STOP_AGAIN, SWEEPS, State, Stop, Stopping,
};
use crate::Refusal;

impl State {
    pub(super) fn agent_down(&mut self, error: &str, retrying: bool, now: &Now<'_>, out: &mut Output) {
        let gone = self.agent.take();
        if let (Some(active), Some(gone)) = (&mut self.active, &gone) {
            // A text in progress comes to no end any more, and its host need not keep it.
            Self::let_go_of(active, Some(&gone.id), None, out);
        }
        self.loaded = false;
        self.hopeless = (!retrying).then(|| error.to_owned());
        let Some(active) = &mut self.active else { return };
        match active.phase {
            _ if active.revived.is_some() => self.lost(now, out),
            Phase::Checking | Phase::Recalling => {}
            // Its answer is still to come, and says whether it was heard.
            Phase::Asked if active.ask.is_some() => {}
            Phase::Asked | Phase::Running | Phase::Settling(_) => {
                let why = why_lost(active, error);
                self.lose(Some(why), now, out);
            }
            _ => {
                active.phase = Phase::NoAgent;
                self.announce(Ok(()), out);
            }
        }
        let may_be_told = retrying && gone.is_none_or(|gone| gone.capabilities.record);
        if self.is_settling() && !may_be_told {
            self.settle_by_what_is_known(now, out);
        }
        self.give_up_if_hopeless(now, out);
    }

    /// A turn that waits for an agent that will not come fails, and so do those behind it.
    pub(super) fn give_up_if_hopeless(&mut self, now: &Now<'_>, out: &mut Output) {
        while let (Some(error), true) =
            (self.hopeless.clone(), self.active.as_ref().is_some_and(|active| active.phase == Phase::NoAgent))
        {
            self.fail(TurnErrorCode::AgentExited, format!("Codex is not running: {error}"), now, out);
        }
    }

    pub(super) fn tick(&mut self, now: &Now<'_>, out: &mut Output) {
        if self.is_settling() {
            return self.settling_tick(now, out);
        }
        let Some(active) = &mut self.active else { return self.sweep(now, out) };
        if let Phase::Resuming { again_at: Some(at), .. } = active.phase
            && at <= now.clock
        {
            self.open(now, out);
            return;
        }
        match active.stopping {
            Some(stopping) if stopping.limit <= now.clock && stopping.forced => self.left_running(now, out),
            Some(stopping) if stopping.limit <= now.clock => {
                let Some(agent) = self.agent.as_ref().map(|up| up.id.clone()) else {
                    return self.left_running(now, out);
                };
                if let Some(stopping) = &mut active.stopping {
                    stopping.forced = true;
                    stopping.again_at = None;
                    stopping.limit = now.clock + RESTART_GRACE;
                }
                out.effects.push(Effect::Unstoppable { agent, force: stopping.force });
            }
            Some(stopping) if stopping.again_at.is_some_and(|at| at <= now.clock) => {
                if let Some(stopping) = &mut active.stopping {
                    stopping.told = None;
                    stopping.again_at = None;
                }
                self.tell_to_stop(now, out);
            }
            None if active.waiting_since.is_some() => self.expire(now, out),
            None if active.deadline <= now.clock => self.stop(Stop::Deadline, false, now, out),
            _ => {}
        }
    }

    /// Codex did not stop the turn, and is not started anew for it: others have turns there.
    pub(super) fn left_running(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(stopping) = self.active.as_ref().and_then(|active| active.stopping) else { return };
        self.abandon_thread(out);
        let (code, error) = stopping.why.told();
        let message = format!(
            "the turn {error}, and Codex did not stop when told to. It may still be at work, since Codex also runs turns of other \
             sessions and was not started anew; the session goes on with a new thread"
        );
        self.interrupted(code, message, now, out);
    }

    /// Ends what an interrupt may have left, while nothing else of this session runs.
    fn sweep(&mut self, now: &Now<'_>, out: &mut Output) {
        while self.sweeps.front().is_some_and(|at| *at <= now.clock) {
            self.sweeps.pop_front();
            if let Some(thread) = self.session.thread_id.clone() {
                self.ask(Ask::CleanTerminals { thread }, now, out);
            }
        }
    }

    /// The turn that runs is to stop. One that Codex has not been asked for ends at once. With `force` Codex is started anew if it
    /// does not stop it, also when that ends turns of others.
    pub(super) fn stop(&mut self, why: Stop, force: bool, now: &Now<'_>, out: &mut Output) {
        if self.is_settling() {
            // It is over already; only a session that goes does not wait to hear how.
            if self.leaving.is_some() {
                self.settle_by_what_is_known(now, out);
            }
            return;
        }
        let Some(active) = &mut self.active else { return };
        if let Some(stopping) = &mut active.stopping {
            stopping.force |= force;
            return;
        }
        let asked = matches!(active.phase, Phase::Asked | Phase::Running);
        if asked {
            let limit = now.clock + self.limits.bounds.stop_grace;
            active.stopping = Some(Stopping { why, told: None, again_at: None, limit, force, forced: false });
            // Whoever takes the turn over goes on stopping it.
            let change = TurnChange { stopping: Some(true), ..TurnChange::default() };
            out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
            self.tell_to_stop(now, out);
            return;
        }
        match why {
            Stop::Deadline => {
                let message = format!("the turn did not begin within {} s", self.limits.bounds.turn.as_secs());
                self.interrupted(TurnErrorCode::TurnTimeout, message, now, out);
            }
            Stop::Asked => self.end(TurnStatus::Interrupted, None, now, out),
        }
    }

    /// A turn that was to stop, and that Codex has not heard of.
    pub(super) fn stopped(&mut self, now: &Now<'_>, out: &mut Output) {
        self.end(TurnStatus::Interrupted, None, now, out);
    }

    /// Tells Codex, once it has begun the turn: before, it says that there is none, and the turn runs on.
    pub(super) fn tell_to_stop(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        let Some(stopping) = &active.stopping else { return };
        // An interface whose turns have no id of their own knows them by the ask, and does not say that they begin.
        let by_ask = self.agent.as_ref().is_some_and(|up| up.backend == types::agent::Backend::McpServer);
        if stopping.told.is_some() || !(active.begun || by_ask) {
            return;
        }
        let turn = active.codex_turn.clone().or_else(|| active.ask.map(|ask| ask.to_string()));
        if let (Some(thread), Some(codex_turn)) = (self.fresh.clone().or_else(|| self.session.thread_id.clone()), turn)
        {
            let told = self.ask(Ask::Interrupt { thread, codex_turn }, now, out);
            if let Some(stopping) = self.active.as_mut().and_then(|active| active.stopping.as_mut()) {
                stopping.told = told;
            }
        }
    }

    /// Codex answered to being told to stop. It was seen to say that there is nothing to stop while the turn ran on: then it is
    /// told again, until the turn ends or its grace does.
    pub(super) fn heard_to_stop(&mut self, refused: bool, now: &Now<'_>) {
        if let Some(stopping) = self.active.as_mut().and_then(|active| active.stopping.as_mut())
            && refused
        {
            stopping.again_at = Some(now.clock + STOP_AGAIN);
        }
    }

    pub(super) fn fail(&mut self, code: TurnErrorCode, message: String, now: &Now<'_>, out: &mut Output) {
        self.end(TurnStatus::Failed, Some(TurnError::new(code, message)), now, out);
    }

    pub(super) fn interrupted(&mut self, code: TurnErrorCode, message: String, now: &Now<'_>, out: &mut Output) {
        self.end(TurnStatus::Interrupted, Some(TurnError::new(code, message)), now, out);
    }

    /// Codex may be busy on the thread with a turn that we gave up; what came next would be merged into it. The session goes on
    /// with another thread, which is given what was said.
    pub(super) fn abandon_thread(&mut self, out: &mut Output) {
        self.loaded = false;
        if self.session.thread_id.take().is_some() {
            let change = SessionChange { thread: Some(None), ..SessionChange::default() };
            out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
        }
    }

    /// An ask failed in a way that ends the turn.
    pub(super) fn fail_ask(&mut self, error: &AskError, now: &Now<'_>, out: &mut Output) {
        match error {
            AskError::Timeout { .. } => self.fail(TurnErrorCode::AgentTimeout, error.to_string(), now, out),
            AskError::Held(_) => {
                let message = format!(
                    "{error}; end that process or try again later, or send the prompt with `onHeld`: `wait` waits for it, `fork` goes \
                     on with a copy of the thread"
                );
                let refusal = Refusal::new(Code::ThreadHeld, message.clone()).of_session(&self.session.id);
                if let Some(active) = self.active.as_ref().filter(|active| active.announced) {
                    // The caller is refused, so its key is free again.
                    let turn = active.job.turn.clone();
                    out.batch.push(Write::Forget(turn.clone()));
                    self.announce(Err(Refusal { turn: Some(turn), ..refusal }), out);
                }
                let error = TurnError { retryable: true, ..TurnError::new(TurnErrorCode::Other, message) };
                self.end(TurnStatus::Failed, Some(error), now, out);
            }
            AskError::Overloaded => {
                let error = TurnError { retryable: true, ..TurnError::new(TurnErrorCode::Other, error.to_string()) };
                self.end(TurnStatus::Failed, Some(error), now, out);
            }
            _ => self.fail(TurnErrorCode::Other, error.to_string(), now, out),
        }
    }

    /// The turn ends. After a lost one the waiting ones are held, until somebody asks for something again.
    pub(super) fn end(&mut self, status: TurnStatus, error: Option<TurnError>, now: &Now<'_>, out: &mut Output) {
        self.close_approvals(now, out);
        self.announce(Ok(()), out);
        let Some(mut active) = self.active.take() else { return };
        self.fresh = None;
        let agent = self.agent.as_ref().map(|up| up.id.clone());
        Self::let_go_of(&mut active, agent.as_ref(), None, out);
        // A command that Codex was running goes on after an interrupt, unless it is told to end it (measured, 0.153 and later).
        let cleans = self.agent.as_ref().is_some_and(|up| up.capabilities.clean_terminals);
        let interrupted = active.stopping.is_some() && active.begun && status == TurnStatus::Interrupted;
        if let (true, true, Some(thread)) = (cleans && interrupted, self.loaded, self.session.thread_id.clone()) {
            self.ask(Ask::CleanTerminals { thread }, now, out);
            self.sweeps = SWEEPS.iter().map(|after| now.clock + *after).collect();
        }
        let leaves = self.agent.as_ref().is_some_and(|up| up.capabilities.leaves_commands);
        let error = match (&error, left_command(&active)) {
            (None, Some(command)) if leaves && interrupted => Some(TurnError::new(
                TurnErrorCode::Other,
                format!(
                    "the command `{command}` may still be running: this version of Codex does not end it, and can't be told to"
                ),
            )),
            _ => error,
        };
        self.close_items(&active, now, out);
        if let Some(diff) = active.diff.take() {
            let detail = serde_json::json!({ "diff": diff });
            self.event(EventName::TurnDiff, Some(&active.job.turn), None, Some(detail), now, out);
        }
        let unheard = self.close_steers(&mut active, now, out);
        if let Some(ask) = active.ask {
            out.batch.push(Write::SettleAsk(ask));
        }
        let name = match status {
            TurnStatus::Completed => EventName::TurnCompleted,
            TurnStatus::Failed => EventName::TurnFailed,
            _ => EventName::TurnInterrupted,
        };
        if active.usage.is_some() {
            self.event(EventName::TurnUsage, Some(&active.job.turn), None, None, now, out);
        }
        let change = TurnChange {
            status: Some(status),
            delivery: Some(active.delivery),
            error: error.clone(),
            usage: active.usage,
            ended_at: Some(now.at),
            ..TurnChange::default()
        };
        out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
        if let Some(tokens) = active.usage {
            self.session.usage = Some(self.session.usage.unwrap_or_default().plus(tokens));
        }
        let usage = active.usage.and(self.session.usage);
        let change = SessionChange { updated_at: Some(now.at), usage, ..SessionChange::default() };
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
        self.event(name, Some(&active.job.turn), None, None, now, out);
        out.effects.push(Effect::Ended(Finished {
            turn: active.job.turn,
            status,
            delivery: active.delivery,
            answer: active.answered,
            error,
            thread: self.session.thread_id.clone(),
        }));
        self.has_history |= active.delivery != Delivery::No;
        // Behind the end that they follow.
        for steer in unheard {
            self.not_steered(steer, &AskError::NoTurn, now, out);
        }
        if active.over_restart {
            // What its thread was told to have is not known here: it is opened anew for the next turn.
            self.loaded = false;
        }
        if self.leaving.is_some() {
            self.leave(now, out);
        } else if status == TurnStatus::Interrupted && !active.followed {
            self.hold(now, out);
        } else {
            self.start_next(now, out);
        }
    }

    /// A turn that waited is over: Codex never heard of it.
    pub(super) fn never_ran(&self, job: Job, now: &Now<'_>, out: &mut Output) {
        let change = TurnChange {
            status: Some(TurnStatus::Interrupted),
            held: Some(false),
            ended_at: Some(now.at),
            ..TurnChange::default()
        };
        out.batch.push(Write::UpdateTurn { id: job.turn.clone(), change: Box::new(change) });
        self.event(EventName::TurnInterrupted, Some(&job.turn), None, None, now, out);
        out.effects.push(Effect::Ended(Finished {
            turn: job.turn,
            status: TurnStatus::Interrupted,
            delivery: Delivery::No,
            answer: None,
            error: None,
            thread: self.session.thread_id.clone(),
        }));
    }

    pub(super) fn hold(&mut self, now: &Now<'_>, out: &mut Output) {
        let held: Vec<TurnId> =
            self.queue.iter().filter(|waiting| !waiting.held).map(|waiting| waiting.job.turn.clone()).collect();
        for waiting in &mut self.queue {
            waiting.held = true;
        }
        for turn in held {
            let change = TurnChange { held: Some(true), ..TurnChange::default() };
            out.batch.push(Write::UpdateTurn { id: turn.clone(), change: Box::new(change) });
            self.event(EventName::TurnHeld, Some(&turn), None, None, now, out);
        }
    }
}

/// What is said of a turn whose process ended, unless it turns out to have completed.
fn why_lost(active: &Active, error: &str) -> TurnError {
    match active.stopping {
        Some(stopping) if stopping.forced => {
            let (code, why) = stopping.why.told();
            let message =
                format!("the turn {why}, and Codex, which did not stop it when told to, was started anew for that");
            TurnError::new(code, message)
        }
        _ => {
            let message = format!("Codex ended under the turn: {error}. The session goes on with the next prompt");
            TurnError::new(TurnErrorCode::AgentExited, message)
        }
    }
}

/// A command that was running when the turn ended.
fn left_command(active: &Active) -> Option<&str> {
    active.items.values().find_map(|item| match &item.open {
        Some(ItemBody::CommandExecution { command, .. }) => Some(command.as_str()),
        _ => None,
    })
}
