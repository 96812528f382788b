//! What is counted, for whoever watches the daemon.

use std::sync::atomic::{AtomicU64, Ordering};

use types::TurnStatus;

/// Counters that the hub and the sessions keep.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) awake: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    interrupted: AtomicU64,
    accepted: AtomicU64,
}

/// The counters at one moment. All but `awake` only grow, from the start of the daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions with work, or that had some a moment ago.
    pub awake: u64,
    /// Turns that were accepted.
    pub accepted: u64,
    /// Turns that completed.
    pub completed: u64,
    /// Turns that failed.
    pub failed: u64,
    /// Turns that were stopped, or lost.
    pub interrupted: u64,
    /// Commits of the store.
    pub commits: u64,
}

impl Stats {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, status: TurnStatus) {
        let counter = match status {
            TurnStatus::Completed => &self.completed,
            TurnStatus::Failed => &self.failed,
            _ => &self.interrupted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, commits: u64) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            awake: read(&self.awake),
            accepted: read(&self.accepted),
            completed: read(&self.completed),
            failed: read(&self.failed),
            interrupted: read(&self.interrupted),
            commits,
        }
    }
}
