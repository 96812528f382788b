//! A turn that ran under a daemon that is gone.
//!
//! It is read from disk as it was, and waits until it is known whether its process of Codex is still there. If it is, the turn goes on:
//! the answers and lines that the daemon before did not write down come again, and what somebody had answered is told once more (a host
//! gives each answer to Codex once). If it is not, the turn is settled by Codex's own record ([`settling`](super::settling)).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use agent::{Reply, RequestId};
use store::{Running, StoredApproval};
use types::{
    AgentId, ApprovalStatus, AskId, InputPart, Item, ItemBody, ItemId, ItemStatus, Principal, ThreadId, Timestamp,
    TurnError, TurnErrorCode, TurnOptions,
};

use super::{Active, Effect, Job, Now, OpenItem, Output, Phase, State, Stop, Stopping, asking::Open, steering::Steer};
use crate::Prompt;

/// What is to be done once it is known whether the process of a turn is there.
#[derive(Debug, Clone)]
pub(super) struct Revived {
    agent: Option<AgentId>,
    /// The thread that it runs on.
    thread: Option<ThreadId>,
    /// What was answered, for a process that may not have heard it.
    answered: Vec<StoredApproval>,
    /// Somebody has interrupted it; and the ask by which Codex was told.
    stopping: bool,
    told_to_stop: Option<AskId>,
}

/// A turn as it is on disk.
pub(super) fn active(running: Running, limit: Duration) -> Active {
    let Running { turn: stored, codex_ids, asks, approvals, steers } = running;
    let (clock, at) = (Instant::now(), Timestamp::now());
    let asked = |words: &[&str]| asks.iter().find(|ask| words.contains(&ask.meaning.as_str())).map(|ask| ask.id);
    let ask = asked(&["turn", "compact"]);
    let ran = stored.turn.started_at.map_or(Duration::ZERO, |since| between(since, at));
    let ran = ran.saturating_sub(people_took(&approvals, at));
    let names: HashMap<ItemId, String> = codex_ids.into_iter().collect();
    let agent = stored.agent.clone();
    let (pending, answered): (Vec<_>, Vec<_>) =
        approvals.into_iter().partition(|asked| asked.approval.status == ApprovalStatus::Pending);
    let open: Vec<Open> = pending
        .into_iter()
        .filter_map(|asked| {
            let until = clock + between(at, asked.approval.expires_at);
            Some(Open { agent: agent.clone()?, request: RequestId(asked.request), approval: asked.approval, until })
        })
        .collect();
    let revived = Revived {
        agent,
        thread: stored.thread.clone(),
        answered,
        stopping: stored.stopping,
        told_to_stop: asked(&["interrupt"]),
    };
    let items = stored.turn.items.clone();
    let completed = |item: &&Item| item.status == ItemStatus::Completed;
    let said = |item: &Item| match &item.body {
        ItemBody::AgentMessage { text } => Some(text.clone()),
        _ => None,
    };
    let mut active = Active {
        phase: if ask.is_some() { Phase::Asked } else { Phase::Running },
        ask,
        started: true,
        delivery: stored.turn.delivery,
        codex_turn: stored.codex_turn.clone(),
        // Codex says so again when it has not been told before that it begins; and a stop that comes too early is told again.
        begun: ask.is_none(),
        answered: items.iter().filter(completed).filter_map(said).next_back(),
        usage: stored.turn.usage,
        waiting_since: (!open.is_empty()).then_some(clock),
        open,
        revived: Some(revived),
        over_restart: true,
        ..Active::new(Job::stored(stored), clock + limit.saturating_sub(ran))
    };
    let mut told = asked(&["steer"]);
    for item in items.into_iter().filter(|item| item.id != active.job.prompt_item) {
        let in_progress = item.status == ItemStatus::InProgress;
        if let Some((_, by, taken)) = steers.iter().find(|(id, ..)| *id == item.id) {
            active.steerers.insert(by.clone());
            if in_progress {
                let steer = steer(&active.job, item, by, *taken, if *taken { None } else { told.take() });
                active.steers.push_back(steer);
            }
        } else if let Some(codex_id) = names.get(&item.id) {
            let open = in_progress.then_some(item.body);
            active.items.insert(codex_id.clone(), OpenItem { id: item.id, at: item.at, open });
        }
    }
    active
}

