//! What Codex said and the disk did not take. It is kept as it is and committed again, with pauses that grow, until it is taken:
//! the disk has room again, or does not fail any more.

use std::time::{Duration, Instant};

use store::StoreError;

use crate::{Refusal, state::Output};

/// The pause before it is tried again; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Unwritten {
    out: Output,
    error: StoreError,
    tries: u32,
    again_at: Instant,
}

impl Unwritten {
    /// It was tried `before`, and now once more.
    pub(crate) fn new(out: Output, error: StoreError, before: u32) -> Self {
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << before.min(16)));
        Self { out, error, tries: before.saturating_add(1), again_at: Instant::now() + pause }
    }

    /// When it is to be tried again.
    pub(crate) const fn again_at(&self) -> Instant {
        self.again_at
    }

    /// What callers are told meanwhile.
    pub(crate) fn refusal(&self) -> Refusal {
        self.error.clone().into()
    }

    /// What is to be committed, and how often that was tried.
    pub(crate) fn again(self) -> (Output, u32) {
        (self.out, self.tries)
    }
}
