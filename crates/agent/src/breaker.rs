//! When a Codex that failed is tried again, and what is said of it meanwhile.
//!
//! Pure. A failure is waited out, a little longer each time. After so many in a row trying at once makes no sense any more, and neither does
//! waiting for it: the breaker is *open*, everybody is told so, with how often it went wrong, in what time and how last, and it is tried only
//! now and then, so that installing Codex, or repairing it, is enough. One that ran for a while closes it again.

use std::time::{Duration, Instant};

use crate::words::plain;

/// So many failures in a row are enough: of a program that does not start, and of one that does and then dies, which somebody may be
/// doing to it.
const GIVE_UP: u32 = 3;
const GIVE_UP_DYING: u32 = 8;

const SHORT_WAIT: Duration = Duration::from_millis(100);
const LONGEST_SHORT_WAIT: Duration = Duration::from_secs(2);
/// Between two tries while it is open.
const LONG_WAIT: Duration = Duration::from_secs(30);

/// One that was up for so long did not fail to start.
const STABLE: Duration = Duration::from_secs(30);

/// The most characters of a reason that are told: the last words of a program may be many.
const REASON: usize = 3000;

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, for people.
    pub(crate) text: String,
    /// Trying again at once makes no sense.
    pub(crate) hopeless: bool,
    /// How long it ran before; none when it did not come up.
    pub(crate) ran: Option<Duration>,
}

/// What follows from it.
#[derive(Debug)]
pub(crate) struct Next {
    /// False: it is open. Nobody should wait for the next try.
    pub(crate) retrying: bool,
    /// How long to wait until then.
    pub(crate) wait: Duration,
    /// What is told.
    pub(crate) text: String,
}

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// When the first of them was.
    since: Option<Instant>,
}

impl Breaker {
    /// Nothing is wrong.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    /// Something went wrong. `odd`, from 0 to 1, keeps several daemons from falling into step.
    pub(crate) fn failed(&mut self, failure: &Failure, now: Instant, odd: f64) -> Next {
        if failure.ran.is_some_and(|ran| ran >= STABLE) {
            self.close();
        }
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let patience = if failure.ran.is_some() { GIVE_UP_DYING } else { GIVE_UP };
        let reason = bounded(&failure.text);
        if self.failures < patience && !failure.hopeless {
            let short = (SHORT_WAIT * 4_u32.pow((self.failures - 1).min(4))).min(LONGEST_SHORT_WAIT);
            return Next { retrying: true, wait: short + short.mul_f64(odd / 4.0), text: reason };
        }
        let often = match self.failures {
            1 => String::new(),
            times => format!("so it went {times} times in {}; ", told(now.saturating_duration_since(since))),
        };
        let every = LONG_WAIT.as_secs();
        let text =
            format!("{reason} ({often}it is tried again every {every} s, and at once by `codexd agent restart`)");
        Next { retrying: false, wait: LONG_WAIT, text }
    }
}

/// Without control characters, and not too long.
fn bounded(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn told(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dying(ran: Duration) -> Failure {
        Failure { text: "it ended with exit code 1".to_owned(), hopeless: false, ran: Some(ran) }
    }

    #[test]
    fn one_that_dies_again_and_again_is_given_up_with_how_often_and_in_what_time() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        let mut before = Duration::ZERO;
        for _ in 1..GIVE_UP_DYING {
            let next = breaker.failed(&dying(SECOND), now, 0.0);
            assert!(next.retrying && next.wait >= before && next.wait <= LONGEST_SHORT_WAIT, "{next:?}");
            assert_eq!(next.text, "it ended with exit code 1");
            before = next.wait;
            now += SECOND * 2;
        }
        let next = breaker.failed(&dying(SECOND), now, 0.0);
        assert_eq!((next.retrying, next.wait), (false, LONG_WAIT));
        assert!(
            next.text
                .starts_with("it ended with exit code 1 (so it went 8 times in 14 s; it is tried again every 30 s")
        );
        // One more try, one more failure, still open.
        let next = breaker.failed(&dying(SECOND), now + 286 * SECOND, 0.0);
        assert!(!next.retrying && next.text.contains("9 times in 5 min"), "{}", next.text);
        let next = breaker.failed(&dying(STABLE), now, 0.0);
        assert!(next.retrying, "one that ran for a while begins anew");
    }

    #[test]
    fn one_that_does_not_start_is_given_up_sooner_and_one_that_is_not_there_at_once() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let failure = Failure { text: "no".to_owned(), hopeless: false, ran: None };
        for last in [false, false, true] {
            assert_eq!(breaker.failed(&failure, now, 0.0).retrying, !last);
        }
        breaker.close();
        assert!(breaker.failed(&failure, now, 0.0).retrying);
        let hopeless = Failure { hopeless: true, ..failure };
        let next = Breaker::default().failed(&hopeless, now, 0.0);
        assert!(!next.retrying && next.text.starts_with("no (it is tried again every"), "{}", next.text);
    }

    #[test]
    fn waits_differ_a_little_and_reasons_are_plain_and_bounded() {
        let (now, long) = (Instant::now(), "\u{1b}[31mä\u{7}".repeat(10_000));
        let failure = Failure { text: long, hopeless: false, ran: None };
        let next = Breaker::default().failed(&failure, now, 1.0);
        assert_eq!(next.wait, SHORT_WAIT + SHORT_WAIT / 4);
        assert_eq!(next.text, format!("{}…", "ä".repeat(REASON)));
    }
}
