//! What the v1 API asks of the store: pages, filters, keys, grants, and what becomes of an older store.

#![expect(clippy::unwrap_used, reason = "a failure of the set-up is a failure of the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use store::{
    Archived, Base, IdempotencyKey, NewSession, Remembered, SessionChange, SessionFilter, Store, StoreError,
    StoredGrant, TurnChange, Write,
};
use support::{at, batch, create, new_turn, open, plain_session, stored};
use types::{
    Delivery, EventName, Grant, InputPart, Origin, Principal, Resumed, ResumedHow, Sandbox, Scope, SessionId,
    SessionStatus, TurnKind, TurnOptions, TurnStatus,
};

fn labelled(id: &str, updated: i64, labels: &[(&str, &str)]) -> Write {
    let mut session = plain_session("a session", 1);
    session.id = SessionId::parse(id).unwrap();
    session.updated_at = at(updated);
    session.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    create(session)
}

async fn ids(store: &Store, filter: SessionFilter) -> Vec<String> {
    let (sessions, _) = store.sessions_page(filter, None, 100).await.unwrap();
    sessions.into_iter().map(|session| session.id.to_string()).collect()
}

#[tokio::test]
async fn pages_have_every_session_once_while_others_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for number in 0..25 {
        // Several of the same moment.
        store.commit(batch([labelled(&format!("s{number:02}"), number / 4, &[])])).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (sessions, next) = store.sessions_page(SessionFilter::default(), after, 4).await.unwrap();
        assert!(sessions.len() <= 4);
        seen.extend(sessions.into_iter().map(|session| session.id.to_string()));
        let new = labelled(&format!("new{}", seen.len()), 1_000, &[]);
        store.commit(batch([new])).await.unwrap();
        // A cursor is the same after it was told and read again.
        after = next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    let old: Vec<String> = (0..25).rev().map(|number| format!("s{number:02}")).collect();
    assert_eq!(seen, old);
    for nonsense in ["", "x", "1", "1.y", "1.2.3"] {
        assert!(nonsense.parse::<store::SessionCursor>().is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn filters_choose_by_label_status_archive_and_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let writes = [
        labelled("aa1", 1, &[("team", "red"), ("x", "1")]),
        labelled("aa2", 2, &[("team", "red")]),
        labelled("ab3", 3, &[("team", "blue")]),
    ];
    store.commit(batch(writes)).await.unwrap();
    let by = |labels: &[(&str, &str)]| SessionFilter {
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..SessionFilter::default()
    };
    assert_eq!(ids(&store, by(&[("team", "red")])).await, ["aa2", "aa1"]);
    assert_eq!(ids(&store, by(&[("team", "red"), ("x", "1")])).await, ["aa1"]);
    assert!(ids(&store, by(&[("team", "r")])).await.is_empty());
    let prefix = |text: &str| SessionFilter { id_prefix: Some(text.to_owned()), ..SessionFilter::default() };
    assert_eq!(ids(&store, prefix("aa")).await, ["aa2", "aa1"]);
    assert_eq!(ids(&store, prefix("a")).await.len(), 3);
    assert!(ids(&store, prefix("%")).await.is_empty());

    let id = SessionId::parse("aa1").unwrap();
    let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
    let change = SessionChange { labels: Some(labels), archived_at: Some(Some(at(7))), ..SessionChange::default() };
    store.commit(batch([Write::UpdateSession { id: id.clone(), change: Box::new(change) }])).await.unwrap();
    assert_eq!(ids(&store, by(&[("team", "blue")])).await, ["ab3"], "archived ones are left out");
    let archived = |archived| SessionFilter { archived, ..by(&[("team", "blue")]) };
    assert_eq!(ids(&store, archived(Archived::Only)).await, ["aa1"]);
    assert_eq!(ids(&store, archived(Archived::Too)).await, ["ab3", "aa1"]);
    let back = SessionChange { archived_at: Some(None), ..SessionChange::default() };
    store.commit(batch([Write::UpdateSession { id: id.clone(), change: Box::new(back) }])).await.unwrap();
    assert_eq!(store.session(&id).await.unwrap().unwrap().session.archived_at, None);

    let (turn, _, write) = new_turn(&id, "x");
    store.commit(batch([write])).await.unwrap();
    let doing = |status| SessionFilter { status: Some(status), ..SessionFilter::default() };
    assert_eq!(ids(&store, doing(SessionStatus::Running)).await, ["aa1"]);
    assert_eq!(ids(&store, doing(SessionStatus::Idle)).await, ["ab3", "aa2"]);
    let end = TurnChange { status: Some(TurnStatus::Completed), ..TurnChange::default() };
    store.commit(batch([Write::UpdateTurn { id: turn, change: Box::new(end) }])).await.unwrap();
    assert_eq!(ids(&store, doing(SessionStatus::Idle)).await.len(), 3);
}

#[tokio::test]
async fn turns_come_in_pages_from_both_ends_with_what_was_said_besides() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "a session", 1).await;
    let mut all = Vec::new();
    for number in 0..7 {
        let (turn, _, write) = new_turn(&id, &number.to_string());
        store.commit(batch([write])).await.unwrap();
        all.push(turn);
    }
    for newest_first in [false, true] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (turns, next) = store.turns_page(&id, newest_first, after, 3).await.unwrap();
            assert!(turns.iter().all(|turn| turn.items.len() == 1));
            seen.extend(turns.into_iter().map(|turn| turn.id));
            let Some(next) = next else { break };
            after = Some(next);
        }
        if newest_first {
            seen.reverse();
        }
        assert_eq!(seen, all);
    }

    let (_, _, write) = new_turn(&id, "look");
    let Write::CreateTurn(mut new) = write else { unreachable!() };
    let picture = InputPart::LocalImage { path: "/a.png".to_owned() };
    let input = vec![InputPart::Text { text: "look".to_owned() }, picture];
    new.options = TurnOptions { input, effort: Some("high".to_owned()), ..TurnOptions::default() };
    new.retry_of = Some(all[0].clone());
    let (turn, options) = (new.id.clone(), new.options.clone());
    store.commit(batch([Write::CreateTurn(new)])).await.unwrap();
    let stored = store.stored_turn(&turn).await.unwrap().unwrap();
    assert_eq!(
        (stored.options, stored.turn.retry_of, stored.turn.kind),
        (options, Some(all[0].clone()), TurnKind::Prompt)
    );
    let found = store.turn(&turn).await.unwrap().unwrap();
    assert!(matches!(&found.items[0].body, types::ItemBody::UserMessage { images, .. } if images == &["/a.png"]));
}

