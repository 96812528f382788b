//! Requests that wait for their answers. No locks and no clock: the connection's loop owns it and says what time it is.
//!
//! At most [`MAX_IN_FLIGHT`] requests are with Codex at a time; the others wait here, in order. Codex answers `-32001` at once
//! when its own queue is full; such a request goes out again, a few times, further and further apart. A request has a
//! deadline from the moment that it is made, whatever becomes of it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use types::AskId;

use crate::adapter::Line;

/// Codex 0.153 and later take about 128 requests at once and refuse the rest; half of that leaves room for others.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// How often an overloaded Codex is asked again before the caller is told.
const OVERLOAD_TRIES: u32 = 8;
const OVERLOAD_FIRST_WAIT: Duration = Duration::from_millis(50);

struct Pending<K> {
    kind: K,
    /// None when another codexd sent it.
    line: Option<Vec<u8>>,
    deadline: Option<Instant>,
    tries: u32,
    /// Which line of its request it is, from zero.
    part: u32,
    state: State,
}

impl<K> Pending<K> {
    /// How many lines the request may have had before this one: each that goes out has a tag of its own, or a host would drop it.
    const fn number(&self) -> u32 {
        self.part * (OVERLOAD_TRIES + 1) + self.tries
    }
}

#[derive(PartialEq)]
enum State {
    /// Not sent yet.
    Waiting,
    /// With Codex.
    Sent,
    /// Refused by an overloaded Codex; goes out again then.
    Later(Instant),
}

/// Requests without an answer; `K` is what the adapter remembers of each.
pub(crate) struct Rpc<K> {
    pending: HashMap<AskId, Pending<K>>,
    waiting: VecDeque<AskId>,
    in_flight: usize,
}

/// A request that ended without an answer.
pub(crate) struct Unanswered<K> {
    pub(crate) id: AskId,
    pub(crate) kind: K,
    /// Whether Codex may have heard it.
    pub(crate) heard: bool,
}

impl<K> Rpc<K> {
    pub(crate) fn new() -> Self {
        Self { pending: HashMap::new(), waiting: VecDeque::new(), in_flight: 0 }
    }

    /// A new request; it goes out as soon as there is room.
    pub(crate) fn call(&mut self, id: AskId, kind: K, line: Vec<u8>, deadline: Option<Instant>, out: &mut Vec<Line>) {
        self.call_part(id, 0, kind, line, deadline, out);
    }

    /// A further line of a request whose lines before are answered.
    pub(crate) fn call_part(
        &mut self,
        id: AskId,
        part: u32,
        kind: K,
        line: Vec<u8>,
        deadline: Option<Instant>,
        out: &mut Vec<Line>,
    ) {
        self.pending.insert(id, Pending { kind, line: Some(line), deadline, tries: 0, part, state: State::Waiting });
        self.waiting.push_back(id);
        self.fill(out);
    }

    /// A request that Codex was given before this was there.
    pub(crate) fn restore(&mut self, id: AskId, kind: K, deadline: Option<Instant>) {
        self.pending.insert(id, Pending { kind, line: None, deadline, tries: 0, part: 0, state: State::Sent });
        self.in_flight += 1;
    }

    /// What the request `id` was about, while it has no answer.
    pub(crate) fn get_mut(&mut self, id: AskId) -> Option<&mut K> {
        self.pending.get_mut(&id).map(|pending| &mut pending.kind)
    }

