//! The way to the daemon for commands that take long: a daemon that is restarted under them is reached again.
//!
//! A question may be asked again whatever came of it, and a request that starts work carries an idempotency key, so that the
//! daemon starts nothing twice. What is not there at the first try is not waited for: then no daemon runs.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use client::{Client, Error, EventQuery, Events};
use types::EventId;

use super::reach;
use crate::{globals::Globals, output::Spinner};

/// How long a daemon that was there may be away. A stop takes 20 s at most and a start less than one.
const PATIENCE: Duration = Duration::from_secs(45);

/// The pause before the first further try; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A daemon, wherever it is at the moment.
#[derive(Clone)]
pub(super) struct Line {
    store: PathBuf,
    client: Client,
    /// Somebody has answered.
    heard: bool,
    /// When nobody waits for it any more.
    end: Option<Instant>,
}

impl Line {
    /// Finds the daemon; nothing is connected yet.
    pub(super) fn open(globals: &Globals) -> anyhow::Result<Self> {
        let store = globals.store.dir()?;
        Ok(Self { client: reach(&store)?, store, heard: false, end: None })
    }

    /// Nothing is tried again after this moment.
    pub(super) const fn until(&mut self, end: Option<Instant>) {
        self.end = end;
    }

    /// What happens in a session, or in all: from now on, or from behind an event.
    pub(super) fn events(&self, session: Option<String>, after: Option<EventId>) -> Events {
        self.client.events(EventQuery { session, after, patience: PATIENCE, was_there: self.heard })
    }

    /// Asks once. What fails is for the caller to judge; the next question goes to whatever daemon is there then.
    pub(super) async fn once<T>(&mut self, call: impl AsyncFn(&Client) -> Result<T, Error>) -> Result<T, Error> {
        let answer = call(&self.client).await;
        if answer.as_ref().is_err_and(Error::is_cut)
            && let Ok(client) = reach(&self.store)
        {
            self.client = client;
        }
        answer
    }

    /// Asks, and asks again when the connection was cut.
    pub(super) async fn ask<T>(
        &mut self,
        spinner: &Spinner,
        call: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.ask_telling(call, |text| spinner.tell(text)).await
    }

    /// The same; what is to be known meanwhile is told that way.
    pub(super) async fn ask_telling<T>(
        &mut self,
        call: impl AsyncFn(&Client) -> Result<T, Error>,
        mut tell: impl FnMut(&str),
    ) -> Result<T, Error> {
        let mut cut: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match call(&self.client).await {
                Ok(answer) => {
                    self.heard = true;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let not_reached = matches!(error, Error::NoDaemon { .. } | Error::SocketGone { .. });
            let never_there = not_reached && cut.is_none() && !self.heard;
            let since = *cut.get_or_insert_with(Instant::now);
            let over = since.elapsed() >= PATIENCE || self.end.is_some_and(|end| end <= Instant::now());
            if !error.is_cut() || never_there || over {
                return Err(error);
            }
            if pause == FIRST_PAUSE {
                tell("the connection to the daemon broke off; trying again");
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
            // Another daemon may have another address. Until it tells one, the old one is as good as any.
            if let Ok(client) = reach(&self.store) {
                self.client = client;
            }
        }
    }
}