#[tokio::test]
async fn a_key_is_kept_with_the_work_for_a_day_and_outlives_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "a session", 1).await;
    let key = IdempotencyKey {
        principal: "local".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/sessions".to_owned(),
        key: "k".to_owned(),
    };
    let new = |when: i64| Remembered { key: key.clone(), body: [7; 32], session: id.clone(), turn: None, at: at(when) };
    let remember = |when: i64| Write::Remember(Box::new(new(when)));
    // The work of a batch whose key is taken is not done.
    store.commit(batch([remember(0)])).await.unwrap();
    let (turn, _, write) = new_turn(&id, "x");
    let refused = store.commit(batch([write, remember(1)])).await.unwrap_err();
    assert!(matches!(refused, StoreError::Constraint(_)));
    assert!(store.turn(&turn).await.unwrap().is_none());

    assert_eq!(store.remembered(&key, at(5)).await.unwrap(), Some(new(0)));
    store.commit(batch([Write::DeleteSession(id.clone())])).await.unwrap();
    store.close().await;
    let store = open(&dir);
    assert_eq!(store.remembered(&key, at(5)).await.unwrap(), Some(new(0)));
    assert_eq!(store.remembered(&key, at(Remembered::DAY)).await.unwrap(), None);
    store.commit(batch([remember(Remembered::DAY)])).await.unwrap();
    assert_eq!(store.remembered(&key, at(Remembered::DAY)).await.unwrap(), Some(new(Remembered::DAY)));
}

#[tokio::test]
async fn a_deleted_session_leaves_nothing_but_the_word_that_it_went() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "a session", 1).await;
    let (turn, _, write) = new_turn(&id, "a word to be found");
    let event = |name, session: Option<&SessionId>| {
        Write::AddEvent(Box::new(store::NewEvent {
            name,
            at: at(1),
            session: session.cloned(),
            turn: None,
            item: None,
            detail: Some(serde_json::json!({"how": "replayed"})),
        }))
    };
    let labels = SessionChange { labels: Some(BTreeMap::from([("a".into(), "b".into())])), ..SessionChange::default() };
    let label = Write::UpdateSession { id: id.clone(), change: Box::new(labels) };
    store.commit(batch([write, label, event(EventName::SessionResumed, Some(&id))])).await.unwrap();
    assert_eq!(store.resumes(&id).await.unwrap(), [(None, Resumed { how: ResumedHow::Replayed, at: at(1) })]);
    assert_eq!(store.search("found", 10).await.unwrap().len(), 1);
    store.commit(batch([Write::DeleteSession(id.clone()), event(EventName::SessionDeleted, None)])).await.unwrap();
    assert!(store.session(&id).await.unwrap().is_none() && store.turn(&turn).await.unwrap().is_none());
    assert!(store.search("found", 10).await.unwrap().is_empty());
    let events = store.events_after(None, types::EventId(0), 100).await.unwrap();
    assert_eq!(events.iter().map(|event| event.name).collect::<Vec<_>>(), [EventName::SessionDeleted]);
    let again = store.commit(batch([Write::DeleteSession(id)])).await.unwrap_err();
    assert!(matches!(again, StoreError::Constraint(_)));
    store.close().await;
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    for table in ["sessions", "turns", "items", "labels", "threads"] {
        let rows: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    conn.execute_batch("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')").unwrap();
}

