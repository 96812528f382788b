//! What Codex reports while a turn runs: items, tokens, questions, the end.

use agent::{Ask, Outcome, Reply, Report, Route, What};
use store::{TurnChange, Write};
use types::{Decision, Delivery, EventName, Item, ItemBody, ItemId, ItemStatus, TurnErrorCode, TurnKind, TurnStatus};

use super::{Active, Effect, Now, OpenItem, Output, Phase, State, Stop};

/// How much of texts in progress is kept in a Codex's host as well, in bytes, so that another daemon can show them from their beginning.
const UNACKED: usize = 4 << 20;

/// What a line costs besides its text.
const LINE: usize = 256;

/// So many warnings are remembered, so that one that comes with every turn is told once.
const WARNINGS: usize = 16;

impl State {
    pub(super) fn report(&mut self, report: Report, now: &Now<'_>, out: &mut Output) {
        let Report { agent, seq, line, route, what } = report;
        if self.came_again(&agent, line, &what) {
            if seq != 0 {
                out.effects.push(Effect::Ack { agent, seq });
            }
            return;
        }
        let before = out.batch.writes.len();
        let current = self.agent.as_ref().is_some_and(|up| up.id == agent);
        match what {
            What::Answer(id, answer) => {
                out.batch.push(Write::SettleAsk(id));
                if self.leaving.as_ref().is_some_and(|leaving| leaving.ask == Some(id)) {
                    self.thread_removed(answer, now, out);
                    return self.done(&agent, seq, before, out);
                }
                if self.forking.as_ref().is_some_and(|forking| forking.ask == id) {
                    self.fork_made(answer, now, out);
                    return self.done(&agent, seq, before, out);
                }
                if self.is_steer(id) {
                    self.steer_taken(id, answer, now, out);
                    return self.done(&agent, seq, before, out);
                }
                let Some(active) = &mut self.active else { return self.done(&agent, seq, before, out) };
                if active.ask == Some(id) {
                    active.ask = None;
                    match active.phase {
                        Phase::Asked => self.taken(answer, now, out),
                        Phase::Settling(step) => self.settling(step, answer, now, out),
                        _ => self.opened(answer, now, out),
                    }
                } else if active.stopping.is_some_and(|stopping| stopping.told == Some(id)) {
                    self.heard_to_stop(answer.is_err(), now);
                } else if let Err(error) = answer {
                    tracing::debug!(%id, %error, "an ask that nobody waits for failed");
                }
            }
            // What is said of a thread that was given up is about no turn of now; but a question must have an answer.
            what if self.is_given_up(&route) => {
                if let What::Approval(asked) = what {
                    let reply = Reply::Decide(Decision::Decline);
                    out.effects.push(Effect::Reply { agent: agent.clone(), request: asked.request, reply });
                }
            }
            // It is acknowledged with the end of what it is a part of: until then it is nowhere but in memory.
            what @ (What::ItemDelta { .. } | What::Diff(_)) if self.keeps(&what, seq, out) => {
                self.told(what, current, now, out);
                return;
            }
            // What a process that is gone said last is still true of the turn that it ran.
            what => self.told(what, current, now, out),
        }
        self.done(&agent, seq, before, out);
    }

    /// Whether a line is understood and on disk already: a process that outlives codexd says again what was not acknowledged. Texts in
    /// progress are in memory only, so these are heard again from their beginning.
    fn came_again(&self, agent: &types::AgentId, seq: u64, what: &What) -> bool {
        let in_memory = matches!(what, What::ItemDelta { .. } | What::Diff(_) | What::TurnStarted { .. });
        !in_memory && seq != 0 && self.seen.as_ref().is_some_and(|(of, upto)| of == agent && seq <= *upto)
    }

