//! A reader: a cursor over what was committed and over the texts in progress.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use agent::DeltaKind;
use store::{Published, StoreError};
use tokio::{sync::watch, time::Instant};
use types::{EventId, EventName, ItemBody, ItemId, SessionId};

use super::{
    Feed, Piece, Told,
    texts::{Offsets, PIECE},
};

/// Reads what happens, at its own pace.
pub struct Reader {
    feed: Feed,
    pub(super) session: Option<SessionId>,
    after: EventId,
    wake: Wake,
    /// How much of each text was told.
    offsets: Offsets,
    /// All was told that there was when it looked last, so that it need not look again before something happens.
    all: bool,
    /// When it was told something last.
    told_at: Option<Instant>,
}

/// What a reader is woken by.
enum Wake {
    Anything(watch::Receiver<u64>),
    Events(watch::Receiver<EventId>),
}

impl Wake {
    fn mark_unchanged(&mut self) {
        match self {
            Self::Anything(happened) => happened.mark_unchanged(),
            Self::Events(committed) => committed.mark_unchanged(),
        }
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        match self {
            Self::Anything(happened) => happened.changed().await,
            Self::Events(committed) => committed.changed().await,
        }
    }

    fn has_changed(&self) -> bool {
        match self {
            Self::Anything(happened) => happened.has_changed(),
            Self::Events(committed) => committed.has_changed(),
        }
        // One that is closed says so when it is waited for.
        .unwrap_or(false)
    }

    const fn wants_texts(&self) -> bool {
        matches!(self, Self::Anything(_))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("session", &self.session).field("after", &self.after).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn of_all(feed: Feed, session: Option<SessionId>, after: EventId) -> Self {
        let wake = Wake::Anything(feed.inner.happened.subscribe());
        Self { feed, session, after, wake, offsets: Offsets::new(), all: false, told_at: None }
    }

    pub(super) fn of_events(feed: Feed, after: EventId) -> Self {
        let wake = Wake::Events(feed.inner.committed.subscribe());
        Self { feed, session: None, after, wake, offsets: Offsets::new(), all: false, told_at: None }
    }

    /// What is behind the cursor; waits until there is something. Whoever stops waiting has lost nothing.
    ///
    /// # Errors
    /// When the store can't be read; the cursor stays where it was.
    pub async fn next(&mut self) -> Result<Vec<Told>, StoreError> {
        let waiting = self.feed.inner.crowd.enter();
        loop {
            if !self.has_all() {
                // Until it has looked: who gives up meanwhile has to look again.
                self.all = false;
                self.wake.mark_unchanged();
                let told = self.step().await?;
                if !told.is_empty() {
                    self.told_at = Some(Instant::now());
                    return Ok(told);
                }
            }
            if self.wake.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
            self.all = false;
            if let (Some(pace), Some(told_at)) = (waiting.pace(), self.told_at) {
                tokio::time::sleep_until(told_at + pace).await;
            }
        }
    }

    /// Whether there is nothing behind the cursor.
    pub(super) fn has_all(&self) -> bool {
        self.all && !self.wake.has_changed()
    }

    /// The number of the last event that was told.
    #[must_use]
    pub fn last(&self) -> EventId {
        self.after
    }

    pub(super) async fn step(&mut self) -> Result<Vec<Told>, StoreError> {
        // First the texts, then the events, so that no text is told before the event that began it.
        let (texts, inner) = (self.wake.wants_texts(), &self.feed.inner);
        let (pieces, all) =
            if texts { inner.texts.look(self.session.as_ref(), &self.offsets) } else { (Vec::new(), true) };
        let known = inner.past.last();
        // The only wait: whoever gives up before it has lost nothing, and nothing is changed before it.
        let events = inner.past.after(self.session.as_ref(), self.after).await?;
        let (mut told, mut over) = (Vec::new(), HashSet::new());
        // Without one there is none of ours up to there.
        let up_to = events.last().map_or(self.after.max(known), |last| last.id);
        for event in events {
            if texts && let Some((piece, last)) = self.before(&event, &mut over) {
                told.push(Told::Text(piece));
                if !last {
                    // The event is told with the last of its text, and this reader holds only a piece until then.
                    return Ok(told);
                }
            }
            self.after = event.id;
            told.push(Told::Event(event));
        }
        self.after = up_to;
        if self.after >= known {
            self.all = all;
            for piece in pieces {
                self.piece(piece, &over, &mut told);
            }
        }
        Ok(told)
    }

    /// What has to be told before an event: the rest of the text of an item that ends, or as much of it as is told at once. Also says
    /// whether that is all of it.
    fn before(&mut self, event: &Published, over: &mut HashSet<ItemId>) -> Option<(Arc<Piece>, bool)> {
        let item = event.item.as_ref()?;
        let (kind, text) = match &item.body {
            ItemBody::AgentMessage { text } => (DeltaKind::Text, text.as_str()),
            ItemBody::Reasoning { summary } => (DeltaKind::Reasoning, summary.as_str()),
            ItemBody::CommandExecution { output, .. } => (DeltaKind::Output, output.as_deref().unwrap_or_default()),
            _ => return None,
        };
        match event.name {
            EventName::ItemStarted => {
                self.offsets.entry((item.id.clone(), kind)).or_insert(0);
                None
            }
            EventName::ItemCompleted => {
                over.insert(item.id.clone());
                let offset = self.offsets.remove(&(item.id.clone(), kind))?;
                // An output is cut in the middle, and what was shown is not always its beginning.
                if offset == 0 || kind == DeltaKind::Output {
                    return None;
                }
                let rest = text.get(offset..).filter(|rest| !rest.is_empty())?;
                let piece = &rest[..rest.floor_char_boundary(PIECE)];
                let last = piece.len() == rest.len();
                if !last {
                    self.offsets.insert((item.id.clone(), kind), offset + piece.len());
                }
                let (session, turn) = (event.session.clone()?, event.turn.clone()?);
                let (item, text) = (item.id.clone(), piece.to_owned());
                let piece = Piece { session, turn, item, kind, offset, text, snapshot: false, frame: OnceLock::new() };
                Some((Arc::new(piece), last))
            }
            _ => None,
        }
    }

    fn piece(&mut self, mut piece: Arc<Piece>, over: &HashSet<ItemId>, told: &mut Vec<Told>) {
        if over.contains(&piece.item) {
            return;
        }
        let known = self.offsets.insert((piece.item.clone(), piece.kind), piece.offset + piece.text.len());
        // It has seen the item begin between looking and now.
        if piece.snapshot && known.is_some() {
            let Piece { session, turn, item, kind, offset, text, .. } = &*piece;
            piece = Arc::new(Piece {
                session: session.clone(),
                turn: turn.clone(),
                item: item.clone(),
                kind: *kind,
                offset: *offset,
                text: text.clone(),
                snapshot: false,
                frame: OnceLock::new(),
            });
        }
        told.push(Told::Text(piece));
    }
}
