//! Fan-out: what happens, for whoever watches.
//!
//! # Theory of operation
//!
//! A reader is a cursor and not a queue: the number of the last event that it was given, and for each text in progress how much of
//! it. Whatever happens, a task only says that something did ([`Feed::happened`]); each reader then takes what is behind its
//! cursor, when it has time for it. A slow one gets larger pieces later, and an absent one costs nothing. What waits
//! for a reader is kept here once, whoever reads; what is on its way to a client that does not read is in its connection, and once that is
//! full it asks for nothing more. In a crowd each reader is told less often (`crowd.rs`).
//!
//! A reader that wants events only ([`Feed::reader_of_events`]) is woken by those alone, and is nobody who watches: for its sake
//! no session writes down at once what may wait.
//!
//! Events come from the store, through one cache for all readers (`past.rs`), so that an event is read once however many watch. Texts
//! in progress are kept once, until their items end (`texts.rs`). Readers that keep up are given the same [`Happened`] and the same
//! [`Piece`] of a text, with room for what is made of it to be sent, so that it is made once. What a reader does for a piece is
//! otherwise little: it looks at the texts, and asks nobody for events when there are none.
//!
//! **Tokens.** A token of ours may be cut over two pieces of a text. What could be the beginning of one is held back until the next piece, or
//! the end of the item, which has the whole text: readers see a few characters later then.
//!
//! **Order.** A session's task adds to a text only after the event that began its item was committed. A reader first looks at the
//! texts, then reads the events up to the last one that is committed by then, tells these, and only then what is new of the
//! texts it looked at: so a piece of a text never overtakes the event that it belongs to. The end of an item is told when all of its text
//! was: whoever lags gets the rest in pieces first.

mod crowd;
mod past;
mod reader;
mod texts;

use std::sync::{Arc, OnceLock};

use agent::DeltaKind;
use bytes::Bytes;
use store::{Published, Store};
use tokio::sync::watch;
use types::{EventId, ItemId, SessionId, TurnId};

use crowd::Crowd;
use past::Past;
pub use reader::Reader;
use texts::Texts;

/// The place where things happen; cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    happened: watch::Sender<u64>,
    /// The last event that readers of events only were told of.
    committed: watch::Sender<EventId>,
    past: Past,
    texts: Texts,
    crowd: Crowd,
}

/// Something that a reader is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// A numbered event.
    Event(Arc<Happened>),
    /// Of a text in progress.
    Text(Arc<Piece>),
}

/// A numbered event.
#[derive(Debug)]
pub struct Happened {
    event: Published,
    /// What is sent of it, once somebody has made that: the same for all readers.
    pub frame: OnceLock<Bytes>,
}

impl std::ops::Deref for Happened {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.event
    }
}

/// What is new of a text in progress, or all of it so far.
#[derive(Debug)]
pub struct Piece {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The item.
    pub item: ItemId,
    /// Which text of it.
    pub kind: DeltaKind,
    /// Where it begins in that text, in bytes of UTF-8.
    pub offset: usize,
    /// The text.
    pub text: String,
    /// It is the beginning of what there is so far, for a reader that did not see the item begin.
    pub snapshot: bool,
    /// What is sent of it, once somebody has made that: the same for all readers.
    pub frame: OnceLock<Bytes>,
}

impl Feed {
    pub(crate) fn new(store: Store) -> Self {
        let (happened, committed) = (watch::Sender::new(0), watch::Sender::new(store.last_event()));
        let inner =
            Inner { happened, committed, past: Past::new(store), texts: Texts::default(), crowd: Crowd::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Something was committed, or a text grew.
    pub(crate) fn happened(&self) {
        self.inner.happened.send_modify(|count| *count = count.wrapping_add(1));
        let last = self.inner.past.last();
        self.inner.committed.send_if_modified(|told| std::mem::replace(told, last) != last);
    }

    /// Whether anybody watches now, who wants to see at once what may wait.
    pub(crate) fn watched(&self) -> bool {
        self.inner.happened.receiver_count() > 0
    }

    /// A text in progress grew. The event that began its item is committed.
    pub(crate) fn grew(&self, session: &SessionId, turn: &TurnId, item: &ItemId, kind: DeltaKind, more: &str) {
        self.inner.texts.grew(session, turn, item, kind, more);
    }

    /// An item ended: its text is in the store.
    pub(crate) fn ended(&self, session: &SessionId, item: &ItemId) {
        self.inner.texts.ended(session, item);
    }

    /// Nothing of this turn is in progress any more.
    pub(crate) fn quiet(&self, session: &SessionId, turn: &TurnId) {
        self.inner.texts.quiet(session, turn);
    }

    /// A reader of one session, or of everything, from behind an event.
    pub(crate) fn reader(&self, session: Option<SessionId>, after: EventId) -> Reader {
        Reader::of_all(self.clone(), session, after)
    }

    /// A reader of all events and no texts, from behind an event.
    pub(crate) fn reader_of_events(&self, after: EventId) -> Reader {
        Reader::of_events(self.clone(), after)
    }
}

#[cfg(test)]
mod tests;