    /// Whether a line is not acknowledged before what it is a part of has ended. Beyond a bound what it says is not kept in memory
    /// either, and it is as good as told.
    fn keeps(&mut self, what: &What, seq: u64, out: &mut Output) -> bool {
        let Some(active) = self.active.as_mut().filter(|_| seq != 0) else { return false };
        let (item, bytes) = match what {
            What::ItemDelta { codex_id, text, .. } => {
                let Some(item) = active.items.get(codex_id).filter(|item| item.open.is_some()) else { return false };
                (Some(item.id.clone()), text.len() + LINE)
            }
            What::Diff(_) => (None, 0),
            _ => return false,
        };
        if item.is_none() {
            // Each diff is the whole one: those before it are needed no more.
            let before: Vec<u64> = active.unacked.extract_if(.., |(of, _)| of.is_none()).map(|(_, seq)| seq).collect();
            if let Some(agent) = self.agent.as_ref().map(|up| up.id.clone()) {
                out.effects.extend(before.into_iter().map(|seq| Effect::Ack { agent: agent.clone(), seq }));
            }
        }
        active.unacked_bytes += bytes;
        let kept = active.unacked_bytes <= UNACKED;
        if kept {
            active.unacked.push((item, seq));
        }
        kept
    }

    /// Acknowledges what was kept of an item, or with none of everything.
    pub(super) fn let_go_of(
        active: &mut Active,
        agent: Option<&types::AgentId>,
        item: Option<&ItemId>,
        out: &mut Output,
    ) {
        let of_it = |(of, _): &mut (Option<ItemId>, u64)| item.is_none() || of.as_ref() == item;
        let seqs: Vec<u64> = active.unacked.extract_if(.., of_it).map(|(_, seq)| seq).collect();
        if active.unacked.is_empty() {
            active.unacked_bytes = 0;
        }
        if let Some(agent) = agent {
            out.effects.extend(seqs.into_iter().map(|seq| Effect::Ack { agent: agent.clone(), seq }));
        }
    }

    /// Whether a report is about a thread that the session does not have any more.
    fn is_given_up(&self, route: &Route) -> bool {
        let Route::Thread(thread) = route else { return false };
        self.session.thread_id.as_ref() != Some(thread) && self.fresh.as_ref() != Some(thread)
    }

    /// The line is understood. One that meant nothing durable is acknowledged with what comes next, or at once.
    fn done(&self, agent: &types::AgentId, seq: u64, before: usize, out: &mut Output) {
        if seq == 0 {
            return;
        }
        if out.batch.writes.len() > before && !self.gone() {
            out.seen = Some((agent.clone(), seq));
        }
        // `seen` on the state is what was on disk when it was read; within one life nothing comes twice.
        out.effects.push(Effect::Ack { agent: agent.clone(), seq });
    }

    fn told(&mut self, what: What, current: bool, now: &Now<'_>, out: &mut Output) {
        match what {
            What::Named { thread, applied } if current => {
                // This interface says what it applied when the turn runs already: stop it, not only ours.
                let running = self.active.as_ref().and_then(|active| active.codex_turn.clone());
                let wider =
                    applied.as_ref().is_some_and(|applied| crate::policy::widened(&self.spec(), applied).is_some());
                if let (true, Some(codex_turn)) = (wider, running) {
                    self.ask(Ask::Interrupt { thread: thread.clone(), codex_turn }, now, out);
                }
                if self.refuse_widened(applied.as_ref(), &self.spec(), now, out) {
                } else if self.has_history && self.session.thread_id.is_none() {
                    self.fresh = Some(thread);
                } else {
                    self.adopt(thread, now, out);
                }
                self.tell_to_stop(now, out);
            }
            What::TurnStarted { codex_turn } => {
                // A compaction is answered before it is named.
                if let Some(active) = &mut self.active
                    && (active.phase == Phase::Asked || (active.phase == Phase::Running && active.codex_turn.is_none()))
                {
                    active.codex_turn = Some(codex_turn.clone());
                    // A compaction is named by nothing else.
                    let change = TurnChange { codex_turn: Some(codex_turn.clone()), ..TurnChange::default() };
                    out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
                }
                if let Some(active) = &mut self.active
                    && active.codex_turn.as_ref() == Some(&codex_turn)
                {
                    active.begun = true;
                    self.tell_to_stop(now, out);
                    self.tell_steers(now, out);
                }
            }
            What::ItemStarted { codex_id, body } => self.item_started(codex_id, body, now, out),
            What::ItemCompleted { codex_id, status, body } => self.item_completed(codex_id, status, body, now, out),
            What::Usage(tokens) => {
                if let Some(active) = &mut self.active {
                    let usage = active.usage.unwrap_or_default().plus(tokens);
                    active.usage = Some(usage);
                    let change = TurnChange { usage: Some(usage), ..TurnChange::default() };
                    out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
                }
            }
            What::Warning(message) => self.warn(message, now, out),
            What::Diff(diff) => {
                if let Some(active) = &mut self.active {
                    active.diff = Some(diff);
                }
            }
            What::Approval(asked) => self.asked_for_approval(asked, now, out),
            What::ApprovalGone { request } => self.approval_gone(&request, now, out),
            What::TurnEnded { codex_turn, outcome, last_message } => {
                self.turn_ended(codex_turn.as_deref(), outcome, last_message, now, out);
            }
            What::ItemDelta { codex_id, kind, text } => {
                // What is complete comes with the item; this is for whoever watches.
                if let Some(active) = &self.active
                    && let Some(item) = active.items.get(&codex_id).filter(|item| item.open.is_some())
                {
                    let (turn, item) = (active.job.turn.clone(), item.id.clone());
                    out.effects.push(Effect::Grew { turn, item, kind, text });
                }
            }
            What::Named { .. } | What::Answer(..) => {}
        }
    }

