//! A new Codex, because somebody wants one.
//!
//! # Theory of operation
//!
//! *At once* ends what runs. A *drain* does not: new turns wait, those that run come to their end, then Codex is started anew and what
//! waited goes on. Nothing is refused meanwhile, and what Codex asks can be answered. The hub keeps at most one restart ([`Restarts`]) and
//! tells every session that is awake, or wakes, of a drain ([`Input::Drain`](crate::state::Input)); the agent knows best when nothing runs
//! any more, and does it. A drain that takes longer than a turn may ends what is left.
//!
//! It is over with the end of the process that it was about, however that came. All of it is in memory: when codexd ends in the middle, the
//! next one knows nothing of it, goes on with the Codex that is there, and nothing waits for anything.

use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use types::{
    Principal, Timestamp,
    agent::{AgentInfo, AgentStatus, Restart},
};

use crate::{Engine, Refusal, hub::Call};

/// The restart that is under way.
pub(crate) struct Restarts {
    now: watch::Sender<Option<Restart>>,
    /// When a drain is over, whatever runs.
    until: Option<Instant>,
    /// How long one may take.
    limit: Duration,
}

/// What a wish changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing: it is under way.
    Known,
    /// Turns may end first.
    Drain,
    /// What runs is ended.
    AtOnce,
}

impl Restarts {
    /// None is under way.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { now: watch::Sender::new(None), until: None, limit }
    }

    /// For whoever wants to know.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Restart>> {
        self.now.subscribe()
    }

    /// Whether new turns wait.
    pub(crate) fn drains(&self) -> bool {
        self.now.borrow().as_ref().is_some_and(|restart| restart.drain)
    }

    /// When [`Restarts::overdue`] is due.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Somebody wants one. It may come sooner than what was wanted before, and never later.
    pub(crate) fn want(&mut self, by: &str, drain: bool, clock: Instant, at: Timestamp) -> Wish {
        match &*self.now.borrow() {
            Some(before) if drain || !before.drain => return Wish::Known,
            _ => {}
        }
        self.until = drain.then(|| clock + self.limit);
        let limit = i64::try_from(self.limit.as_millis()).unwrap_or(i64::MAX);
        let until = drain.then(|| Timestamp::from_millis(at.as_millis().saturating_add(limit)));
        self.now.send_replace(Some(Restart { by: by.to_owned(), at, drain, until }));
        if drain { Wish::Drain } else { Wish::AtOnce }
    }

    /// A drain took too long. Says why what is left is ended.
    pub(crate) fn overdue(&mut self) -> String {
        self.until = None;
        let limit = self.limit.as_secs();
        let mut by = String::new();
        self.now.send_modify(|now| {
            if let Some(restart) = now {
                (restart.drain, restart.until) = (false, None);
                by.clone_from(&restart.by);
            }
        });
        format!("{by} asked for a restart, and not all turns had ended within {limit} s")
    }

    /// The process that it was about is gone.
    pub(crate) fn over(&mut self) {
        self.until = None;
        self.now.send_if_modified(|now| now.take().is_some());
    }
}

impl Engine {
    /// What is known of the agent.
    #[must_use]
    pub fn agent(&self) -> AgentInfo {
        let info = self.port.info();
        match self.restart.borrow().clone() {
            Some(restart) => AgentInfo { status: AgentStatus::Restarting, restart: Some(restart), ..info },
            None => info,
        }
    }

    /// Has Codex started anew: with `drain` once the turns that run have ended, while new ones wait; without at once. What is answered is how
    /// the agent is now. It may be asked for again at any time, also to hurry a drain.
    ///
    /// # Errors
    /// When codexd is stopping.
    pub async fn restart_agent(&self, who: &Principal, drain: bool) -> Result<AgentInfo, Refusal> {
        let (reply, done) = oneshot::channel();
        let call = Call::Restart { by: who.name(), drain, reply };
        self.calls.send(call).await.map_err(|_| Refusal::shutting_down())?;
        done.await.map_err(|_| Refusal::shutting_down())?;
        Ok(self.agent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_may_hurry_what_is_under_way_and_never_delay_it() {
        let (clock, at) = (Instant::now(), Timestamp::from_millis(1000));
        let mut restarts = Restarts::new(Duration::from_secs(60));
        let seen = restarts.watch();
        let by =
            |restart: &watch::Receiver<Option<Restart>>| restart.borrow().as_ref().map(|it| (it.by.clone(), it.drain));
        assert_eq!(restarts.want("a", true, clock, at), Wish::Drain);
        assert_eq!((restarts.until(), restarts.drains()), (Some(clock + Duration::from_secs(60)), true));
        assert_eq!(seen.borrow().as_ref().unwrap().until, Some(Timestamp::from_millis(61_000)));
        assert_eq!(restarts.want("b", true, clock + Duration::from_secs(9), at), Wish::Known);
        assert_eq!((by(&seen), restarts.until()), (Some(("a".into(), true)), Some(clock + Duration::from_secs(60))));
        assert_eq!(restarts.want("c", false, clock, at), Wish::AtOnce);
        assert_eq!((by(&seen), restarts.until(), restarts.drains()), (Some(("c".into(), false)), None, false));
        for drain in [true, false] {
            assert_eq!(restarts.want("d", drain, clock, at), Wish::Known);
        }
        restarts.over();
        assert_eq!(by(&seen), None);
    }

    #[test]
    fn a_drain_that_takes_too_long_ends_what_is_left() {
        let mut restarts = Restarts::new(Duration::from_secs(60));
        restarts.want("token:ops", true, Instant::now(), Timestamp::from_millis(0));
        assert_eq!(restarts.overdue(), "token:ops asked for a restart, and not all turns had ended within 60 s");
        assert_eq!((restarts.until(), restarts.drains()), (None, false));
        assert!(restarts.watch().borrow().is_some(), "it is still under way");
    }
}
