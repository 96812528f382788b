//! What was committed: read once for all readers, as long as they keep up.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use store::{Published, Store, StoreError};
use types::{EventId, SessionId};

use super::Happened;

/// The most events that are read at once.
const PAGE: u32 = 256;

/// The newest events that are kept for all readers, and how large they may be together. What is made of them to be sent is as large
/// again.
pub(super) const CACHED: usize = 1_024;
const CACHED_BYTES: usize = 4 << 20;

/// The events of a store, with the newest at hand.
pub(super) struct Past {
    store: Store,
    pub(super) cache: tokio::sync::Mutex<Cache>,
}

/// All events with numbers above `from` and up to `to`.
pub(super) struct Cache {
    from: EventId,
    to: EventId,
    pub(super) events: VecDeque<Arc<Happened>>,
    bytes: usize,
}

impl Cache {
    const fn behind(last: EventId) -> Self {
        Self { from: last, to: last, events: VecDeque::new(), bytes: 0 }
    }

    /// Takes what comes next, and lets go of the oldest.
    fn extend(&mut self, events: Vec<Published>) {
        for event in events {
            self.to = event.id;
            self.bytes += event.data.len();
            self.events.push_back(happened(event));
        }
        while self.events.len() > CACHED || (self.bytes > CACHED_BYTES && self.events.len() > 1) {
            if let Some(event) = self.events.pop_front() {
                self.from = event.id;
                self.bytes -= event.data.len();
            }
        }
    }
}

impl Past {
    pub(super) fn new(store: Store) -> Self {
        let cache = Cache::behind(store.last_event());
        Self { store, cache: cache.into() }
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> EventId {
        self.store.last_event()
    }

    /// A page of the events behind one, of one session or of all.
    pub(super) async fn after(
        &self,
        session: Option<&SessionId>,
        after: EventId,
    ) -> Result<Vec<Arc<Happened>>, StoreError> {
        let last = self.last();
        // Most often it was a text that grew, and then no reader waits for another one here.
        if after >= last {
            return Ok(Vec::new());
        }
        let mut cache = self.cache.lock().await;
        // Nobody watched for long: what lies between is read by whoever wants it.
        let near = EventId(last.0.saturating_sub(i64::try_from(CACHED).unwrap_or(i64::MAX)));
        if cache.to < near {
            *cache = Cache::behind(near);
        }
        while after >= cache.from && cache.to < last {
            let events = self.store.published_after(None, cache.to, PAGE).await?;
            if events.is_empty() {
                // The numbers up to there are holes.
                cache.to = last;
            }
            cache.extend(events);
        }
        // One that is far behind, or fell behind while the cache was filled, reads by itself.
        if after < cache.from {
            drop(cache);
            let events = self.store.published_after(session, after, PAGE).await?;
            return Ok(events.into_iter().map(happened).collect());
        }
        let first = cache.events.partition_point(|event| event.id <= after);
        let ours = |event: &&Arc<Happened>| session.is_none_or(|session| event.session.as_ref() == Some(session));
        Ok(cache.events.iter().skip(first).filter(ours).take(PAGE as usize).cloned().collect())
    }
}

fn happened(event: Published) -> Arc<Happened> {
    Arc::new(Happened { event, frame: OnceLock::new() })
}
