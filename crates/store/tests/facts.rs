//! What is written is read back: sessions, threads, turns, items, events, asks.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod support;

use std::collections::BTreeMap;

use store::{PendingAsk, SessionChange, Store, StoreError, TurnChange, Write};
use support::*;
use types::{
    AgentId, ApprovalId, AskId, Delivery, EventId, EventName, ItemBody, ItemId, ItemStatus, Origin, Principal, Resumed,
    ResumedHow, Role, SessionId, SessionStatus, ThreadId, TitleSource, TurnError, TurnErrorCode, TurnId, TurnStatus,
    Usage, agent::Backend,
};

fn update(id: &SessionId, change: SessionChange) -> Write {
    Write::UpdateSession { id: id.clone(), change: Box::new(change) }
}

#[tokio::test]
async fn a_session_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut session = plain_session("naïve — 標題", 5);
    session.labels = BTreeMap::from([("k".to_owned(), "v \" ' %".to_owned())]);
    session.model = Some("m".to_owned());
    session.forked_from = Some(SessionId::fresh());
    session.thread_id = Some(ThreadId::parse("t-0").unwrap());
    session.backend = Some("app-server".to_owned());
    session.resumed = Some(Resumed { how: ResumedHow::Forked, at: at(4) });
    store.commit(batch([create(session.clone())])).await.unwrap();

    let found = store.session(&session.id).await.unwrap().unwrap();
    assert_eq!(found.session, session);
    assert_eq!(found.principal, Principal::Grant("ci".to_owned()));
    assert_eq!((found.origin, found.developer_instructions.as_deref()), (Origin::Http, Some("be brief")));
    assert_eq!(found.seen, None);
    assert_eq!(store.session(&SessionId::fresh()).await.unwrap(), None);

    let change = SessionChange {
        title: Some(("other".to_owned(), TitleSource::Manual, true)),
        cwd: Some("/elsewhere".into()),
        updated_at: Some(at(9)),
        resumed: Some(Resumed { how: ResumedHow::Replayed, at: at(8) }),
        ..SessionChange::default()
    };
    store.commit(batch([update(&session.id, change)])).await.unwrap();
    session.title = "other".to_owned();
    (session.title_source, session.title_locked) = (TitleSource::Manual, true);
    (session.cwd, session.updated_at) = ("/elsewhere".into(), at(9));
    session.resumed = Some(Resumed { how: ResumedHow::Replayed, at: at(8) });
    assert_eq!(store.session(&session.id).await.unwrap().unwrap().session, session);
    store.commit(batch([update(&session.id, SessionChange::default())])).await.unwrap();
    assert_eq!(store.session(&session.id).await.unwrap().unwrap().session, session);
}

#[tokio::test]
async fn a_session_is_found_by_every_thread_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (one, two) = (stored(&store, "one", 1).await, stored(&store, "two", 2).await);
    let add = |thread: &str, session: &SessionId| Write::AddThread {
        thread: ThreadId::parse(thread).unwrap(),
        session: session.clone(),
        backend: Backend::McpServer,
        at: at(3),
    };
    store.commit(batch([add("t-1", &one), add("t-2", &one), add("t-3", &two)])).await.unwrap();
    for (text, expected) in
        [(one.as_str(), Some(&one)), ("t-1", Some(&one)), ("t-2", Some(&one)), ("t-3", Some(&two)), ("../%'\0", None)]
    {
        assert_eq!(store.find_session(text).await.unwrap().as_ref(), expected, "{text}");
    }
    let current = async |store: &Store| {
        let session = store.session(&one).await.unwrap().unwrap().session;
        (session.thread_id.map(|id| id.to_string()), session.backend)
    };
    assert_eq!(current(&store).await, (Some("t-2".to_owned()), Some("mcp-server".to_owned())));

    let thread = |thread: Option<&str>| SessionChange {
        thread: Some(thread.map(|thread| ThreadId::parse(thread).unwrap())),
        ..SessionChange::default()
    };
    store.commit(batch([update(&one, thread(None))])).await.unwrap();
    assert_eq!(current(&store).await, (None, None));
    store.commit(batch([update(&one, thread(Some("t-1")))])).await.unwrap();
    assert_eq!(current(&store).await, (Some("t-1".to_owned()), Some("mcp-server".to_owned())));
    for refused in [update(&one, thread(Some("t-3"))), update(&one, thread(Some("t-9")))] {
        assert!(matches!(store.commit(batch([refused])).await, Err(StoreError::Constraint(_))));
    }
    // A program that gives the same id twice means another thread by it: the newest session has it, and the other none.
    store.commit(batch([add("t-3", &two)])).await.unwrap();
    store.commit(batch([add("t-3", &one)])).await.unwrap();
    assert_eq!(store.find_session("t-3").await.unwrap().as_ref(), Some(&one));
    let other = store.session(&two).await.unwrap().unwrap().session;
    assert_eq!(other.thread_id, None);
}

