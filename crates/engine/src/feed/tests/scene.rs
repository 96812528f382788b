//! A session in which things happen, and what a client makes of what it is told.

use std::collections::{BTreeMap, HashMap, HashSet};

use store::{Batch, NewEvent, NewSession, NewTurn, Store, Write};
use types::{
    ApprovalPolicy, EventName, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, Sandbox, Session, SessionId,
    Timestamp, TurnId, TurnKind, TurnOptions,
};

use super::super::*;

/// A session with a turn, in which things happen as its task would let them.
pub(super) struct Scene {
    _dir: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) feed: Feed,
    pub(super) session: SessionId,
    pub(super) turn: TurnId,
    /// What is in progress, and what ended, with its text.
    pub(super) open: Vec<(ItemId, String)>,
    pub(super) done: BTreeMap<ItemId, String>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let at = Timestamp::from_millis(1);
        let session = Session::new(SessionId::fresh(), "/w".into(), Sandbox::ReadOnly, ApprovalPolicy::Never, at);
        let (id, turn) = (session.id.clone(), TurnId::fresh());
        let new_session =
            NewSession { session, principal: Principal::Local, origin: Origin::Http, developer_instructions: None };
        let new_turn = NewTurn {
            id: turn.clone(),
            session: id.clone(),
            prompt_item: ItemId::fresh(),
            kind: TurnKind::Prompt,
            prompt: "x".into(),
            options: TurnOptions::default(),
            retry_of: None,
            principal: Principal::Local,
            origin: Origin::Http,
            created_at: at,
        };
        let writes = vec![Write::CreateSession(Box::new(new_session)), Write::CreateTurn(Box::new(new_turn))];
        store.commit(Batch { writes }).await.unwrap();
        let feed = Feed::new(store.clone());
        Self { _dir: dir, store, feed, session: id, turn, open: Vec::new(), done: BTreeMap::new() }
    }

    async fn put(&self, name: EventName, id: &ItemId, status: ItemStatus, text: &str) {
        let at = Timestamp::from_millis(2);
        let item = Item { id: id.clone(), status, at, body: ItemBody::AgentMessage { text: text.to_owned() } };
        let (session, turn) = (self.session.clone(), self.turn.clone());
        let put = Write::PutItem { session: session.clone(), turn: turn.clone(), item: Box::new(item), codex_id: None };
        let event =
            NewEvent { name, at, session: Some(session), turn: Some(turn), item: Some(id.clone()), detail: None };
        self.store.commit(Batch { writes: vec![put, Write::AddEvent(Box::new(event))] }).await.unwrap();
    }

    pub(super) async fn begin(&mut self) {
        let id = ItemId::fresh();
        self.put(EventName::ItemStarted, &id, ItemStatus::InProgress, "").await;
        self.open.push((id, String::new()));
        self.feed.happened();
    }

    pub(super) fn grow(&mut self, which: usize, more: &str) {
        let count = self.open.len();
        let Some((id, text)) = self.open.get_mut(which % count.max(1)) else { return };
        text.push_str(more);
        self.feed.grew(&self.session, &self.turn, id, DeltaKind::Text, more);
        self.feed.happened();
    }

    pub(super) async fn end(&mut self, which: usize) {
        if self.open.is_empty() {
            return;
        }
        let (id, text) = self.open.remove(which % self.open.len());
        self.put(EventName::ItemCompleted, &id, ItemStatus::Completed, &text).await;
        self.feed.ended(&self.session, &id);
        self.feed.happened();
        self.done.insert(id, text);
    }

    pub(super) async fn everything(&self) -> Vec<i64> {
        let events = self.store.events_after(Some(&self.session), EventId(0), 10_000).await.unwrap();
        events.into_iter().map(|event| event.id.0).collect()
    }
}

/// What a client has made of what it was told.
#[derive(Default)]
pub(super) struct Client {
    pub(super) events: Vec<i64>,
    pub(super) texts: HashMap<ItemId, String>,
    begun: HashSet<ItemId>,
    pub(super) over: HashSet<ItemId>,
}

impl Client {
    pub(super) fn hear(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Event(event) => {
                    assert!(self.events.last().is_none_or(|last| *last < event.id.0), "in order, and once");
                    self.events.push(event.id.0);
                    let id = event.item.as_ref().map(|item| item.id.clone());
                    match (event.name, id) {
                        (EventName::ItemStarted, Some(id)) => drop(self.begun.insert(id)),
                        (EventName::ItemCompleted, Some(id)) => drop(self.over.insert(id)),
                        _ => {}
                    }
                }
                Told::Text(piece) => {
                    let Piece { item, offset, text, snapshot, .. } = &*piece;
                    assert!(self.begun.contains(item), "no text before the event that it belongs to");
                    assert!(!self.over.contains(item), "no text behind the end of its item");
                    let have = self.texts.entry(item.clone()).or_default();
                    if *snapshot {
                        assert_eq!(*offset, 0);
                        assert!(text.starts_with(have.as_str()), "what was there is still there");
                        have.clone_from(text);
                    } else {
                        assert_eq!(*offset, have.len(), "a join is exact");
                        have.push_str(text);
                    }
                }
            }
        }
    }
}
