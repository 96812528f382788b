//! How often each of many readers is told.
//!
//! A hundred readers are told of each piece of a text at once. Of more, each is told less often and larger pieces, so that telling all of
//! them stays a fraction of what the machine can do, also when none of them reads what it was told. Only those count that wait to be told:
//! a client that does not read stops counting when its connection is full.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// So many readers are told at once whatever happens.
const CROWD: u32 = 128;

/// In a crowd each reader waits so long for each that is in it.
const PACE: Duration = Duration::from_micros(50);

/// The readers that wait to be told.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<AtomicU32>);

/// One that waits, for as long as this is kept.
pub(super) struct Waiting(Crowd);

impl Crowd {
    pub(super) fn enter(&self) -> Waiting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }
}

impl Waiting {
    /// How long each reader waits between being told twice.
    pub(super) fn pace(&self) -> Option<Duration> {
        let waiting = self.0.0.load(Ordering::Relaxed);
        (waiting > CROWD).then(|| PACE * waiting.min(1_000))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
