//! Whether a Codex still answers, and whether it should make room for a new one.
//!
//! Pure: it is told what happens and what time it is, and says what is to be done. A Codex at rest is asked now and then, and only one at
//! rest makes room: that ends no turn.
//!
//! One that left a request without an answer until its deadline is suspected, and asked at once, also while it works. Without that a Codex
//! that hangs would stay as long as anybody wants something of it, since it is never at rest then. What such a one runs has no end of its
//! own: it ends with it.
//!
//! One late answer is not death: a machine may be slow, or asleep. Dead is what leaves several questions in a row without any sign, a line of
//! whatever kind being one.

use std::time::{Duration, Instant};

/// So many questions in a row without any sign, and it is dead.
const PATIENCE: u32 = 3;

/// How long one that is suspected may take to answer, as often.
const SUSPECT_LIMIT: Duration = Duration::from_secs(5);

/// When to look after a Codex at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    /// How long it says nothing before it is asked whether it is there.
    pub ask_after: Duration,
    /// How long it may take to answer that; several times in a row.
    pub answer_limit: Duration,
    /// How old it becomes before it is replaced.
    pub recycle_after: Option<Duration>,
    /// How many bytes of memory it may have before it is replaced.
    pub most_memory: Option<u64>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            ask_after: Duration::from_secs(60),
            answer_limit: Duration::from_secs(30),
            recycle_after: Some(Duration::from_secs(12 * 60 * 60)),
            most_memory: None,
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Ask it something cheap.
    Ask,
    /// End it and start another one.
    Recycle(String),
    /// It does not answer any more.
    Dead(String),
}

/// The state of one process.
pub(crate) struct Health {
    upkeep: Upkeep,
    /// How old it was when this was made, and when that was.
    age: Duration,
    since: Instant,
    /// The last sign of life, or question.
    last: Instant,
    /// Questions in a row without a sign.
    unanswered: u32,
    /// It left a request unanswered, and has given no sign since.
    suspected: bool,
    /// Somebody wants it replaced once it is at rest.
    wanted: Option<String>,
    /// Its memory was looked at since the last sign.
    weighed: bool,
}

/// How long nothing was said before an old one, or a big one, is replaced.
const SETTLED: Duration = Duration::from_secs(5);

impl Health {
    /// Of one that is so old.
    pub(crate) fn new(upkeep: Upkeep, age: Duration, now: Instant) -> Self {
        Self { upkeep, age, since: now, last: now, unanswered: 0, suspected: false, wanted: None, weighed: false }
    }

    /// When it is old enough to be replaced.
    fn old(&self) -> Option<Instant> {
        self.upkeep.recycle_after.map(|after| self.since + after.saturating_sub(self.age))
    }

    /// It wrote a line, or was given one that is no question of ours.
    pub(crate) fn sign(&mut self, now: Instant) {
        self.last = now;
        self.unanswered = 0;
        self.suspected = false;
        self.weighed = false;
    }

