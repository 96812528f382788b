//! Fan-out: what happens, for whoever watches.
//!
//! # Theory of operation
//!
//! A reader is a cursor and not a queue: the number of the last event that it was given, and for each text in progress how much of
//! it. Whatever happens, a task only says that something did ([`Feed::happened`]); each reader then takes what is behind its
//! cursor, when it has time for it. A slow one gets larger pieces later, and an absent one costs nothing. What waits
//! for a reader is kept here once, whoever reads; what is on its way to a client that does not read is in its connection, and costs until
//! that is full.
//!
//! A reader that wants events only ([`Feed::reader_of_events`]) is woken by those alone, and is nobody who watches: for its sake
//! no session writes down at once what may wait.
//!
//! Events come from the store, through one cache for all readers, so that an event is read once however many watch. Texts in
//! progress are kept here, once, until their items end. Readers that keep up are given the same [`Piece`] of a text, with room for what
//! is made of it to be sent, so that it is made once. What a reader does for a piece is otherwise little: it looks at the texts, and asks
//! nobody for events when there are none.
//!
//! In a crowd ([`CROWD`]) each reader is told less often and larger pieces, so that what it costs to tell hundreds, also those whose
//! clients do not read, stays within bounds and nobody is slowed by them.
//!
//! **Tokens.** A token of ours may be cut over two pieces of a text. What could be the beginning of one is held back until the next piece, or
//! the end of the item, which has the whole text: readers see a few characters later then.
//!
//! **Order.** A session's task adds to a text only after the event that began its item was committed. A reader first looks at the
//! texts, then reads the events up to the last one that is committed by then, tells these, and only then what is new of the
//! texts it looked at: so a piece of a text never overtakes the event that it belongs to. The end of an item tells what was left of
//! its text before.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use agent::DeltaKind;
use bytes::Bytes;
use store::{Published, Store, StoreError};
use tokio::sync::watch;
use types::{EventId, EventName, ItemBody, ItemId, Redactor, SessionId, TurnId};

/// So many readers are told at once whatever happens; of more each waits so long for each of them before it looks again.
const CROWD: usize = 128;
const PACE: Duration = Duration::from_micros(50);

/// The most events that are read at once.
const PAGE: u32 = 256;

/// The newest events that are kept for all readers, and how large they may be together.
const CACHED: usize = 1_024;
const CACHED_BYTES: usize = 8 << 20;

/// The longest piece of a text that a reader is given at once, in bytes.
const PIECE: usize = 4 * 1024;

/// The longest text in progress that is kept, in bytes.
const TEXT: usize = 1 << 20;

/// The place where things happen; cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    happened: watch::Sender<u64>,
    /// The last event that readers of events only were told of.
    committed: watch::Sender<EventId>,
    texts: Mutex<HashMap<SessionId, Vec<Text>>>,
    cache: tokio::sync::Mutex<Cache>,
}

/// The text of an item that is in progress.
#[derive(Debug, Clone)]
struct Text {
    turn: TurnId,
    item: ItemId,
    kind: DeltaKind,
    /// It only grows.
    text: String,
    /// It is as long as it may be: the rest comes with the end of the item.
    full: bool,
    /// Holds back what may be a token of ours of which not all is there yet.
    redactor: Redactor,
    /// The piece that a reader was given last: the next one most often wants the same.
    given: Option<Arc<Piece>>,
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
    /// It is all that there is so far, for a reader that did not see the item begin.
    pub snapshot: bool,
    /// What is sent of it, once somebody has made that: the same for all readers.
    pub frame: OnceLock<Bytes>,
}

/// All events with numbers above `from` and up to `to`.
struct Cache {
    from: EventId,
    to: EventId,
    events: VecDeque<Arc<Published>>,
    bytes: usize,
}

impl Feed {
    pub(crate) fn new(store: Store) -> Self {
        let last = store.last_event();
        let cache = Cache { from: last, to: last, events: VecDeque::new(), bytes: 0 };
        let (happened, committed) = (watch::Sender::new(0), watch::Sender::new(last));
        Self { inner: Arc::new(Inner { store, happened, committed, texts: Mutex::default(), cache: cache.into() }) }
    }

    /// Something was committed, or a text grew.
    pub(crate) fn happened(&self) {
        self.inner.happened.send_modify(|count| *count = count.wrapping_add(1));
        let last = self.inner.store.last_event();
        self.inner.committed.send_if_modified(|told| std::mem::replace(told, last) != last);
    }

    /// Whether anybody watches now, who wants to see at once what may wait.
    pub(crate) fn watched(&self) -> bool {
        self.inner.happened.receiver_count() > 0
    }

