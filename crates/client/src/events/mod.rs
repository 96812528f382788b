//! What happens, as it happens: a stream of events that comes back when it was cut.
//!
//! # Theory of operation
//!
//! [`Client::events`] starts a task that holds the connection, and hands what it hears to [`Events`] through a channel of a few
//! places: whoever does not read lets the daemon wait, and nothing piles up here. Dropping [`Events`] ends the task and the
//! connection.
//!
//! - **Nothing is missed and nothing is told twice.** The task keeps the number of the last event that it handed on and comes
//!   back with it (`Last-Event-ID`). Of a text in progress it keeps how much was handed on, in bytes; what the daemon tells
//!   again after a new connection is compared with that, and only what is new goes on (`joined`). A number that is not above the
//!   last one is dropped.
//! - **A lost connection** is one that broke off, that ended, or that was silent for [`SILENCE`]: the daemon says at least every
//!   10 s that it is alive. It is tried again after a pause that grows and is never the same for two clients, until it has been
//!   away for the time that the caller gives. A daemon that was restarted elsewhere is found by the file in its store.
//! - **An answer is an answer.** What the daemon refuses (no authority, no such session) ends the stream with that error and is
//!   not asked again, except for what says of itself that it is passing: it is stopping, or has too much to do.
//! - **What is not known does no harm.** Names are texts, and what a newer daemon says is handed on as it came.
//!
//! Lines are bounded ([`BIGGEST_FRAME`]); a longer one ends the stream.

mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod joined;
mod reading;
#[cfg(test)]
mod tests;
mod told;

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinSet};
use types::EventId;

pub use frames::BIGGEST_FRAME;
pub use told::{Event, Text, TextKind, Told};

use crate::{Client, Error};

/// How long a stream may say nothing before it counts as lost.
pub const SILENCE: Duration = Duration::from_secs(30);

/// What was heard and not yet taken; the rest waits in the connection.
const WAITING: usize = 16;

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Those of this session; of all without.
    pub session: Option<String>,
    /// Those behind this one; 0 for all that there are. Without, those from now on.
    pub after: Option<EventId>,
    /// How long the daemon may be away before the stream ends with an error.
    pub patience: Duration,
    /// Somebody has answered there just now, so that also the first connection is tried again. Without, nobody there is an
    /// error at once.
    pub was_there: bool,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    told: mpsc::Receiver<Result<Told, Error>>,
    _reading: JoinSet<()>,
}

impl Client {
    /// `GET /v1/events`, or `GET /v1/sessions/{id}/events`: what happens from now on, or from behind an event. Connects by itself.
    #[must_use]
    pub fn events(&self, which: EventQuery) -> Events {
        let (tell, told) = mpsc::channel(WAITING);
        let mut reading = JoinSet::new();
        reading.spawn(reading::run(self.clone(), which, SILENCE, tell));
        Events { told, _reading: reading }
    }
}

impl Events {
    /// What comes next. Whoever stops waiting for it has lost nothing.
    ///
    /// # Errors
    /// What ended the stream: a refusal, or a daemon that stayed away for too long. Nothing comes after it; who asks again all
    /// the same is told [`Error::Over`].
    pub async fn next(&mut self) -> Result<Told, Error> {
        self.told.recv().await.unwrap_or(Err(Error::Over))
    }
}