/// An addition that Codex has not recorded.
fn steer(job: &Job, item: Item, by: &str, taken: bool, told: Option<AskId>) -> Steer {
    let (text, images) = match item.body {
        ItemBody::UserMessage { text, images } => (text, images),
        _ => (String::new(), Vec::new()),
    };
    let picture = |image: String| match image.split_once(':') {
        Some(("data" | "http" | "https", _)) => InputPart::Image { url: image },
        _ => InputPart::LocalImage { path: image },
    };
    let mut input: Vec<InputPart> = images.into_iter().map(picture).collect();
    if !input.is_empty() && !text.is_empty() {
        input.insert(0, InputPart::Text { text: text.clone() });
    }
    Steer {
        turn: job.turn.clone(),
        item: item.id,
        at: item.at,
        prompt: Prompt { text, options: TurnOptions { input, ..TurnOptions::default() } },
        by: Principal::from_name(by),
        // One that was taken is not told again.
        told: told.or_else(|| taken.then_some(AskId(0))),
        taken,
        otherwise: None,
        remember: None,
    }
}

/// How long the turn waited for people, who may have been asked several things at once.
fn people_took(approvals: &[StoredApproval], now: Timestamp) -> Duration {
    let (mut took, mut upto) = (Duration::ZERO, Timestamp::from_millis(0));
    // They are in the order in which they were asked.
    for asked in approvals.iter().map(|asked| &asked.approval) {
        let (from, to) = (asked.requested_at.max(upto), asked.resolved_at.unwrap_or(now));
        took += between(from, to);
        upto = upto.max(to);
    }
    took
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl State {
    /// A process is up: the turn that ran before goes on in it, or was lost with another one.
    pub(super) fn revive(&mut self, now: &Now<'_>, out: &mut Output) {
        let Some(up) = self.agent.clone() else { return };
        let Some(active) = &mut self.active else { return };
        let Some(revived) = active.revived.take() else { return };
        if !up.attached || revived.agent.as_ref() != Some(&up.id) {
            active.revived = Some(revived);
            return self.lost(now, out);
        }
        self.loaded = true;
        if revived.thread != self.session.thread_id {
            // A new thread that becomes the session's own once Codex has recorded the prompt.
            self.fresh = revived.thread;
        }
        for asked in revived.answered {
            let reply = asked.reply.as_deref().and_then(|reply| serde_json::from_str::<Reply>(reply).ok());
            if let Some(reply) = reply {
                let request = RequestId(asked.request);
                out.effects.push(Effect::Reply { agent: up.id.clone(), request, reply });
            }
        }
        if let Some(active) = &mut self.active
            && (revived.stopping || active.stopping.is_some())
        {
            let limit = now.clock + self.limits.bounds.stop_grace;
            let (why, told) = (Stop::Asked, revived.told_to_stop);
            active.stopping = Some(Stopping { why, told, again_at: None, limit, force: false, forced: false });
        }
        let unasked = |active: &Active| active.phase == Phase::Running && active.codex_turn.is_none();
        if self.active.as_ref().is_some_and(unasked) {
            // It was on its way to its thread again: Codex does not have it.
            return self.open(now, out);
        }
        self.tell_to_stop(now, out);
        self.tell_steers(now, out);
    }

    /// The process of a turn that ran under another daemon is gone.
    pub(super) fn lost(&mut self, now: &Now<'_>, out: &mut Output) {
        if let Some(active) = &mut self.active {
            active.over_restart = false;
            let thread = active.revived.take().and_then(|revived| revived.thread);
            self.fresh = thread.filter(|thread| self.session.thread_id.as_ref() != Some(thread));
        }
        let message = "codexd ended while the turn ran, and Codex with it. The session goes on with the next prompt";
        self.lose(Some(TurnError::new(TurnErrorCode::AgentExited, message)), now, out);
        self.settle(now, out);
    }
}