    /// A text in progress grew. The event that began its item is committed.
    pub(crate) fn grew(&self, session: &SessionId, turn: &TurnId, item: &ItemId, kind: DeltaKind, more: &str) {
        let mut texts = self.texts();
        let texts = texts.entry(session.clone()).or_default();
        match texts.iter_mut().find(|text| text.item == *item && text.kind == kind) {
            // Once one piece is left out so are those behind it, or a join would be wrong.
            Some(text) => {
                text.full |= text.text.len() + more.len() > TEXT;
                if !text.full {
                    text.text.push_str(&text.redactor.push(more));
                }
            }
            None => {
                let full = more.len() > TEXT;
                let mut redactor = Redactor::default();
                let text = if full { String::new() } else { redactor.push(more) };
                texts.push(Text { turn: turn.clone(), item: item.clone(), kind, text, full, redactor, given: None });
            }
        }
    }

    /// An item ended: its text is in the store.
    pub(crate) fn ended(&self, session: &SessionId, item: &ItemId) {
        let mut texts = self.texts();
        if let Some(of_session) = texts.get_mut(session) {
            of_session.retain(|text| text.item != *item);
            if of_session.is_empty() {
                texts.remove(session);
            }
        }
    }

    /// Nothing of this turn is in progress any more.
    pub(crate) fn quiet(&self, session: &SessionId, turn: &TurnId) {
        let mut texts = self.texts();
        if let Some(of_session) = texts.get_mut(session) {
            of_session.retain(|text| text.turn != *turn);
            if of_session.is_empty() {
                texts.remove(session);
            }
        }
    }

    /// A reader of one session, or of everything, from behind an event.
    pub(crate) fn reader(&self, session: Option<SessionId>, after: EventId) -> Reader {
        let wake = Wake::Anything(self.inner.happened.subscribe());
        Reader { feed: self.clone(), session, after, wake, offsets: HashMap::new(), all: false, told_at: None }
    }

    /// A reader of all events and no texts, from behind an event.
    pub(crate) fn reader_of_events(&self, after: EventId) -> Reader {
        let wake = Wake::Events(self.inner.committed.subscribe());
        Reader { feed: self.clone(), session: None, after, wake, offsets: HashMap::new(), all: false, told_at: None }
    }