#[tokio::test]
async fn turns_queue_run_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (id, other) = (stored(&store, "s", 1).await, stored(&store, "o", 2).await);
    let (first, prompt_item, create_first) = new_turn(&id, "first");
    let (second, _, create_second) = new_turn(&id, "second");
    let (_, _, create_other) = new_turn(&other, "other");
    store.commit(batch([create_first, create_other, create_second])).await.unwrap();

    let positions = async || {
        let turns = store.turns(&id).await.unwrap();
        turns.iter().map(|turn| (turn.prompt.clone(), turn.position)).collect::<Vec<_>>()
    };
    assert_eq!(positions().await, [("first".to_owned(), Some(1)), ("second".to_owned(), Some(2))]);
    let session = store.session(&id).await.unwrap().unwrap().session;
    assert_eq!((session.status, session.turn_count), (SessionStatus::Running, 2));
    assert_eq!(store.unfinished_sessions().await.unwrap(), [id.clone(), other.clone()]);

    let agent_id = AgentId::fresh();
    let thread = ThreadId::parse("t").unwrap();
    let change = TurnChange {
        status: Some(TurnStatus::Running),
        held: Some(true),
        delivery: Some(Delivery::Unknown),
        thread: Some(thread.clone()),
        codex_turn: Some("codex-1".to_owned()),
        ask: Some(AskId(7)),
        agent: Some(agent_id.clone()),
        started_at: Some(at(11)),
        ..TurnChange::default()
    };
    let command = ItemBody::CommandExecution {
        command: "ls".into(),
        cwd: "/".into(),
        output: Some("a\0b".into()),
        output_truncated: None,
        exit_code: Some(0),
        duration_ms: None,
    };
    let (answer, draft) = (ItemId::fresh(), ItemId::fresh());
    store
        .commit(batch([
            Write::UpdateTurn { id: first.clone(), change: Box::new(change) },
            put(&id, &first, &answer, ItemStatus::InProgress, agent("")),
            put(&id, &first, &ItemId::fresh(), ItemStatus::Completed, command.clone()),
            put(&id, &first, &draft, ItemStatus::Incomplete, agent("cut")),
            // The prompt as Codex has it, and the answer, in their first places.
            put(&id, &first, &prompt_item, ItemStatus::Completed, user("first")),
            put(&id, &first, &answer, ItemStatus::Completed, agent("the answer")),
        ]))
        .await
        .unwrap();
    assert_eq!(positions().await, [("first".to_owned(), None), ("second".to_owned(), Some(1))]);

    let unfinished = store.unfinished_turns(&id).await.unwrap();
    assert_eq!(unfinished.iter().map(|stored| &stored.turn.id).collect::<Vec<_>>(), [&first, &second]);
    let running = &unfinished[0];
    assert_eq!((running.turn.held, &running.prompt_item, &running.agent), (false, &prompt_item, &Some(agent_id)));
    assert_eq!((&running.thread, running.codex_turn.as_deref()), (&Some(thread), Some("codex-1")));
    assert_eq!((running.ask, running.stopping), (Some(AskId(7)), false));
    assert_eq!((running.turn.answer.as_deref(), running.turn.items.len()), (Some("the answer"), 4));
    assert_eq!(running.turn.items[1].body, agent("the answer"));
    assert_eq!(running.turn.items[2].body, command);
    assert!(!unfinished[1].turn.held && unfinished[1].thread.is_none());

    let error = TurnError::new(TurnErrorCode::AgentExited, "gone");
    let usage = Usage { input_tokens: 1, cached_input_tokens: 2, output_tokens: 3, reasoning_tokens: 4 };
    let (no, never) = (ApprovalId::fresh(), ApprovalId::fresh());
    let end = TurnChange {
        status: Some(TurnStatus::Interrupted),
        held: Some(false),
        delivery: Some(Delivery::Yes),
        error: Some(error.clone()),
        usage: Some(usage),
        declined: Some(no.clone()),
        ended_at: Some(at(12)),
        ..TurnChange::default()
    };
    let more = TurnChange { declined: Some(never.clone()), ..TurnChange::default() };
    store
        .commit(batch([
            Write::UpdateTurn { id: first.clone(), change: Box::new(end) },
            Write::UpdateTurn { id: first.clone(), change: Box::new(more) },
            status(&second, TurnStatus::Completed),
        ]))
        .await
        .unwrap();
    let turn = store.turn(&first).await.unwrap().unwrap();
    assert_eq!((turn.status, turn.delivery, turn.error, turn.usage), {
        (TurnStatus::Interrupted, Delivery::Yes, Some(error), Some(usage))
    });
    assert_eq!(turn.declined, [no, never]);
    assert_eq!((turn.created_at, turn.started_at, turn.ended_at), (at(10), Some(at(11)), Some(at(12))));
    assert_eq!((turn.principal.as_str(), turn.origin, turn.items.len()), ("local", Origin::Mcp, 4));
    assert_eq!(store.session(&id).await.unwrap().unwrap().session.status, SessionStatus::Idle);
    assert_eq!(store.unfinished_sessions().await.unwrap(), [other]);
    assert_eq!(store.turn(&TurnId::fresh()).await.unwrap(), None);
}

