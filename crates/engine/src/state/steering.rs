//! What is added to a turn while it runs.
//!
//! Added words are an item of the turn, on disk before Codex hears them: in progress until Codex has recorded them, incomplete when
//! the turn ended before that, failed when Codex did not take them. Codex is told once it has begun the turn, one after the other.
//!
//! What Codex did not hear because its turn had ended may become a turn of its own ([`Steering::otherwise`]); that is what
//! `onBusy: steer` means.

use agent::{Answer, Ask, AskError};
use serde_json::json;
use store::{NewTurn, Remembered, Write};
use types::{
    AskId, Code, EventName, InputPart, Item, ItemBody, ItemId, ItemStatus, Principal, Timestamp, TurnId, TurnKind,
};

use super::{Active, Effect, Now, Output, State};
use crate::{OnBusy, Prompt, Refusal};

/// The most additions of one turn that Codex has not recorded yet.
const STEERS: usize = 16;

/// Somebody adds to a turn.
#[derive(Debug)]
pub(crate) struct Steering {
    /// Its item, by which its caller is answered.
    pub(crate) item: ItemId,
    /// To which turn; to the one that runs, without.
    pub(crate) turn: Option<TurnId>,
    pub(crate) prompt: Prompt,
    pub(crate) by: Principal,
    /// What it becomes when no turn runs that could take it.
    pub(crate) otherwise: Option<Box<NewTurn>>,
    /// The caller's key, for the same commit.
    pub(crate) remember: Option<Box<Remembered>>,
}

/// An addition that Codex has not recorded.
#[derive(Debug, Clone)]
pub(super) struct Steer {
    pub(super) turn: TurnId,
    pub(super) item: ItemId,
    pub(super) at: Timestamp,
    pub(super) prompt: Prompt,
    pub(super) by: Principal,
    /// Codex has been told, and this is its number.
    pub(super) told: Option<AskId>,
    /// Codex took it, and its caller knows.
    pub(super) taken: bool,
    pub(super) otherwise: Option<Box<NewTurn>>,
    pub(super) remember: Option<Box<Remembered>>,
}