    fn item_started(&mut self, codex_id: String, body: ItemBody, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &mut self.active else { return };
        // A prompt, or what was added to it, is an item of ours since it came.
        if is_first(active, &body) || matches!(body, ItemBody::UserMessage { .. }) {
            return;
        }
        let id = ItemId::fresh();
        active.items.insert(codex_id.clone(), OpenItem { id: id.clone(), at: now.at, open: Some(body.clone()) });
        let turn = active.job.turn.clone();
        self.put(Item { id: id.clone(), status: ItemStatus::InProgress, at: now.at, body }, Some(codex_id), out);
        self.event(EventName::ItemStarted, Some(&turn), Some(&id), None, now, out);
    }

    pub(super) fn item_completed(
        &mut self,
        codex_id: String,
        status: ItemStatus,
        body: ItemBody,
        now: &Now<'_>,
        out: &mut Output,
    ) {
        let Some(active) = &mut self.active else { return };
        let turn = active.job.turn.clone();
        if is_first(active, &body) {
            self.delivered(Some(body), now, out);
            return;
        }
        if matches!(body, ItemBody::UserMessage { .. }) && self.steer_recorded(now, out) {
            return;
        }
        let Some(active) = &mut self.active else { return };
        if let ItemBody::AgentMessage { text } = &body {
            active.answered = Some(text.clone());
        }
        let known = active.items.get_mut(&codex_id).map(|item| {
            item.open = None;
            (item.id.clone(), item.at)
        });
        let (id, at) = known.unwrap_or_else(|| {
            let id = ItemId::fresh();
            active.items.insert(codex_id.clone(), OpenItem { id: id.clone(), at: now.at, open: None });
            (id, now.at)
        });
        let agent = self.agent.as_ref().map(|up| up.id.clone());
        Self::let_go_of(active, agent.as_ref(), Some(&id), out);
        self.put(Item { id: id.clone(), status, at, body }, Some(codex_id), out);
        self.event(EventName::ItemCompleted, Some(&turn), Some(&id), None, now, out);
        out.effects.push(Effect::ItemOver(id));
    }

    /// Codex has recorded the prompt: from now on it is part of the thread. `told` is the item as Codex has it.
    pub(super) fn delivered(&mut self, told: Option<ItemBody>, now: &Now<'_>, out: &mut Output) {
        if let Some(thread) = self.fresh.take() {
            self.adopt(thread, now, out);
        }
        self.based(out);
        let Some(active) = &mut self.active else { return };
        active.delivery = Delivery::Yes;
        let (turn, id, at) = (active.job.turn.clone(), active.job.prompt_item.clone(), active.job.at);
        // The text of a prompt is what the caller wrote, also where Codex was given more.
        let body = match (active.job.kind, told) {
            (TurnKind::Compact, Some(told)) => told,
            (kind, _) => store::first_item(kind, &active.job.prompt, &active.job.options),
        };
        let change = TurnChange { delivery: Some(Delivery::Yes), ..TurnChange::default() };
        out.batch.push(Write::UpdateTurn { id: turn.clone(), change: Box::new(change) });
        self.put(Item { id: id.clone(), status: ItemStatus::Completed, at, body }, None, out);
        self.event(EventName::TurnDelivered, Some(&turn), None, None, now, out);
        self.event(EventName::ItemCompleted, Some(&turn), Some(&id), None, now, out);
    }