#[tokio::test]
async fn history_is_in_the_order_of_turns() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "s", 1).await;
    let (first, _, create_first) = new_turn(&id, "one");
    let (second, _, create_second) = new_turn(&id, "two");
    let delivered =
        TurnChange { delivery: Some(Delivery::Yes), status: Some(TurnStatus::Failed), ..TurnChange::default() };
    store
        .commit(batch([
            create_first,
            create_second,
            put(&id, &first, &ItemId::fresh(), ItemStatus::Completed, agent("uno")),
            put(&id, &first, &ItemId::fresh(), ItemStatus::Completed, user("steered")),
            put(&id, &first, &ItemId::fresh(), ItemStatus::Incomplete, agent("half")),
            put(&id, &first, &ItemId::fresh(), ItemStatus::Incomplete, user("never heard")),
            put(&id, &first, &ItemId::fresh(), ItemStatus::Completed, ItemBody::Reasoning { summary: "hm".into() }),
            Write::UpdateTurn { id: first.clone(), change: Box::new(delivered) },
        ]))
        .await
        .unwrap();
    let history = store.history(&id).await.unwrap();
    let said: Vec<_> = history.iter().map(|m| (m.role, m.text.as_str(), m.delivery)).collect();
    assert_eq!(
        said,
        [
            (Role::User, "one", Delivery::Yes),
            (Role::Assistant, "uno", Delivery::Yes),
            (Role::User, "steered", Delivery::Yes),
            (Role::User, "two", Delivery::No)
        ]
    );
    assert_eq!((&history[0].turn, &history[3].turn), (&first, &second));
}

#[tokio::test]
async fn every_kind_of_item_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "s", 1).await;
    let (turn, _, create_turn) = new_turn(&id, "p");
    let json = serde_json::json!({"kind": "clash", "text": "x", "n": [1.5, null]});
    let bodies = [
        ItemBody::UserMessage { text: "look".into(), images: vec!["/a.png".into()] },
        agent("\0 and 🙂"),
        ItemBody::Plan { steps: Vec::new() },
        ItemBody::FileChange { changes: Vec::new() },
        ItemBody::McpToolCall { server: "s".into(), tool: "t".into(), arguments: json.clone(), result: None },
        ItemBody::WebSearch { query: "q".into() },
        ItemBody::Warning { message: "m".into() },
        ItemBody::Other { raw: json },
    ];
    let all = [
        ItemStatus::InProgress,
        ItemStatus::Completed,
        ItemStatus::Failed,
        ItemStatus::Declined,
        ItemStatus::Incomplete,
    ];
    let mut writes = vec![create_turn];
    for (body, status) in bodies.iter().zip(all.into_iter().cycle()) {
        writes.push(put(&id, &turn, &ItemId::fresh(), status, body.clone()));
    }
    store.commit(batch(writes)).await.unwrap();
    let items = store.turn(&turn).await.unwrap().unwrap().items;
    assert_eq!(items.iter().skip(1).map(|item| &item.body).collect::<Vec<_>>(), bodies.iter().collect::<Vec<_>>());
    assert!(items.iter().skip(1).zip(all.into_iter().cycle()).all(|(item, status)| item.status == status));
}

#[tokio::test]
async fn messages_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = conversation(&store, "s", 1, "a prompt like no other", "an answer like no other").await;
    let turn = store.turns(&id).await.unwrap().remove(0);
    assert_eq!(
        (turn.prompt.as_str(), turn.answer.as_deref()),
        ("a prompt like no other", Some("an answer like no other"))
    );
    store.close().await;
    let file = std::fs::read(dir.path().join("store.db")).unwrap();
    for text in ["a prompt like no other", "an answer like no other"] {
        assert_eq!(file.windows(text.len()).filter(|window| *window == text.as_bytes()).count(), 1, "{text}");
    }
}