impl State {
    /// Somebody adds to the turn that runs. The answer is [`Effect::Steered`].
    pub(crate) fn steer(&mut self, steering: Steering, now: &Now<'_>, out: &mut Output) -> Result<(), Refusal> {
        let Steering { item, turn, prompt, by, otherwise, mut remember } = steering;
        self.check_open()?;
        if let Err(refusal) = self.takes_more(turn.as_ref(), &prompt, &by) {
            let Some(new) = otherwise.filter(|_| refusal.code == Code::TurnEnded) else { return Err(refusal) };
            let turn = new.id.clone();
            self.submit(*new, OnBusy::Queue, now, out)?;
            if let Some(remember) = &mut remember {
                remember.turn = Some(turn.clone());
            }
            out.batch.writes.extend(remember.map(Write::Remember));
            out.effects.push(Effect::Steered { item, result: Ok(turn) });
            return Ok(());
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let turn = active.job.turn.clone();
        if let Some(remember) = &mut remember {
            remember.turn = Some(turn.clone());
            out.batch.push(Write::Remember(remember.clone()));
        }
        let steer = Steer { turn, item, at: now.at, prompt, by, told: None, taken: false, otherwise, remember };
        active.steerers.insert(steer.by.name());
        active.steers.push_back(steer.clone());
        self.put_steer(&steer, ItemStatus::InProgress, out);
        // Whoever takes the turn over has to know who added to it.
        let detail = json!({"principal": steer.by.name()});
        self.event(EventName::ItemStarted, Some(&steer.turn), Some(&steer.item), Some(detail), now, out);
        self.tell_steers(now, out);
        Ok(())
    }

    /// Refuses what can't be added. [`Code::TurnEnded`]: no turn runs that could take it.
    fn takes_more(&self, turn: Option<&TurnId>, prompt: &Prompt, by: &Principal) -> Result<(), Refusal> {
        let refuse = |code, detail: &str| {
            let refusal = Refusal::new(code, detail).of_session(&self.session.id);
            Err(Refusal { turn: turn.cloned(), ..refusal })
        };
        let waits = |turn: &TurnId| self.queue.iter().any(|waiting| waiting.job.turn == *turn);
        let active = match &self.active {
            Some(active) if turn.is_none_or(|turn| *turn == active.job.turn) => active,
            _ if turn.is_some_and(waits) => {
                return refuse(Code::NotSupported, "the turn waits for another one; it can be steered once it runs");
            }
            _ => return refuse(Code::TurnEnded, "the turn has ended"),
        };
        if active.stopping.is_some() {
            return refuse(Code::TurnEnded, "the turn is being interrupted");
        }
        if active.lost.is_some() {
            return refuse(Code::TurnEnded, "Codex ended under the turn");
        }
        if active.job.kind == TurnKind::Compact {
            return refuse(Code::NotSupported, "a turn that shortens the conversation takes no more words");
        }
        if self.agent.as_ref().is_some_and(|up| !up.capabilities.steer) {
            return refuse(Code::NotSupported, "this version of Codex takes nothing more while a turn runs");
        }
        let options = &prompt.options;
        if options.model.is_some() || options.effort.is_some() || options.output_schema.is_some() {
            return refuse(Code::NotSupported, "a turn that runs keeps its model, effort and outputSchema");
        }
        self.check_images(options)?;
        if active.steers.len() >= STEERS {
            return refuse(Code::QueueFull, "Codex has not taken yet what was added before; try again in a moment");
        }
        // Whoever adds to a turn gets what it does: no more than they could have asked for themselves.
        let its = self.spec();
        let theirs = self.limits.policy.confine(by, self.session.sandbox, self.session.approval_policy);
        if its.sandbox > theirs.0 {
            let detail = "the turn may touch more than you may ask for; start a turn of your own instead";
            return refuse(Code::SandboxForbidden, detail);
        }
        if its.approval_policy > theirs.1 {
            let detail = "the turn asks less than you may ask for; start a turn of your own instead";
            return refuse(Code::ApprovalPolicyForbidden, detail);
        }
        Ok(())
    }

    /// Tells Codex the next addition, once it has begun the turn and has taken the one before.
    pub(super) fn tell_steers(&mut self, now: &Now<'_>, out: &mut Output) {
        let takes = |active: &&Active| active.begun && active.stopping.is_none() && active.lost.is_none();
        let Some(active) = self.active.as_ref().filter(takes) else { return };
        if active.steers.iter().any(|steer| steer.told.is_some() && !steer.taken) {
            return;
        }
        let Some(place) = active.steers.iter().position(|steer| steer.told.is_none()) else { return };
        let thread = self.fresh.clone().or_else(|| self.session.thread_id.clone());
        let (Some(thread), Some(codex_turn)) = (thread, active.codex_turn.clone()) else {
            return;
        };
        let prompt = &active.steers[place].prompt;
        let mut input = prompt.options.input.clone();
        if input.is_empty() {
            input.push(InputPart::Text { text: prompt.text.clone() });
        }
        let item = active.steers[place].item.clone();
        let told = self.ask(Ask::Steer { thread, codex_turn, input, item }, now, out);
        if let Some(steer) = self.active.as_mut().and_then(|active| active.steers.get_mut(place)) {
            steer.told = told;
        }
    }

    /// Whether Codex was told an addition under this number, in the turn that runs or in one that has ended.
    pub(super) fn is_steer(&self, id: AskId) -> bool {
        let steers = self.active.iter().flat_map(|active| &active.steers).chain(&self.late_steers);
        steers.into_iter().any(|steer| steer.told == Some(id))
    }

    /// Codex answered whether it takes an addition.
    pub(super) fn steer_taken(&mut self, id: AskId, answer: Result<Answer, AskError>, now: &Now<'_>, out: &mut Output) {
        let told = |steer: &Steer| steer.told == Some(id);
        let late = self.late_steers.iter().position(told).map(|place| self.late_steers.remove(place));
        let is_late = late.is_some();
        let mut running = || {
            let active = self.active.as_mut()?;
            let place = active.steers.iter().position(told)?;
            if answer.is_ok() {
                // It stays until Codex has recorded it.
                let steer = active.steers.get_mut(place)?;
                let known = std::mem::replace(&mut steer.taken, true);
                return (!known).then(|| steer.clone());
            }
            active.steers.remove(place)
        };
        let Some(steer) = late.or_else(&mut running) else { return };
        match answer {
            // The daemon before ended before Codex was given it, and the turn still runs.
            Err(AskError::Unsent) if !is_late => {
                if let Some(active) = &mut self.active {
                    active.steers.push_front(Steer { told: None, ..steer });
                }
            }
            Ok(_) => self.steered(&steer, now, out),
            // Codex's record may tell that it was heard: only its caller does not wait for that.
            Err(error @ AskError::Exited { heard: true }) if !is_late => {
                if let Some(active) = &mut self.active {
                    let waits = Steer { taken: true, otherwise: None, remember: None, ..steer.clone() };
                    active.steers.push_front(waits);
                }
                self.not_steered(steer, &error, now, out);
            }
            Err(error) => {
                // Until its turn ended it was in progress; then it was said to be incomplete.
                if !is_late {
                    let status = if error.heard() { ItemStatus::Incomplete } else { ItemStatus::Failed };
                    self.put_steer(&steer, status, out);
                    self.event(EventName::ItemCompleted, Some(&steer.turn), Some(&steer.item), None, now, out);
                }
                self.not_steered(steer, &error, now, out);
            }
        }
        self.tell_steers(now, out);
        self.start_next(now, out);
    }

    /// Codex has recorded a message that came after the prompt: the oldest addition.
    pub(super) fn steer_recorded(&mut self, now: &Now<'_>, out: &mut Output) -> bool {
        let Some(steer) = self.active.as_mut().and_then(|active| active.steers.pop_front()) else { return false };
        self.is_recorded(&steer, now, out);
        self.tell_steers(now, out);
        true
    }

    /// Codex's record of the turn, whose process is gone, has a message with this id: that addition was recorded, if it was not known yet.
    pub(super) fn steer_on_record(&mut self, given: Option<&str>, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &mut self.active else { return };
        let place = active.steers.iter().position(|steer| given == Some(steer.item.as_str()));
        if let Some(steer) = place.and_then(|place| active.steers.remove(place)) {
            self.is_recorded(&steer, now, out);
        }
    }

    fn is_recorded(&self, steer: &Steer, now: &Now<'_>, out: &mut Output) {
        if !steer.taken {
            self.steered(steer, now, out);
        }
        self.put_steer(steer, ItemStatus::Completed, out);
        self.event(EventName::ItemCompleted, Some(&steer.turn), Some(&steer.item), None, now, out);
    }

    /// The turn ended before Codex recorded these.
    /// Gives those of which nothing was heard.
    pub(super) fn close_steers(&mut self, active: &mut Active, now: &Now<'_>, out: &mut Output) -> Vec<Steer> {
        let mut unheard = Vec::new();
        for steer in std::mem::take(&mut active.steers) {
            self.put_steer(&steer, ItemStatus::Incomplete, out);
            self.event(EventName::ItemCompleted, Some(&steer.turn), Some(&steer.item), None, now, out);
            match steer.told {
                None => unheard.push(steer),
                // Its answer is still to come.
                Some(_) if !steer.taken => self.late_steers.push(steer),
                Some(_) => {}
            }
        }
        unheard
    }

    fn steered(&self, steer: &Steer, now: &Now<'_>, out: &mut Output) {
        let detail = json!({"prompt": steer.prompt.text, "principal": steer.by.name(), "itemId": steer.item});
        self.event(EventName::TurnSteered, Some(&steer.turn), None, Some(detail), now, out);
        out.effects.push(Effect::Steered { item: steer.item.clone(), result: Ok(steer.turn.clone()) });
    }

    /// Codex did not take it: it becomes a turn of its own, or its caller is told why.
    pub(super) fn not_steered(&mut self, steer: Steer, error: &AskError, now: &Now<'_>, out: &mut Output) {
        let unheard = matches!(error, AskError::NoTurn | AskError::Unsent | AskError::Exited { heard: false });
        let refusal = match error {
            AskError::NoTurn | AskError::Unsent | AskError::Exited { heard: false } => {
                Refusal::new(Code::TurnEnded, "the turn ended before Codex heard what was added")
            }
            AskError::NotSupported => {
                Refusal::new(Code::NotSupported, "this version of Codex takes nothing more while a turn runs")
            }
            AskError::Exited { heard: true } => {
                Refusal::new(Code::TurnEnded, "Codex ended; it may have heard what was added")
            }
            AskError::Timeout { .. } => Refusal::new(Code::AgentTimeout, error.to_string()),
            AskError::Overloaded => Refusal::new(Code::Overloaded, error.to_string()),
            _ => Refusal::new(Code::AgentError, error.to_string()),
        };
        let mut result = Err(Refusal { turn: Some(steer.turn.clone()), ..refusal.of_session(&self.session.id) });
        if let (true, Some(new)) = (unheard, steer.otherwise) {
            let turn = new.id.clone();
            let mut own = Output::default();
            result = self.becomes_a_turn(*new, now, &mut own).map(|()| turn.clone());
            if result.is_ok() {
                out.batch.writes.append(&mut own.batch.writes);
                out.effects.append(&mut own.effects);
                let rebind = |remember: &Remembered| Write::Rebind { key: remember.key.clone(), turn };
                out.batch.writes.extend(steer.remember.as_deref().map(rebind));
            }
        }
        if let (Err(_), false, Some(remember)) = (&result, error.heard(), steer.remember) {
            // What was refused is not remembered.
            out.batch.push(Write::Release(remember.key));
        }
        out.effects.push(Effect::Steered { item: steer.item, result });
    }

    fn put_steer(&self, steer: &Steer, status: ItemStatus, out: &mut Output) {
        let images = steer.prompt.options.images().map(str::to_owned).collect();
        let body = ItemBody::UserMessage { text: steer.prompt.text.clone(), images };
        let item = Item { id: steer.item.clone(), status, at: steer.at, body };
        self.put_for(&steer.turn, item, None, out);
    }
}
