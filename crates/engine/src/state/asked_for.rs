//! What callers ask of a session: a turn, or a change of the session itself. Each is refused whole or done whole.

use store::{NewTurn, SessionChange, TurnChange, Write};
use types::{Code, EventName, InputPart, OnHeld, TitleSource, TurnId, TurnKind, TurnOptions, auto_title};

use super::{Job, Now, Output, Patch, State, Stop, Waiting};
use crate::{OnBusy, Refusal};

impl State {
    /// A new turn. It waits when another one runs; what was held goes on as well.
    pub(crate) fn submit(
        &mut self,
        turn: NewTurn,
        on_busy: OnBusy,
        now: &Now<'_>,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        self.check_open()?;
        let refuse = |code, detail: &str| Err(Refusal::new(code, detail).of_session(&self.session.id));
        if self.session.archived_at.is_some() {
            let detail = "the session is archived; bring it back first: PATCH {\"archived\": false}, or `codexd sessions unarchive`";
            return refuse(Code::NotSupported, detail);
        }
        let waiting = self.queue.len();
        if on_busy == OnBusy::Reject && (self.active.is_some() || waiting > 0) {
            return refuse(Code::TurnActive, "a turn of this session is running or waiting");
        }
        if let Some(capabilities) = self.agent.as_ref().map(|agent| agent.capabilities) {
            if turn.kind == TurnKind::Compact && !capabilities.compact {
                return refuse(Code::NotSupported, "this version of Codex can't compact a conversation on request");
            }
            if !turn.options.is_text() && !capabilities.turn_options {
                let detail = "this version of Codex takes only text: no images, and no model, effort or outputSchema for one turn";
                return refuse(Code::NotSupported, detail);
            }
        }
        self.check_images(&turn.options)?;
        if turn.kind == TurnKind::Compact && self.session.turn_count == 0 {
            return refuse(Code::NotSupported, "the session has had no turn: there is nothing to compact");
        }
        if waiting >= self.limits.bounds.queue {
            let detail = format!("{waiting} turns are waiting in this session already; try again when one has ended");
            return Err(Refusal::new(Code::QueueFull, detail).of_session(&self.session.id));
        }
        if let (Some(error), None) = (&self.hopeless, &self.agent) {
            return Err(Refusal::new(Code::AgentUnavailable, format!("Codex is not running: {error}"))
                .of_session(&self.session.id));
        }
        self.let_go(out);
        self.enqueue(turn, false, now, out);
        self.start_next(now, out);
        Ok(())
    }

    /// A turn that waits from now on.
    fn enqueue(&mut self, turn: NewTurn, held: bool, now: &Now<'_>, out: &mut Output) {
        let mut change = SessionChange { updated_at: Some(now.at), ..SessionChange::default() };
        let continues = self.session.turn_count > 0 || self.session.title.is_empty();
        if self.session.title_source == TitleSource::Auto && !self.session.title_locked && continues {
            change.title = auto_title(&turn.prompt)
                .filter(|title| *title != self.session.title)
                .map(|title| (title, TitleSource::Auto, false));
        }
        if let Some((title, ..)) = &change.title {
            self.session.title.clone_from(title);
        }
        self.session.turn_count += 1;
        self.queue.push_back(Waiting {
            job: Job::new(&turn),
            held,
            stale: self.active.is_some() || !self.queue.is_empty(),
        });
        let id = turn.id.clone();
        out.batch.push(Write::CreateTurn(Box::new(turn)));
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
        self.event(EventName::TurnQueued, Some(&id), None, None, now, out);
        if held {
            let change = TurnChange { held: Some(true), ..TurnChange::default() };
            out.batch.push(Write::UpdateTurn { id: id.clone(), change: Box::new(change) });
            self.event(EventName::TurnHeld, Some(&id), None, None, now, out);
        }
    }

    /// What was to be added to a turn waits behind those that wait, and is held as they are.
    pub(super) fn becomes_a_turn(&mut self, turn: NewTurn, now: &Now<'_>, out: &mut Output) -> Result<(), Refusal> {
        self.check_open()?;
        let waiting = self.queue.len();
        if waiting >= self.limits.bounds.queue {
            let detail = format!("{waiting} turns are waiting in this session already; try again when one has ended");
            return Err(Refusal::new(Code::QueueFull, detail).of_session(&self.session.id));
        }
        let held = self.queue.iter().any(|waiting| waiting.held);
        self.enqueue(turn, held, now, out);
        Ok(())
    }