    pub(super) fn warn(&mut self, message: String, now: &Now<'_>, out: &mut Output) {
        let Some(active) = &self.active else { return };
        let turn = active.job.turn.clone();
        if self.warned.contains(&message) {
            return;
        }
        if self.warned.len() == WARNINGS {
            self.warned.pop_front();
        }
        self.warned.push_back(message.clone());
        let id = ItemId::fresh();
        let body = ItemBody::Warning { message };
        self.put(Item { id: id.clone(), status: ItemStatus::Completed, at: now.at, body }, None, out);
        self.event(EventName::ItemCompleted, Some(&turn), Some(&id), None, now, out);
    }

    fn turn_ended(
        &mut self,
        codex_turn: Option<&str>,
        outcome: Outcome,
        last_message: Option<String>,
        now: &Now<'_>,
        out: &mut Output,
    ) {
        let Some(active) = &mut self.active else { return };
        if !matches!(active.phase, Phase::Asked | Phase::Running) {
            return;
        }
        // A turn is named before it ends; until ours is, an end is that of another.
        if let Some(theirs) = codex_turn
            && active.codex_turn.as_deref() != Some(theirs)
        {
            let ours = active.codex_turn.as_deref().unwrap_or_default();
            tracing::debug!(ours, theirs, "the end of another turn");
            return;
        }
        let stopped = active.stopping.is_some_and(|stopping| stopping.why == Stop::Deadline);
        if outcome == Outcome::Completed && active.delivery != Delivery::Yes {
            // An interface that does not say that it recorded the prompt: the answer says it.
            self.delivered(None, now, out);
        }
        match outcome {
            Outcome::Completed => {
                let missing = last_message.filter(|text| {
                    !text.is_empty()
                        && self.active.as_ref().is_some_and(|active| active.answered.as_ref() != Some(text))
                });
                if let Some(text) = missing {
                    let body = ItemBody::AgentMessage { text };
                    self.item_completed("answer".to_owned(), ItemStatus::Completed, body, now, out);
                }
                self.end(TurnStatus::Completed, None, now, out);
            }
            Outcome::Failed(error) => self.end(TurnStatus::Failed, Some(error), now, out),
            Outcome::Interrupted if stopped => {
                let message = format!("the turn took longer than {} s", self.limits.bounds.turn.as_secs());
                self.interrupted(TurnErrorCode::TurnTimeout, message, now, out);
            }
            Outcome::Interrupted => self.end(TurnStatus::Interrupted, None, now, out),
        }
    }

    /// What Codex began and will not finish.
    pub(super) fn close_items(&self, active: &Active, now: &Now<'_>, out: &mut Output) {
        let mut open: Vec<_> =
            active.items.iter().filter_map(|(codex_id, item)| Some((codex_id, item, item.open.as_ref()?))).collect();
        open.sort_by(|a, b| a.1.id.cmp(&b.1.id));
        for (codex_id, item, body) in open {
            let whole = Item { id: item.id.clone(), status: ItemStatus::Incomplete, at: item.at, body: body.clone() };
            self.put_for(&active.job.turn, whole, Some(codex_id.clone()), out);
            self.event(EventName::ItemCompleted, Some(&active.job.turn), Some(&item.id), None, now, out);
        }
    }

    fn put(&self, item: Item, codex_id: Option<String>, out: &mut Output) {
        if let Some(active) = &self.active {
            self.put_for(&active.job.turn, item, codex_id, out);
        }
    }

    pub(super) fn put_for(&self, turn: &types::TurnId, item: Item, codex_id: Option<String>, out: &mut Output) {
        let session = self.session.id.clone();
        out.batch.push(Write::PutItem { session, turn: turn.clone(), item: Box::new(item), codex_id });
    }
}

/// The first user message of a turn is its prompt, and the first thing that we don't know of a compaction is the compaction:
/// that item is there already.
fn is_first(active: &Active, body: &ItemBody) -> bool {
    let fits = match active.job.kind {
        TurnKind::Prompt => matches!(body, ItemBody::UserMessage { .. }),
        TurnKind::Compact => matches!(body, ItemBody::Other { .. }),
    };
    fits && active.delivery != Delivery::Yes
}
