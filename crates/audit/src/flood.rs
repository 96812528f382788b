//! How much of what anybody can cause is written.

use std::time::{Duration, Instant};

/// So many facts that anybody can cause are written in each `WINDOW`.
pub const CHEAP: u64 = 20;

const WINDOW: Duration = Duration::from_secs(10);

/// Counts them.
#[derive(Debug)]
pub(crate) struct Flood {
    since: Instant,
    count: u64,
}

impl Flood {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    /// Whether one more is written; if so, how many were left out before it.
    pub(crate) fn another(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if now.saturating_duration_since(self.since) >= WINDOW {
            left_out = self.count.saturating_sub(CHEAP);
            *self = Self::new(now);
        }
        self.count += 1;
        (self.count <= CHEAP).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        assert_eq!((0..1000).filter(|_| flood.another(start) == Some(0)).count(), 20);
        assert_eq!(flood.another(start + WINDOW), Some(980));
        assert_eq!(flood.another(start + WINDOW), Some(0));
    }
}