    /// Everything that has no answer.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AskId, &K)> {
        self.pending.iter().map(|(id, pending)| (*id, &pending.kind))
    }

    /// The answer to `id` came. `None` when nobody waits for it.
    pub(crate) fn answered(&mut self, id: AskId, out: &mut Vec<Line>) -> Option<K> {
        let pending = self.pending.remove(&id)?;
        match pending.state {
            State::Sent => self.in_flight -= 1,
            State::Waiting => self.waiting.retain(|waiting| *waiting != id),
            State::Later(_) => {}
        }
        self.fill(out);
        Some(pending.kind)
    }

    /// Codex was too busy for `id`. True: it will be asked again. False: that was the last try; the caller takes it as
    /// answered.
    pub(crate) fn overloaded(&mut self, id: AskId, now: Instant, out: &mut Vec<Line>) -> bool {
        let Some(pending) = self.pending.get_mut(&id) else { return true };
        if pending.state != State::Sent {
            return true;
        }
        if pending.tries >= OVERLOAD_TRIES || pending.line.is_none() {
            return false;
        }
        pending.state = State::Later(now + OVERLOAD_FIRST_WAIT * 2_u32.pow(pending.tries));
        pending.tries += 1;
        self.in_flight -= 1;
        self.fill(out);
        true
    }

    /// Sends what is due, and hands back what is overdue.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Line>) -> Vec<Unanswered<K>> {
        let overdue: Vec<AskId> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        let ended = overdue.into_iter().filter_map(|id| self.take(id, out)).collect();
        let mut due: Vec<(Instant, AskId)> = self
            .pending
            .iter_mut()
            .filter_map(|(id, pending)| match pending.state {
                State::Later(when) if when <= now => Some((when, *id)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        for (_, id) in due {
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.state = State::Waiting;
                self.waiting.push_back(id);
            }
        }
        self.fill(out);
        ended
    }

    /// The next moment at which [`Rpc::tick`] has something to do.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.pending
            .values()
            .flat_map(|pending| {
                let later = if let State::Later(when) = pending.state { Some(when) } else { None };
                [pending.deadline, later].into_iter().flatten()
            })
            .min()
    }

    /// Whether everything is answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The process is gone, and was never given the lines of these tags: their requests were not heard.
    pub(crate) fn never_given(&mut self, tags: &HashSet<String>) {
        for (id, pending) in &mut self.pending {
            if pending.state == State::Sent && tags.contains(&Line::tag_of_ask(*id, pending.number())) {
                pending.state = State::Waiting;
            }
        }
    }

    /// The process is gone: nothing will be answered any more.
    pub(crate) fn drain(&mut self) -> Vec<Unanswered<K>> {
        self.waiting.clear();
        self.in_flight = 0;
        self.pending
            .drain()
            .map(|(id, pending)| Unanswered { id, heard: pending.state == State::Sent, kind: pending.kind })
            .collect()
    }

    fn take(&mut self, id: AskId, out: &mut Vec<Line>) -> Option<Unanswered<K>> {
        let heard = self.pending.get(&id)?.state == State::Sent;
        let kind = self.answered(id, out)?;
        Some(Unanswered { id, kind, heard })
    }

    fn fill(&mut self, out: &mut Vec<Line>) {
        while self.in_flight < MAX_IN_FLIGHT {
            let Some(id) = self.waiting.pop_front() else { return };
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.state = State::Sent;
                self.in_flight += 1;
                if let Some(line) = &pending.line {
                    out.push(Line::of_ask(id, pending.number(), line.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(rpc: &mut Rpc<()>, id: i64, deadline: Option<Instant>, out: &mut Vec<Line>) {
        rpc.call(AskId(id), (), id.to_string().into_bytes(), deadline, out);
    }

    #[test]
    fn at_most_so_many_are_in_flight() {
        let (mut rpc, mut out) = (Rpc::new(), Vec::new());
        for id in 1..=100 {
            call(&mut rpc, id, None, &mut out);
        }
        assert_eq!(out.len(), MAX_IN_FLIGHT);
        assert!(rpc.answered(AskId(1), &mut out).is_some());
        assert_eq!(out.last().unwrap(), &Line::of_ask(AskId(65), 0, b"65".to_vec()));
        assert!(rpc.answered(AskId(1), &mut out).is_none());
        assert!(rpc.answered(AskId(1000), &mut out).is_none());
        assert_eq!(out.len(), MAX_IN_FLIGHT + 1);
    }

    #[test]
    fn an_overloaded_codex_is_asked_again_later_and_not_for_ever() {
        let (mut rpc, mut out) = (Rpc::new(), Vec::new());
        let mut now = Instant::now();
        call(&mut rpc, 1, None, &mut out);
        let mut tries = 1;
        while rpc.overloaded(AskId(1), now, &mut out) {
            assert_eq!(out.len(), tries);
            let wake = rpc.wake().unwrap();
            assert!(wake > now);
            now = wake;
            rpc.tick(now, &mut out);
            tries += 1;
            assert_eq!(out.len(), tries);
        }
        assert_eq!(tries, 1 + OVERLOAD_TRIES as usize);
        assert!(rpc.answered(AskId(1), &mut out).is_some());
    }

    #[test]
    fn what_another_codexd_sent_is_waited_for_and_not_sent_again() {
        let (mut rpc, mut out) = (Rpc::new(), Vec::new());
        let now = Instant::now();
        rpc.restore(AskId(1), (), Some(now + Duration::from_secs(1)));
        rpc.restore(AskId(2), (), None);
        assert!(!rpc.overloaded(AskId(2), now, &mut out), "it was not heard, and can't be repeated");
        assert!(rpc.answered(AskId(2), &mut out).is_some());
        let late = rpc.tick(now + Duration::from_secs(1), &mut out);
        assert!(late.len() == 1 && late[0].heard && out.is_empty() && rpc.in_flight == 0);
    }

    #[test]
    fn each_sending_of_a_request_has_a_tag_of_its_own() {
        let tag = |id, tries| Line::of_ask(AskId(id), tries, Vec::new()).tag;
        assert_eq!([tag(7, 0), tag(7, 1), tag(0, 0), tag(-3, 0)], ["7", "7/1", "", ""]);
    }

    #[test]
    fn each_line_of_a_request_has_a_tag_of_its_own() {
        let (mut rpc, mut out) = (Rpc::new(), Vec::new());
        let now = Instant::now();
        call(&mut rpc, 7, None, &mut out);
        while rpc.overloaded(AskId(7), now, &mut out) {
            rpc.tick(rpc.wake().unwrap(), &mut out);
        }
        rpc.answered(AskId(7), &mut out);
        rpc.call_part(AskId(7), 1, (), Vec::new(), None, &mut out);
        let tags: std::collections::HashSet<&str> = out.iter().map(|line| line.tag.as_str()).collect();
        assert_eq!(tags.len(), out.len(), "{tags:?}");
        assert_eq!(out.last().unwrap().tag, "7/9");
        let never = HashSet::from(["7/9".to_owned()]);
        rpc.never_given(&never);
        assert!(rpc.drain().iter().all(|ended| !ended.heard));
    }

    #[test]
    fn a_deadline_ends_a_request_and_tells_whether_it_was_heard() {
        let (mut rpc, mut out) = (Rpc::new(), Vec::new());
        let now = Instant::now();
        for id in 1..=65 {
            call(&mut rpc, id, Some(now + Duration::from_secs(id.unsigned_abs())), &mut out);
        }
        let first = rpc.tick(now + Duration::from_secs(1), &mut out);
        assert!(first.len() == 1 && first[0].heard);
        assert_eq!(out.len(), 65, "its place went to the one that waited");
        assert_eq!(rpc.drain().len(), 64);
        assert!(rpc.wake().is_none());
    }
}
