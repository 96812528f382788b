//! Readers that come, go, and are slow: none misses anything, and nothing is told twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use store::{Batch, NewEvent, NewSession, NewTurn, Write};
use types::{
    ApprovalPolicy, EventName, Item, ItemBody, ItemStatus, Origin, Principal, Sandbox, Session, Timestamp, TurnKind,
    TurnOptions,
};

use super::{
    past::CACHED,
    texts::{PIECE, TEXT},
    *,
};

/// A session with a turn, in which things happen as its task would let them.
struct Scene {
    _dir: tempfile::TempDir,
    store: Store,
    feed: Feed,
    session: SessionId,
    turn: TurnId,
    /// What is in progress, and what ended, with its text.
    open: Vec<(ItemId, String)>,
    done: BTreeMap<ItemId, String>,
}

impl Scene {
    async fn new() -> Self {
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

    async fn begin(&mut self) {
        let id = ItemId::fresh();
        self.put(EventName::ItemStarted, &id, ItemStatus::InProgress, "").await;
        self.open.push((id, String::new()));
        self.feed.happened();
    }

    fn grow(&mut self, which: usize, more: &str) {
        let count = self.open.len();
        let Some((id, text)) = self.open.get_mut(which % count.max(1)) else { return };
        text.push_str(more);
        self.feed.grew(&self.session, &self.turn, id, DeltaKind::Text, more);
        self.feed.happened();
    }

    async fn end(&mut self, which: usize) {
        if self.open.is_empty() {
            return;
        }
        let (id, text) = self.open.remove(which % self.open.len());
        self.put(EventName::ItemCompleted, &id, ItemStatus::Completed, &text).await;
        self.feed.ended(&self.session, &id);
        self.feed.happened();
        self.done.insert(id, text);
    }

    async fn everything(&self) -> Vec<i64> {
        let events = self.store.events_after(Some(&self.session), EventId(0), 10_000).await.unwrap();
        events.into_iter().map(|event| event.id.0).collect()
    }
}

/// What a client has made of what it was told.
#[derive(Default)]
struct Client {
    events: Vec<i64>,
    texts: HashMap<ItemId, String>,
    begun: HashSet<ItemId>,
    over: HashSet<ItemId>,
}

impl Client {
    fn hear(&mut self, told: Vec<Told>) {
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

#[derive(Debug, Clone)]
enum Happening {
    Begin,
    Grow(usize, String),
    End(usize),
    Read(usize),
    /// It asks for more and gives up at once.
    Glance(usize),
    /// The connection breaks, and the client comes back with the last number that it has.
    Cut(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Begin),
        8 => (0..4_usize, "[a-zé€🦀]{1,5}").prop_map(|(which, more)| Happening::Grow(which, more)),
        2 => (0..4_usize).prop_map(Happening::End),
        6 => (0..3_usize).prop_map(Happening::Read),
        4 => (0..3_usize).prop_map(Happening::Glance),
        3 => (0..3_usize).prop_map(Happening::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_has_everything_once_however_often_it_is_cut(happenings in prop::collection::vec(happening(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new().await;
            let mut readers: Vec<(Reader, Client)> = (0..3)
                .map(|number| (scene.feed.reader((number > 0).then(|| scene.session.clone()), EventId(0)), Client::default()))
                .collect();
            for happening in happenings {
                match happening {
                    Happening::Begin => scene.begin().await,
                    Happening::Grow(which, more) => scene.grow(which, &more),
                    Happening::End(which) => scene.end(which).await,
                    Happening::Read(which) => {
                        let (reader, client) = &mut readers[which];
                        let would_wait = reader.has_all();
                        let told = reader.step().await.unwrap();
                        assert!(!would_wait || told.is_empty(), "who waits has been told everything");
                        client.hear(told);
                    }
                    Happening::Glance(which) => {
                        let (reader, client) = &mut readers[which];
                        tokio::select! {
                            biased;
                            told = reader.next() => client.hear(told.unwrap()),
                            () = std::future::ready(()) => {}
                        }
                    }
                    Happening::Cut(which) => {
                        let (reader, client) = &mut readers[which];
                        let last = EventId(client.events.last().copied().unwrap_or(0));
                        *reader = scene.feed.reader(reader.session.clone(), last);
                    }
                }
            }
            while !scene.open.is_empty() {
                scene.end(0).await;
            }
            let all = scene.everything().await;
            for (mut reader, mut client) in readers {
                loop {
                    let told = reader.step().await.unwrap();
                    if told.is_empty() {
                        break;
                    }
                    client.hear(told);
                }
                assert_eq!(client.events, all);
                for (item, text) in client.texts {
                    // A client that was cut has the end of a text with the item itself.
                    assert!(scene.done[&item].starts_with(&text), "{text:?}");
                }
            }
        });
    }
}

#[tokio::test]
async fn who_watches_without_a_break_has_the_whole_text_in_pieces() {
    let mut scene = Scene::new().await;
    let (mut reader, mut client) = (scene.feed.reader(None, EventId(0)), Client::default());
    scene.begin().await;
    for number in 0..500 {
        scene.grow(0, &format!("{number} "));
        if number % 7 == 0 {
            client.hear(reader.next().await.unwrap());
        }
    }
    scene.end(0).await;
    client.hear(reader.next().await.unwrap());
    let (item, text) = scene.done.iter().next().unwrap();
    assert_eq!(client.texts[item], *text);
}

#[tokio::test]
async fn who_comes_late_sees_what_is_in_progress_first() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    scene.grow(0, "so far");
    let mut reader = scene.feed.reader(Some(scene.session.clone()), scene.store.last_event());
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if piece.snapshot && piece.offset == 0 && piece.text == "so far"),
        "{told:?}"
    );
    scene.grow(0, ", and on");
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if !piece.snapshot && piece.offset == 6 && piece.text == ", and on"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_is_sent_of_a_text_is_made_once_for_all_who_keep_up() {
    let mut scene = Scene::new().await;
    let mut readers = [scene.feed.reader(None, EventId(0)), scene.feed.reader(Some(scene.session.clone()), EventId(0))];
    scene.begin().await;
    for reader in &mut readers {
        reader.next().await.unwrap();
    }
    scene.grow(0, "hello");
    let [first, second] = &mut readers;
    let (first, second) = (first.next().await.unwrap(), second.next().await.unwrap());
    let (Told::Text(first), Told::Text(second)) = (&first[0], &second[0]) else { panic!("{first:?} {second:?}") };
    assert!(Arc::ptr_eq(first, second));
    // Who comes now is given the same text as a snapshot, which is another thing to send.
    let told = scene.feed.reader(None, scene.store.last_event()).next().await.unwrap();
    assert!(matches!(&told[..], [Told::Text(piece)] if piece.snapshot && piece.text == "hello"), "{told:?}");
}

#[tokio::test]
async fn a_reader_that_is_far_behind_gets_there() {
    let mut scene = Scene::new().await;
    let mut late = scene.feed.reader(Some(scene.session.clone()), EventId(0));
    let mut watching = scene.feed.reader(None, EventId(0));
    for _ in 0..(CACHED + 300) / 2 {
        scene.begin().await;
        scene.end(0).await;
        watching.step().await.unwrap();
    }
    let (mut client, all) = (Client::default(), scene.everything().await);
    while client.events.len() < all.len() {
        client.hear(late.step().await.unwrap());
    }
    assert_eq!(client.events, all);
}

#[tokio::test]
async fn a_reader_of_one_session_falls_behind_while_others_are_busy_and_misses_nothing() {
    let mut scene = Scene::new().await;
    let mut slow = scene.feed.reader(Some(scene.session.clone()), EventId(0));
    let mut busy = scene.feed.reader(None, EventId(0));
    scene.begin().await;
    scene.end(0).await;
    // Far more than the cache holds, and nothing of it is the slow one's.
    for _ in 0..CACHED + 50 {
        let event = NewEvent {
            name: EventName::AgentStarted,
            at: Timestamp::from_millis(3),
            session: None,
            turn: None,
            item: None,
            detail: None,
        };
        scene.store.commit(Batch { writes: vec![Write::AddEvent(Box::new(event))] }).await.unwrap();
    }
    while !busy.step().await.unwrap().is_empty() {}
    let (mut client, all) = (Client::default(), scene.everything().await);
    client.hear(slow.step().await.unwrap());
    scene.begin().await;
    client.hear(slow.step().await.unwrap());
    let new = scene.everything().await;
    assert_eq!(new.len(), all.len() + 1);
    assert_eq!(client.events, new);
}

#[tokio::test]
async fn the_end_of_one_turn_takes_nothing_from_another() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    scene.grow(0, "hello ");
    let mut reader = scene.feed.reader(None, scene.store.last_event());
    reader.next().await.unwrap();
    scene.feed.quiet(&scene.session, &TurnId::fresh());
    scene.grow(0, "wonderful world");
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if piece.offset == 6 && piece.text == "wonderful world"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_and_stays_exact() {
    let mut scene = Scene::new().await;
    let (mut reader, mut client) = (scene.feed.reader(None, EventId(0)), Client::default());
    scene.begin().await;
    for _ in 0..5 {
        scene.grow(0, &"x".repeat(TEXT / 3));
        scene.grow(0, "y");
        client.hear(reader.step().await.unwrap());
    }
    let told = client.texts.values().next().map_or(0, String::len);
    assert!(told > 0 && told <= 5 * PIECE, "in small pieces");
    scene.end(0).await;
    let (item, text) = scene.done.iter().next().unwrap();
    while !client.over.contains(item) {
        let told = reader.next().await.unwrap();
        let held: usize = told.iter().map(|told| if let Told::Text(piece) = told { piece.text.len() } else { 0 }).sum();
        assert!(held <= PIECE, "{held} bytes at once");
        client.hear(told);
    }
    assert_eq!(client.texts[item], *text, "the rest came before the end");
}

#[tokio::test]
async fn who_comes_after_a_long_quiet_time_does_not_read_it_all() {
    let mut scene = Scene::new().await;
    for _ in 0..CACHED {
        scene.begin().await;
        scene.end(0).await;
    }
    let mut reader = scene.feed.reader(None, scene.store.last_event());
    assert!(reader.step().await.unwrap().is_empty());
    assert!(scene.feed.inner.past.cache.lock().await.events.len() <= CACHED);
    scene.begin().await;
    assert_eq!(reader.step().await.unwrap().len(), 1);
    // Who wants all of it gets it all the same.
    let (mut all, mut client) = (scene.feed.reader(Some(scene.session.clone()), EventId(0)), Client::default());
    let wanted = scene.everything().await;
    while client.events.len() < wanted.len() {
        client.hear(all.step().await.unwrap());
    }
    assert_eq!(client.events, wanted);
}

#[tokio::test]
async fn a_reader_of_events_is_nobody_who_watches_and_is_told_no_texts() {
    let mut scene = Scene::new().await;
    let mut reader = scene.feed.reader_of_events(scene.store.last_event());
    assert!(!scene.feed.watched(), "no session writes down at once for its sake");
    let task = tokio::spawn(async move { (reader.next().await.unwrap(), reader) });
    scene.begin().await;
    let (told, mut reader) = task.await.unwrap();
    assert!(matches!(&told[..], [Told::Event(event)] if event.name == EventName::ItemStarted), "{told:?}");
    scene.grow(0, "some text");
    scene.end(0).await;
    let told = reader.next().await.unwrap();
    assert!(matches!(&told[..], [Told::Event(event)] if event.name == EventName::ItemCompleted), "{told:?}");
}

#[tokio::test]
async fn a_token_that_is_cut_over_two_pieces_is_shown_to_nobody() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    let token = format!("cdx_{}", "a".repeat(43));
    for (piece, shown) in [
        ("say ", "say "),
        (&token[..2], "say "),
        (&token[2..20], "say "),
        (&token[20..], "say [redacted token]"),
        (" abc", "say [redacted token] ab"),
        ("d", "say [redacted token] ab"),
        ("e", "say [redacted token] abcde"),
    ] {
        scene.grow(0, piece);
        let (pieces, _) = scene.feed.inner.texts.look(None, &texts::Offsets::default());
        assert_eq!(pieces[0].text, shown, "after {piece:?}");
    }
}
