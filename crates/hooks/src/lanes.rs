//! Which event is told next: pure.
//!
//! At most [`AT_ONCE`] at once, one at a time of a session, oldest first. What has no session (Codex itself) has a lane of its own.

use std::collections::{BTreeMap, VecDeque};

use types::{EventId, SessionId};

use crate::letter::Letter;

/// How many events a hook is told at once.
const AT_ONCE: usize = 4;

/// So much waits in memory, and then no more is read: events, and bytes of their bodies. What was read at once may go beyond.
const WAITING: usize = 64;
const WAITING_BYTES: usize = 1 << 20;

/// What a hook has been read and not been told.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    waiting: VecDeque<Letter>,
    bytes: usize,
    telling: BTreeMap<EventId, Option<SessionId>>,
}

impl Lanes {
    /// One more, with a higher number than those before.
    pub(crate) fn push(&mut self, letter: Letter) {
        self.bytes += letter.body.len();
        self.waiting.push_back(letter);
    }

    /// Whether more should be read.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING && self.bytes < WAITING_BYTES
    }

    /// What is to be told now, if anything.
    pub(crate) fn next(&mut self) -> Option<Letter> {
        if self.telling.len() >= AT_ONCE {
            return None;
        }
        let free = |letter: &Letter| !self.telling.values().any(|busy| *busy == letter.session);
        let at = self.waiting.iter().position(free)?;
        let letter = self.waiting.remove(at)?;
        self.bytes -= letter.body.len();
        self.telling.insert(letter.id, letter.session.clone());
        Some(letter)
    }

    /// It was told, or given up.
    pub(crate) fn done(&mut self, id: EventId) {
        self.telling.remove(&id);
    }

    /// Up to which event all is done, when everything up to `read` has been read.
    pub(crate) fn cursor(&self, read: EventId) -> EventId {
        let telling = self.telling.keys().next().copied();
        let waiting = self.waiting.front().map(|letter| letter.id);
        [telling, waiting].into_iter().flatten().min().map_or(read, |first| EventId(first.0 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: i64, session: Option<&SessionId>) -> Letter {
        Letter { id: EventId(id), session: session.cloned(), ..Letter::test("h") }
    }

    #[test]
    fn in_order_within_a_session_and_side_by_side_otherwise() {
        let (a, b) = (SessionId::fresh(), SessionId::fresh());
        let mut lanes = Lanes::default();
        for (id, session) in [(1, Some(&a)), (2, Some(&a)), (4, None), (5, Some(&b)), (6, Some(&a))] {
            lanes.push(letter(id, session));
        }
        let next = |lanes: &mut Lanes| lanes.next().map(|letter| letter.id.0);
        assert_eq!([next(&mut lanes), next(&mut lanes), next(&mut lanes)], [Some(1), Some(4), Some(5)]);
        assert_eq!(next(&mut lanes), None, "2 waits for 1");
        lanes.done(EventId(5));
        assert_eq!(lanes.cursor(EventId(9)), EventId(0), "1 is not done");
        lanes.done(EventId(1));
        assert_eq!(lanes.cursor(EventId(9)), EventId(1), "2 waits");
        assert_eq!(next(&mut lanes), Some(2));
        lanes.done(EventId(2));
        assert_eq!(lanes.cursor(EventId(9)), EventId(3), "4 is being told");
        lanes.done(EventId(4));
        assert_eq!(next(&mut lanes), Some(6));
        lanes.done(EventId(6));
        assert_eq!(lanes.cursor(EventId(9)), EventId(9));
    }

    #[test]
    fn few_at_once_and_few_in_memory() {
        let mut lanes = Lanes::default();
        let mut pushed = 0;
        while lanes.has_room() {
            pushed += 1;
            lanes.push(letter(pushed, Some(&SessionId::fresh())));
        }
        assert_eq!(pushed, 64);
        assert_eq!(std::iter::from_fn(|| lanes.next()).count(), AT_ONCE);
        let mut large = Lanes::default();
        large.push(Letter { body: vec![0; WAITING_BYTES].into(), ..letter(1, None) });
        assert!(!large.has_room());
        assert!(large.next().is_some() && large.has_room());
    }
}
