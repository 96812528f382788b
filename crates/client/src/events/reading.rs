//! The task behind a stream: connects, listens, and comes back.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{EventQuery, Told, frames::Frames, joined::Joined};
use crate::{Client, Download, Error, calls::escaped};

/// The longest pause before the first further try; each one after it may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that lasted this long, or brought something new, was a good one: after it the pauses are short again.
const GOOD: Duration = Duration::from_secs(5);

type Tell = mpsc::Sender<Result<Told, Error>>;

/// Why a connection is no more.
enum End {
    /// Nobody listens here.
    Unwanted,
    /// It has to be tried again.
    Lost(Error),
}

pub(super) async fn run(client: Client, which: EventQuery, silence: Duration, tell: Tell) {
    let path = match &which.session {
        Some(session) => format!("/v1/sessions/{}/events", escaped(session)),
        None => "/v1/events".to_owned(),
    };
    let joined = Joined::new(which.after);
    let EventQuery { patience, was_there: heard, .. } = which;
    let reading = Reading { client, path, silence, patience, heard, joined, away: None, told: false, brought: false };
    if let Err(error) = reading.run(&tell).await {
        let _ = tell.send(Err(error)).await;
    }
}

struct Reading {
    client: Client,
    path: String,
    silence: Duration,
    patience: Duration,
    /// Somebody has answered.
    heard: bool,
    joined: Joined,
    /// Since when there is no connection.
    away: Option<Instant>,
    /// It was told that there is none.
    told: bool,
    /// The last connection brought something new.
    brought: bool,
}

impl Reading {
    async fn run(mut self, tell: &Tell) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let error = match self.connect().await {
                Ok(download) => match self.listen(download, tell).await? {
                    End::Unwanted => return Ok(()),
                    End::Lost(error) => error,
                },
                Err(error) => error,
            };
            let nobody = matches!(error, Error::NoDaemon { .. } | Error::SocketGone { .. });
            let since = *self.away.get_or_insert_with(Instant::now);
            if !is_passing(&error) || (nobody && !self.heard) || since.elapsed() >= self.patience {
                return Err(error);
            }
            if !std::mem::replace(&mut self.told, true)
                && tell.send(Ok(Told::Lost { reason: error.to_string() })).await.is_err()
            {
                return Ok(());
            }
            if std::mem::take(&mut self.brought) || began.elapsed() >= GOOD {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(between(pause / 2, pause)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
            self.client = self.client.found_again();
        }
    }

    async fn connect(&self) -> Result<Download, Error> {
        let last = self.joined.last().map(|last| last.0.to_string());
        self.client.listen(&self.path, last.as_deref(), self.silence).await
    }

    /// Hands on what comes, until nothing comes any more.
    async fn listen(&mut self, mut download: Download, tell: &Tell) -> Result<End, Error> {
        self.heard = true;
        let mut frames = Frames::new();
        loop {
            let piece = match download.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(End::Lost(download.broke_off())),
                Err(error) => return Ok(End::Lost(error)),
            };
            for frame in frames.push(&piece).map_err(|error| self.not_understood(&error))? {
                let news = self.joined.hear(frame).map_err(|error| self.not_understood(&error))?;
                for told in news {
                    match &told {
                        Told::Connected { .. } => (self.away, self.told) = (None, false),
                        // This is how it tells that the connection will be gone.
                        Told::Closing { .. } => self.told = true,
                        Told::Event(event) => self.brought |= event.id.is_some(),
                        Told::Text(_) => self.brought = true,
                        _ => {}
                    }
                    if tell.send(Ok(told)).await.is_err() {
                        return Ok(End::Unwanted);
                    }
                }
            }
        }
    }

    fn not_understood(&self, error: &dyn std::error::Error) -> Error {
        Error::BadAnswer { call: format!("GET {}", self.path), reason: error.to_string() }
    }
}

/// Whether the same may go well later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
        error => error.is_cut(),
    }
}

/// Some time between these two, so that many clients of one daemon do not come back in one moment.
fn between(least: Duration, most: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 1000;
    least + (most - least) / 1000 * u32::try_from(chance).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_have_bounds() {
        let (least, most) = (Duration::from_millis(50), Duration::from_millis(100));
        let pauses: std::collections::HashSet<_> = (0..50).map(|_| between(least, most)).collect();
        assert!(pauses.len() > 5 && pauses.iter().all(|pause| (least..=most).contains(pause)), "{pauses:?}");
    }

    #[test]
    fn what_is_refused_is_not_asked_again() {
        let refused = |status, code| Error::Refused {
            status,
            code,
            message: String::new(),
            retryable: false,
            session_id: None,
            turn_id: None,
        };
        for status in [400, 401, 403, 404, 421] {
            assert!(!is_passing(&refused(status, None)), "{status}");
        }
        for status in [429, 500, 503] {
            assert!(is_passing(&refused(status, None)), "{status}");
        }
        assert!(is_passing(&Error::TimedOut { limit: FIRST_PAUSE }));
        assert!(!is_passing(&Error::TooOld { call: String::new() }));
    }
}
