//! A turn while it waits and while it runs.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use store::{NewTurn, StoredTurn};
use types::{
    AskId, Delivery, ItemBody, ItemId, Origin, Principal, Role, Timestamp, TurnErrorCode, TurnId, TurnKind,
    TurnOptions, Usage,
};

use super::{
    asking::Open,
    reviving::Revived,
    settling::{Lost, Step},
    steering::Steer,
};

/// What a turn is, while it waits and while it runs.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) turn: TurnId,
    pub(super) kind: TurnKind,
    pub(super) prompt_item: ItemId,
    pub(super) prompt: String,
    pub(super) options: TurnOptions,
    /// When it was asked for.
    pub(super) at: Timestamp,
    pub(super) principal: Principal,
    pub(super) origin: Origin,
}

impl Job {
    /// One that is on disk.
    pub(super) fn stored(stored: StoredTurn) -> Self {
        Self {
            turn: stored.turn.id,
            kind: stored.turn.kind,
            prompt_item: stored.prompt_item,
            prompt: stored.turn.prompt,
            options: stored.options,
            at: stored.turn.created_at,
            principal: Principal::from_name(&stored.turn.principal),
            origin: stored.turn.origin,
        }
    }

    /// One that is about to be.
    pub(super) fn new(turn: &NewTurn) -> Self {
        Self {
            turn: turn.id.clone(),
            kind: turn.kind,
            prompt_item: turn.prompt_item.clone(),
            prompt: turn.prompt.clone(),
            options: turn.options.clone(),
            at: turn.created_at,
            principal: turn.principal.clone(),
            origin: turn.origin,
        }
    }
}

/// A turn that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) job: Job,
    pub(super) held: bool,
    /// It stood behind another one: its folder may have changed since it was accepted.
    pub(super) stale: bool,
}

/// Where the running turn is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    Checking,
    NoAgent,
    Resuming {
        since: Instant,
        again_at: Option<Instant>,
    },
    /// A copy of a thread that another process has.
    Forking,
    Starting,
    Recalling,
    Injecting {
        messages: Vec<(Role, String)>,
    },
    Asked,
    Running,
    /// Its process is gone, and Codex's record is to tell what became of it.
    Settling(Step),
}

/// The turn that is not waiting any more.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) job: Job,
    pub(super) phase: Phase,
    /// The ask that has no answer yet.
    pub(super) ask: Option<AskId>,
    pub(super) started: bool,
    pub(super) delivery: Delivery,
    pub(super) codex_turn: Option<String>,
    /// Codex has begun it: from then on it can be interrupted.
    pub(super) begun: bool,
    /// Its caller waits until it has its thread.
    pub(super) announced: bool,
    pub(super) reopened: u32,
    pub(super) deadline: Instant,
    /// It is to stop; by then it must have.
    pub(super) stopping: Option<Stopping>,
    pub(super) items: HashMap<String, OpenItem>,
    pub(super) answered: Option<String>,
    pub(super) usage: Option<Usage>,
    /// What Codex asked and waits with, and since when it waits for a person.
    pub(super) open: Vec<Open>,
    pub(super) waiting_since: Option<Instant>,
    /// What was added to it and is not recorded yet, in its order; and by whom.
    pub(super) steers: VecDeque<Steer>,
    pub(super) steerers: BTreeSet<String>,
    /// The last diff of all its changes.
    pub(super) diff: Option<String>,
    /// Lines that are not acknowledged before their item, or without one the turn, has ended; and how long their texts are.
    pub(super) unacked: Vec<(Option<ItemId>, u64)>,
    pub(super) unacked_bytes: usize,
    /// It ran under a daemon that is gone, in this process; until it is known whether that is still there.
    pub(super) revived: Option<Revived>,
    /// It ran under a daemon that is gone.
    pub(super) over_restart: bool,
    /// Its process is gone.
    pub(super) lost: Option<Lost>,
    /// Somebody asked for something after it was to stop, or was lost: what waits is not held then.
    pub(super) followed: bool,
}

impl Active {
    /// One that Codex has not been asked for.
    pub(super) fn new(job: Job, deadline: Instant) -> Self {
        Self {
            job,
            phase: Phase::Checking,
            ask: None,
            started: false,
            delivery: Delivery::No,
            codex_turn: None,
            begun: false,
            announced: false,
            reopened: 0,
            deadline,
            stopping: None,
            items: HashMap::new(),
            answered: None,
            usage: None,
            open: Vec::new(),
            waiting_since: None,
            steers: VecDeque::new(),
            steerers: BTreeSet::new(),
            diff: None,
            unacked: Vec::new(),
            unacked_bytes: 0,
            revived: None,
            over_restart: false,
            lost: None,
            followed: false,
        }
    }
}

/// A turn that is to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    pub(super) why: Stop,
    /// Codex has been told, and this is its number.
    pub(super) told: Option<AskId>,
    /// Codex said that there is nothing to stop, although there is: it is told again then.
    pub(super) again_at: Option<Instant>,
    pub(super) limit: Instant,
    /// Codex may be started anew for it, whatever else it runs.
    pub(super) force: bool,
    /// Codex is being started anew for it.
    pub(super) forced: bool,
}

/// Why a turn is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its time is up.
    Deadline,
    /// Somebody said so.
    Asked,
}

impl Stop {
    /// For programs and for people, of a turn that Codex did not stop.
    pub(super) const fn told(self) -> (TurnErrorCode, &'static str) {
        match self {
            Self::Deadline => (TurnErrorCode::TurnTimeout, "took longer than it may"),
            Self::Asked => (TurnErrorCode::AgentTimeout, "was to stop"),
        }
    }
}

/// An item of the running turn.
#[derive(Debug, Clone)]
pub(super) struct OpenItem {
    pub(super) id: ItemId,
    pub(super) at: Timestamp,
    /// What it was when it began; `None` once it is complete.
    pub(super) open: Option<ItemBody>,
}