    fn texts(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Vec<Text>>> {
        // A poisoned lock guards texts of which each step leaves them whole.
        self.inner.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is new of what is in progress, in one session or in all; and whether that is all of it.
    fn look(
        &self,
        session: Option<&SessionId>,
        offsets: &HashMap<(ItemId, DeltaKind), usize>,
    ) -> (Vec<Arc<Piece>>, bool) {
        let mut texts = self.texts();
        let (mut pieces, mut all) = (Vec::new(), true);
        let mut take = |session: &SessionId, texts: &mut [Text]| {
            for text in texts {
                let told = offsets.get(&(text.item.clone(), text.kind)).copied();
                let offset = told.unwrap_or(0);
                let Some(new) = text.text.get(offset..).filter(|new| !new.is_empty()) else { continue };
                // What a reader holds while its client does not read is small.
                let piece = &new[..new.floor_char_boundary(PIECE)];
                all &= piece.len() == new.len();
                pieces.push(match &text.given {
                    Some(given) if given.is(offset, piece.len(), told.is_none()) => Arc::clone(given),
                    _ => {
                        let piece = Arc::new(Piece {
                            session: session.clone(),
                            turn: text.turn.clone(),
                            item: text.item.clone(),
                            kind: text.kind,
                            offset,
                            text: piece.to_owned(),
                            snapshot: told.is_none(),
                            frame: OnceLock::new(),
                        });
                        text.given = Some(Arc::clone(&piece));
                        piece
                    }
                });
            }
        };
        match session {
            Some(id) => texts.get_mut(id).into_iter().for_each(|of_it| take(id, of_it)),
            None => texts.iter_mut().for_each(|(id, of_it)| take(id, of_it)),
        }
        (pieces, all)
    }

    /// A page of the events behind one. Those that are new are read once for all readers.
    async fn events(&self, session: Option<&SessionId>, after: EventId) -> Result<Vec<Arc<Published>>, StoreError> {
        let last = self.inner.store.last_event();
        // Most often it was a text that grew, and then no reader waits for another one here.
        if after >= last {
            return Ok(Vec::new());
        }
        let mut cache = self.inner.cache.lock().await;
        // Nobody watched for long: what lies between is read by whoever wants it.
        let near = EventId(last.0.saturating_sub(i64::try_from(CACHED).unwrap_or(i64::MAX)));
        if cache.to < near {
            *cache = Cache { from: near, to: near, events: VecDeque::new(), bytes: 0 };
        }
        while after >= cache.from && cache.to < last {
            let events = self.inner.store.published_after(None, cache.to, PAGE).await?;
            if events.is_empty() {
                // The numbers up to there are holes.
                cache.to = last;
            }
            for event in events {
                cache.to = event.id;
                cache.bytes += event.data.len();
                cache.events.push_back(Arc::new(event));
            }
            while cache.events.len() > CACHED || (cache.bytes > CACHED_BYTES && cache.events.len() > 1) {
                if let Some(event) = cache.events.pop_front() {
                    cache.from = event.id;
                    cache.bytes -= event.data.len();
                }
            }
        }
        // One that is far behind, or fell behind while the cache was filled, reads by itself.
        if after < cache.from {
            drop(cache);
            let events = self.inner.store.published_after(session, after, PAGE).await?;
            return Ok(events.into_iter().map(Arc::new).collect());
        }
        let first = cache.events.partition_point(|event| event.id <= after);
        let ours = |event: &&Arc<Published>| session.is_none_or(|session| event.session.as_ref() == Some(session));
        Ok(cache.events.iter().skip(first).filter(ours).take(PAGE as usize).cloned().collect())
    }
}

/// Something that a reader is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// A numbered event.
    Event(Arc<Published>),
    /// Of a text in progress.
    Text(Arc<Piece>),
}

impl Piece {
    /// Whether it is what a reader at this place of the text is to be given.
    const fn is(&self, offset: usize, length: usize, snapshot: bool) -> bool {
        self.offset == offset && self.text.len() == length && self.snapshot == snapshot
    }
}

/// Reads what happens, at its own pace.
pub struct Reader {
    feed: Feed,
    session: Option<SessionId>,
    after: EventId,
    wake: Wake,
    /// How much of each text was told.
    offsets: HashMap<(ItemId, DeltaKind), usize>,
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
    /// What is behind the cursor; waits until there is something. Whoever stops waiting has lost nothing.
    ///
    /// # Errors
    /// When the store can't be read; the cursor stays where it was.
    pub async fn next(&mut self) -> Result<Vec<Told>, StoreError> {
        loop {
            if !self.all || self.wake.has_changed() {
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
            self.keep_pace().await;
        }
    }

    /// In a crowd, waits until it is this reader's time again.
    async fn keep_pace(&self) {
        let readers = self.feed.inner.happened.receiver_count();
        if let (true, Some(told_at)) = (readers > CROWD, self.told_at) {
            let pause = PACE * u32::try_from(readers).unwrap_or(u32::MAX).min(1_000);
            tokio::time::sleep_until((told_at + pause).into()).await;
        }
    }

    /// The number of the last event that was told.
    #[must_use]
    pub fn last(&self) -> EventId {
        self.after
    }

    async fn step(&mut self) -> Result<Vec<Told>, StoreError> {
        // First the texts, then the events, so that no text is told before the event that began it.
        let texts = self.wake.wants_texts();
        let (pieces, all) =
            if texts { self.feed.look(self.session.as_ref(), &self.offsets) } else { (Vec::new(), true) };
        let known = self.feed.inner.store.last_event();
        // The only wait: whoever gives up before it has lost nothing, and nothing is changed before it.
        let events = self.feed.events(self.session.as_ref(), self.after).await?;
        let (mut told, mut over) = (Vec::new(), HashSet::new());
        // Without one there is none of ours up to there.
        self.after = events.last().map_or(self.after.max(known), |last| last.id);
        for event in events {
            if texts {
                self.before(&event, &mut over, &mut told);
            }
            told.push(Told::Event(event));
        }
        if self.after >= known {
            self.all = all;
            for piece in pieces {
                self.piece(piece, &over, &mut told);
            }
        }
        Ok(told)
    }

    /// What has to be told before an event: the rest of the text of an item that ends.
    fn before(&mut self, event: &Published, over: &mut HashSet<ItemId>, told: &mut Vec<Told>) {
        let Some(item) = &event.item else { return };
        let id = item.id.clone();
        let in_progress = match &item.body {
            ItemBody::AgentMessage { text } => Some((DeltaKind::Text, text.as_str())),
            ItemBody::Reasoning { summary } => Some((DeltaKind::Reasoning, summary.as_str())),
            ItemBody::CommandExecution { output, .. } => {
                Some((DeltaKind::Output, output.as_deref().unwrap_or_default()))
            }
            _ => None,
        };
        match event.name {
            EventName::ItemStarted => {
                if let Some((kind, _)) = in_progress {
                    self.offsets.entry((id, kind)).or_insert(0);
                }
            }
            EventName::ItemCompleted => {
                over.insert(id.clone());
                let Some((kind, text)) = in_progress else { return };
                let Some(offset) = self.offsets.remove(&(id.clone(), kind)) else { return };
                let rest = text.get(offset..).unwrap_or_default();
                // An output is cut in the middle, and what was shown is not always its beginning.
                if offset == 0 || rest.is_empty() || kind == DeltaKind::Output {
                    return;
                }
                if let (Some(session), Some(turn)) = (event.session.clone(), event.turn.clone()) {
                    let (text, frame) = (rest.to_owned(), OnceLock::new());
                    let piece = Piece { session, turn, item: id, kind, offset, text, snapshot: false, frame };
                    told.push(Told::Text(Arc::new(piece)));
                }
            }
            _ => {}
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

#[cfg(test)]
mod tests;