    /// A request that it was given was not answered in its time.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if !self.suspected {
            self.suspected = true;
            self.unanswered = 0;
            self.last = now;
        }
    }

    /// How long it may take to answer.
    fn answer_limit(&self) -> Duration {
        if self.suspected { SUSPECT_LIMIT.min(self.upkeep.answer_limit) } else { self.upkeep.answer_limit }
    }

    /// It is to be replaced once it is at rest.
    pub(crate) fn want(&mut self, why: String) {
        self.wanted.get_or_insert(why);
    }

    /// When to look again; nothing is due while it works and is not suspected.
    pub(crate) fn wake(&self, at_rest: bool) -> Option<Instant> {
        if self.suspected {
            return Some(if self.unanswered > 0 { self.last + self.answer_limit() } else { self.last });
        }
        if !at_rest {
            return None;
        }
        if self.wanted.is_some() {
            return Some(self.last);
        }
        let ask = self.last + self.wait();
        // One that was there before may have much to say first.
        let old = self.old().map(|old| old.max(self.last + SETTLED));
        // Not only when it is asked: one that is at work again and again is seldom silent for so long.
        let weighs = self.upkeep.most_memory.is_some() && !self.weighed;
        let weigh = weighs.then(|| ask.min(self.last + SETTLED));
        [Some(ask), old, weigh].into_iter().flatten().min()
    }

    /// How long after the last sign, or question, it is asked.
    fn wait(&self) -> Duration {
        if self.unanswered > 0 { self.answer_limit() } else { self.upkeep.ask_after }
    }

    /// What is due. `memory` is asked only when it matters.
    pub(crate) fn look(&mut self, at_rest: bool, now: Instant, memory: impl FnOnce() -> Option<u64>) -> Due {
        if self.wake(at_rest).is_none_or(|wake| now < wake) {
            return Due::Nothing;
        }
        if self.suspected {
            return self.question(now);
        }
        if let Some(why) = self.wanted.take() {
            return Due::Recycle(why);
        }
        if self.old().is_some_and(|old| now >= old) {
            return Due::Recycle("it was old enough to be replaced".to_owned());
        }
        if let Some(most) = self.upkeep.most_memory
            && let Some(has) = memory()
            && has > most
        {
            let (has, most) = (has / 1024 / 1024, most / 1024 / 1024);
            return Due::Recycle(format!("it had {has} MiB of memory, which is more than {most}"));
        }
        self.weighed = true;
        if now < self.last + self.wait() { Due::Nothing } else { self.question(now) }
    }

    /// One more, or one too many.
    fn question(&mut self, now: Instant) -> Due {
        if self.unanswered >= PATIENCE {
            let seconds = (self.answer_limit() * PATIENCE).as_secs();
            return Due::Dead(format!("it did not answer {PATIENCE} questions in a row, for {seconds} s"));
        }
        self.unanswered += 1;
        self.last = now;
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn upkeep() -> Upkeep {
        Upkeep {
            ask_after: MINUTE,
            answer_limit: MINUTE / 2,
            recycle_after: Some(60 * MINUTE),
            most_memory: Some(1 << 20),
        }
    }

    fn look(health: &mut Health, now: Instant) -> Due {
        health.look(true, now, || None)
    }

    #[test]
    fn one_late_answer_is_not_death_and_several_in_a_row_are() {
        let mut now = Instant::now();
        let mut health = Health::new(upkeep(), Duration::ZERO, now);
        assert_eq!(look(&mut health, now), Due::Nothing);
        now += MINUTE;
        assert_eq!(look(&mut health, now), Due::Ask);
        assert_eq!(look(&mut health, now), Due::Nothing);
        now += MINUTE / 2;
        assert_eq!(look(&mut health, now), Due::Ask);
        health.sign(now);
        now += MINUTE;
        for _ in 0..PATIENCE {
            assert_eq!(look(&mut health, now), Due::Ask);
            now += MINUTE / 2;
        }
        assert!(matches!(look(&mut health, now), Due::Dead(_)));
    }

    #[test]
    fn nothing_is_done_to_one_that_works() {
        let now = Instant::now();
        let mut health = Health::new(upkeep(), Duration::ZERO, now);
        health.want("somebody says so".to_owned());
        assert_eq!(health.wake(false), None);
        assert_eq!(health.look(false, now + 100 * MINUTE, || Some(u64::MAX)), Due::Nothing);
        assert_eq!(look(&mut health, now), Due::Recycle("somebody says so".to_owned()));
    }

    #[test]
    fn one_that_left_a_request_unanswered_is_asked_also_while_it_works() {
        let mut now = Instant::now();
        let mut health = Health::new(upkeep(), Duration::ZERO, now);
        now += MINUTE;
        health.suspect(now);
        assert_eq!(health.look(false, now, || None), Due::Ask);
        health.sign(now);
        assert_eq!(health.wake(false), None, "it lives, and works");
        health.suspect(now);
        for _ in 0..PATIENCE {
            assert_eq!(health.look(false, now, || None), Due::Ask);
            // More of the same changes nothing.
            health.suspect(now);
            now += SUSPECT_LIMIT;
        }
        assert!(matches!(health.look(false, now, || None), Due::Dead(why) if why.contains("for 15 s")));
    }

    #[test]
    fn its_memory_is_looked_at_as_soon_as_it_is_silent() {
        let now = Instant::now();
        let mut health = Health::new(upkeep(), Duration::ZERO, now);
        assert_eq!(health.wake(true), Some(now + SETTLED));
        assert_eq!(health.look(true, now + SETTLED, || Some(1 << 20)), Due::Nothing);
        assert_eq!(health.wake(true), Some(now + MINUTE), "once, until it says something again");
        health.sign(now + 2 * SETTLED);
        assert!(matches!(health.look(true, now + 3 * SETTLED, || Some(3 << 20)), Due::Recycle(_)));
        let unbounded = Upkeep { most_memory: None, recycle_after: None, ..upkeep() };
        assert_eq!(Health::new(unbounded, Duration::ZERO, now).wake(true), Some(now + MINUTE));
    }

    #[test]
    fn an_old_one_and_a_big_one_are_replaced() {
        let now = Instant::now();
        let mut health = Health::new(upkeep(), Duration::ZERO, now);
        assert_eq!(health.look(true, now + MINUTE, || Some(1 << 20)), Due::Ask);
        assert!(
            matches!(health.look(true, now + 2 * MINUTE, || Some(3 << 20)), Due::Recycle(why) if why.contains("3 MiB"))
        );
        let upkeep = Upkeep { most_memory: None, ..upkeep() };
        let mut health = Health::new(upkeep.clone(), Duration::ZERO, now);
        health.sign(now + 59 * MINUTE);
        assert_eq!(Health::new(upkeep.clone(), 59 * MINUTE + MINUTE / 2, now).wake(true), Some(now + MINUTE / 2));
        assert_eq!(
            Health::new(upkeep, 600 * MINUTE, now).wake(true),
            Some(now + SETTLED),
            "what it still has to say comes first"
        );
        assert_eq!(health.wake(true), Some(now + 60 * MINUTE));
        assert!(matches!(look(&mut health, now + 60 * MINUTE), Due::Recycle(_)));
    }
}