#[tokio::test]
async fn grants_are_kept_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let grant = |name: &str| Grant {
        name: name.to_owned(),
        scopes: vec![Scope::Read, Scope::ApproveOwn],
        roots: vec!["/a".into()],
        max_sandbox: Some(Sandbox::ReadOnly),
        created_at: at(1),
        expires_at: Some(at(2)),
        ..Grant::new(String::new(), Vec::new())
    };
    let stored = |grant: Grant, hash: u8| StoredGrant { grant, hash: [hash; 32], previous: None };
    let add = |name: &str, hash: u8| Write::AddGrant { grant: Box::new(grant(name)), hash: [hash; 32] };
    store.commit(batch([add("b", 1), add("a", 2)])).await.unwrap();
    assert!(store.commit(batch([add("a", 3)])).await.is_err());
    assert_eq!(store.grants().await.unwrap(), [stored(grant("a"), 2), stored(grant("b"), 1)]);
    let used = Write::GrantUsed { name: "a".to_owned(), at: at(9) };
    store.commit(batch([used, Write::RemoveGrant("b".to_owned())])).await.unwrap();
    let left = store.grants().await.unwrap();
    assert_eq!(left, [stored(Grant { last_used_at: Some(at(9)), ..grant("a") }, 2)]);
    let rotate = |hash: u8, until: Option<i64>| {
        let previous_until = until.map(at);
        batch([Write::RotateGrant { name: "a".to_owned(), hash: [hash; 32], at: at(10), previous_until }])
    };
    for (hash, until, previous) in [(5, Some(20), Some([2; 32])), (6, None, None)] {
        store.commit(rotate(hash, until)).await.unwrap();
        let grant = &store.grants().await.unwrap()[0];
        assert_eq!((grant.hash, grant.previous, grant.grant.rotated_at), ([hash; 32], previous, Some(at(10))));
        assert_eq!(grant.grant.previous_until, until.map(at));
    }
    assert!(store.commit(batch([Write::RemoveGrant("b".to_owned())])).await.is_err());
}

#[tokio::test]
async fn what_codex_is_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.program().await.unwrap(), None);
    for text in ["one", "another"] {
        store.commit(batch([Write::KeepProgram(text.to_owned())])).await.unwrap();
        assert_eq!(store.program().await.unwrap().as_deref(), Some(text));
    }
}

#[tokio::test]
async fn what_a_session_has_besides_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut session = plain_session("a session", 1);
    session.config = serde_json::from_str(r#"{"model_verbosity": "low"}"#).unwrap();
    session.labels = BTreeMap::from([("quote\"d".to_owned(), "välue".to_owned())]);
    let id = session.id.clone();
    let new = NewSession {
        session: session.clone(),
        principal: Principal::Local,
        origin: Origin::Http,
        developer_instructions: Some("be brief".to_owned()),
    };
    store.commit(batch([Write::CreateSession(Box::new(new))])).await.unwrap();
    assert_eq!(store.session(&id).await.unwrap().unwrap().session, session);
    let base = Base { model: Some("m".to_owned()), effort: None };
    for told in [Some(base), None] {
        let change = SessionChange { base: Some(told.clone()), ..SessionChange::default() };
        store.commit(batch([Write::UpdateSession { id: id.clone(), change: Box::new(change) }])).await.unwrap();
        // Another change leaves it.
        let other = SessionChange { updated_at: Some(at(3)), ..SessionChange::default() };
        store.commit(batch([Write::UpdateSession { id: id.clone(), change: Box::new(other) }])).await.unwrap();
        assert_eq!(store.session(&id).await.unwrap().unwrap().base, told);
    }
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_migrated_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch(include_str!("../migrations/0001_sessions.sql")).unwrap();
    conn.execute_batch(
        "INSERT INTO sessions (id, updated_at, title, title_source, title_locked, cwd, sandbox, approval_policy, labels, \
           turn_count, created_at, principal, origin) \
           VALUES ('old', 5, 'old one', 'auto', 0, '/w', 'read-only', 'on-request', '{}', 1, 4, 'local', 'cli'); \
         INSERT INTO turns (id, session, status, delivery, origin, principal, created_at) \
           VALUES ('t', 1, 'queued', 'no', 'cli', 'local', 4); \
         INSERT INTO items (turn, session, id, kind, status, at, text) VALUES (1, 1, 'i', 'userMessage', 'inProgress', 4, 'hello'); \
         PRAGMA user_version = 1; PRAGMA journal_mode = WAL",
    )
    .unwrap();
    drop(conn);
    let store = open(&dir);
    let id = SessionId::parse("old").unwrap();
    let old = store.session(&id).await.unwrap().unwrap();
    assert_eq!((old.session.title.as_str(), old.session.usage, old.base), ("old one", None, None));
    let waiting = store.unfinished_turns(&id).await.unwrap();
    assert_eq!((waiting[0].turn.prompt.as_str(), waiting[0].turn.delivery), ("hello", Delivery::No));
    assert_eq!((waiting[0].turn.kind, waiting[0].options.is_plain()), (TurnKind::Prompt, true));
    let ids: BTreeSet<String> = ids(&store, SessionFilter::default()).await.into_iter().collect();
    assert_eq!(ids, BTreeSet::from(["old".to_owned()]));
}