#[tokio::test]
async fn events_are_numbered_and_point() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (id, other) = (stored(&store, "s", 1).await, stored(&store, "o", 2).await);
    assert_eq!(store.last_event(), EventId(0));
    let (turn, item, create_turn) = new_turn(&id, "p");
    let full = store::NewEvent {
        name: EventName::ItemStarted,
        at: at(5),
        session: Some(id.clone()),
        turn: Some(turn.clone()),
        item: Some(item.clone()),
        detail: Some(serde_json::json!({"a": 1})),
    };
    let committed = store
        .commit(batch([
            create_turn,
            Write::AddEvent(Box::new(full)),
            event(Some(&other), EventName::SessionCreated),
            event(None, EventName::AgentStarted),
        ]))
        .await
        .unwrap();
    assert_eq!(committed.events, [EventId(1), EventId(2), EventId(3)]);
    assert_eq!(store.last_event(), EventId(3));

    let all = store.events_after(None, EventId(0), 10).await.unwrap();
    assert_eq!(all.iter().map(|event| event.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    let first = &all[0];
    assert_eq!((first.name, first.at, &first.session_id), (EventName::ItemStarted, at(5), &Some(id.clone())));
    assert_eq!((&first.turn_id, &first.item_id), (&Some(turn), &Some(item)));
    assert_eq!(first.detail, Some(serde_json::json!({"a": 1})));
    assert_eq!(all[2].session_id, None);
    let ids = async |session: Option<&SessionId>, after, limit| {
        let events = store.events_after(session, EventId(after), limit).await.unwrap();
        events.iter().map(|event| event.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 1, 1).await, [2]);
    assert_eq!(ids(Some(&other), 0, 10).await, [2]);
    assert_eq!(ids(Some(&id), 1, 10).await, Vec::<i64>::new());
}

#[tokio::test]
async fn asks_wait_until_they_are_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "s", 1).await;
    let ask = |turn: Option<TurnId>| PendingAsk {
        thread: None,
        id: store.next_ask(),
        agent: AgentId::parse("agent").unwrap(),
        session: id.clone(),
        turn,
        meaning: "turn/start".to_owned(),
        at: at(1),
    };
    let (one, two) = (ask(None), ask(Some(TurnId::fresh())));
    assert_eq!((one.id.0, two.id.0), (1, 2));
    let add = |ask: &PendingAsk| Write::AddAsk(Box::new(ask.clone()));
    store.commit(batch([add(&two), add(&one)])).await.unwrap();
    assert_eq!(store.pending_asks().await.unwrap(), [one.clone(), two.clone()]);
    store.commit(batch([Write::SettleAsk(one.id), Write::SettleAsk(two.id), Write::SettleAsk(two.id)])).await.unwrap();
    assert_eq!(store.pending_asks().await.unwrap(), []);
    store.close().await;
    let store = open(&dir);
    assert_eq!(store.next_ask().0, 3, "a settled ask's number is not given again");
}

#[tokio::test]
async fn seen_only_grows_within_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "s", 1).await;
    let seen = async |agent: &str, seq: u64| {
        let agent = AgentId::parse(agent).unwrap();
        store.commit(batch([Write::Seen { session: id.clone(), agent, seq }])).await?;
        Ok::<_, StoreError>(store.session(&id).await?.unwrap().seen.map(|(agent, seq)| (agent.to_string(), seq)))
    };
    assert_eq!(seen("a", 7).await, Ok(Some(("a".to_owned(), 7))));
    assert_eq!(seen("a", 5).await, Ok(Some(("a".to_owned(), 7))));
    assert_eq!(seen("a", 9).await, Ok(Some(("a".to_owned(), 9))));
    assert_eq!(seen("b", 1).await, Ok(Some(("b".to_owned(), 1))));
    assert!(matches!(seen("b", u64::MAX).await, Err(StoreError::Constraint(_))));
}

#[tokio::test]
async fn lists_are_newest_first_without_archived_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let old = stored(&store, "old", 1).await;
    let new = stored(&store, "new", 3).await;
    let mut archived = plain_session("archived", 9);
    archived.archived_at = Some(at(9));
    store.commit(batch([create(archived)])).await.unwrap();
    let list = async |limit| {
        let sessions = store.sessions(limit).await.unwrap();
        sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(list(10).await, [new.clone(), old.clone()]);
    store
        .commit(batch([update(&old, SessionChange { updated_at: Some(at(5)), ..SessionChange::default() })]))
        .await
        .unwrap();
    assert_eq!(list(1).await, [old]);
}