    /// The turn is on its way to a thread of which it is not known yet whether another process has it: its caller is to wait until
    /// that is known ([`super::Effect::Opened`]).
    pub(crate) fn opens(&mut self, turn: &TurnId) -> bool {
        let known = self.agent.is_some() && self.session.thread_id.is_some() && !self.loaded;
        let Some(active) = self.active.as_mut().filter(|active| active.job.turn == *turn) else { return false };
        active.announced = known && active.job.options.on_held == OnHeld::Fail;
        active.announced
    }

    /// What was held goes on.
    pub(crate) fn resume(&mut self, now: &Now<'_>, out: &mut Output) -> Result<(), Refusal> {
        self.check_open()?;
        self.let_go(out);
        self.start_next(now, out);
        Ok(())
    }

    fn let_go(&mut self, out: &mut Output) {
        // Who asks for something while a turn is being stopped, or is lost, wants it done after that.
        if let Some(active) = self.active.as_mut().filter(|active| active.stopping.is_some() || active.lost.is_some()) {
            active.followed = true;
        }
        for waiting in self.queue.iter_mut().filter(|waiting| waiting.held) {
            waiting.held = false;
            let change = TurnChange { held: Some(false), ..TurnChange::default() };
            out.batch.push(Write::UpdateTurn { id: waiting.job.turn.clone(), change: Box::new(change) });
        }
    }

    /// Refuses pictures that this Codex would not fetch.
    pub(super) fn check_images(&self, options: &TurnOptions) -> Result<(), Refusal> {
        let remote = |part: &InputPart| matches!(part, InputPart::Image { url } if !url.starts_with("data:"));
        let fetches = self.agent.as_ref().is_none_or(|agent| agent.capabilities.remote_images);
        if fetches || !options.input.iter().any(remote) {
            return Ok(());
        }
        let detail =
            "this version of Codex does not fetch images: send the picture as a data: address, or as a localImage";
        Err(Refusal::new(Code::NotSupported, detail).of_session(&self.session.id))
    }

    /// A person changes the session itself.
    pub(crate) fn change(&mut self, patch: Patch, now: &Now<'_>, out: &mut Output) -> Result<(), Refusal> {
        self.check_open()?;
        if patch.archived == Some(true)
            && self.session.archived_at.is_none()
            && (self.active.is_some() || !self.queue.is_empty())
        {
            let detail = "a turn of this session is running or waiting; archive it when it has ended";
            return Err(Refusal::new(Code::TurnActive, detail).of_session(&self.session.id));
        }
        let mut change = SessionChange::default();
        let mut event = EventName::SessionUpdated;
        if let Some((title, source, locked)) = patch.title {
            self.session.title.clone_from(&title);
            self.session.title_source = source;
            self.session.title_locked = locked;
            change.title = Some((title, source, locked));
        }
        match patch.archived {
            Some(true) if self.session.archived_at.is_none() => {
                self.session.archived_at = Some(now.at);
                change.archived_at = Some(Some(now.at));
                event = EventName::SessionArchived;
            }
            Some(false) if self.session.archived_at.is_some() => {
                self.session.archived_at = None;
                change.archived_at = Some(None);
            }
            _ => {}
        }
        if !patch.labels.is_empty() {
            for (key, value) in patch.labels {
                match value {
                    Some(value) => self.session.labels.insert(key, value),
                    None => self.session.labels.remove(&key),
                };
            }
            change.labels = Some(self.session.labels.clone());
        }
        if let Some(cwd) = patch.cwd {
            self.session.cwd.clone_from(&cwd);
            change.cwd = Some(cwd);
        }
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
        self.event(event, None, None, None, now, out);
        Ok(())
    }

    /// A turn is to stop. One that waits is over at once; the one that runs ends when Codex has stopped.
    pub(crate) fn interrupt(
        &mut self,
        turn: &TurnId,
        force: bool,
        now: &Now<'_>,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        self.check_open()?;
        if self.active.as_ref().is_some_and(|active| active.job.turn == *turn) {
            self.stop(Stop::Asked, force, now, out);
            return Ok(());
        }
        let place = self.queue.iter().position(|waiting| waiting.job.turn == *turn);
        let Some(waiting) = place.and_then(|place| self.queue.remove(place)) else {
            let refusal = Refusal::new(Code::TurnEnded, "the turn has ended").of_session(&self.session.id);
            return Err(Refusal { turn: Some(turn.clone()), ..refusal });
        };
        self.never_ran(waiting.job, now, out);
        Ok(())
    }

    /// Refuses what comes to a session that is being deleted.
    pub(super) fn check_open(&self) -> Result<(), Refusal> {
        if self.leaving.is_some() { Err(Refusal::no_session(self.session.id.as_str())) } else { Ok(()) }
    }
}
