//! An import that runs again: what is new is added, what went on here stays, and nothing comes twice.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use std::sync::{Arc, Mutex};

use import::import;
use store::{Batch, NewTurn, SessionChange, Store, TurnChange, Write};
use support::*;
use types::{
    Delivery, EventId, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, ThreadId, Timestamp, TitleSource, TurnId,
    TurnKind, TurnOptions, TurnStatus,
};

/// A turn of ours in a session; it ends when it has an answer.
async fn turn_here(store: &Store, id: &str, kind: TurnKind, answer: Option<&str>) -> TurnId {
    let (session, turn, at) = (sid(id), TurnId::fresh(), Timestamp::now());
    let mut batch = Batch::default();
    batch.push(Write::CreateTurn(Box::new(NewTurn {
        id: turn.clone(),
        session: session.clone(),
        prompt_item: ItemId::fresh(),
        kind,
        prompt: "asked here".to_owned(),
        options: TurnOptions::default(),
        retry_of: None,
        principal: Principal::Local,
        origin: Origin::Cli,
        created_at: at,
    })));
    if let Some(text) = answer {
        let body = ItemBody::AgentMessage { text: text.to_owned() };
        if !text.is_empty() {
            let item = Box::new(Item { id: ItemId::fresh(), status: ItemStatus::Completed, at, body });
            batch.push(Write::PutItem { session, turn: turn.clone(), item, codex_id: None });
        }
        let change = TurnChange { status: Some(TurnStatus::Completed), ..TurnChange::default() };
        batch.push(Write::UpdateTurn { id: turn.clone(), change: Box::new(change) });
    }
    store.commit(batch).await.unwrap();
    turn
}

async fn change(store: &Store, id: &str, change: SessionChange) {
    let writes = vec![Write::UpdateSession { id: sid(id), change: Box::new(change) }];
    store.commit(Batch { writes }).await.unwrap();
}

#[tokio::test]
async fn the_same_once_more_changes_nothing() {
    let place = Place::new();
    place.put_all(&(0..450).map(|n| Old::new(n, 3)).collect::<Vec<_>>());
    assert_eq!(counts(&place.import().await), (450, 0, 0, 0, 0));
    let (event, commits) = (place.store.last_event(), place.store.commits());
    let turn = place.store.turns(&sid(&id(7))).await.unwrap();
    let report = place.import().await;
    assert_eq!(counts(&report), (0, 0, 450, 0, 0));
    assert_eq!((&report.damaged, &report.notes), (&vec![], &vec![]));
    // Nothing but the wait for an import before.
    assert_eq!((place.store.last_event(), place.store.commits()), (event, commits + 1));
    assert_eq!(place.store.turns(&sid(&id(7))).await.unwrap(), turn);
}

#[tokio::test]
async fn what_is_new_is_added() {
    let place = Place::new();
    let mut session = Old::new(1, 2);
    place.put_all(&[session.clone(), Old::new(2, 1)]);
    place.import().await;
    let (event, before) = (place.store.last_event(), place.store.turns(&sid(&session.id)).await.unwrap());

    session.say("and now", "this");
    (session.title, session.locked, session.source) = ("renamed".to_owned(), true, "manual");
    session.thread = Some("another".to_owned());
    place.put_all(&[session.clone(), Old::new(2, 1)]);
    assert_eq!(counts(&place.import().await), (0, 1, 1, 0, 0));
    session.is_in(&place.store).await;
    let after = place.store.turns(&sid(&session.id)).await.unwrap();
    assert_eq!((&after[..2], after.len()), (&before[..], 3));
    assert_eq!(place.events(event).await, [("session.updated".to_owned(), session.id.clone())]);
    assert_eq!(counts(&place.import().await), (0, 0, 2, 0, 0));
}

#[tokio::test]
async fn an_answer_that_came_after_an_import_ends_its_turn() {
    let place = Place::new();
    let whole = Old::new(1, 2);
    let mut part = Old { updated: whole.updated - 1, ..whole.clone() };
    part.history.pop();
    place.put(&part);
    assert_eq!(place.import().await.imported, 1);
    let lost = place.store.turns(&sid(&whole.id)).await.unwrap().pop().unwrap();
    assert_eq!((lost.status, lost.delivery), (TurnStatus::Interrupted, Delivery::Unknown));

    place.put(&whole);
    assert_eq!(place.import().await.extended, 1);
    whole.is_in(&place.store).await;
    let found = place.store.turn(&lost.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.delivery), (TurnStatus::Completed, Delivery::Yes));
    assert_eq!(found.ended_at.unwrap().as_millis(), whole.updated);
    assert!(found.items.iter().all(|item| item.status == ItemStatus::Completed));
}

#[tokio::test]
async fn a_newer_title_comes_without_a_new_message() {
    let place = Place::new();
    let session = Old::new(1, 1);
    place.put(&session);
    place.import().await;
    let renamed = Old { title: "new".to_owned(), locked: true, updated: session.updated + 1, ..session.clone() };
    place.put(&renamed);
    assert_eq!(counts(&place.import().await), (0, 1, 0, 0, 0));
    renamed.is_in(&place.store).await;
    // An older one does not.
    place.put(&session);
    assert_eq!(counts(&place.import().await), (0, 0, 0, 1, 0));
    renamed.is_in(&place.store).await;
}

#[tokio::test]
async fn a_title_that_was_locked_here_stays() {
    let place = Place::new();
    let mut session = Old::new(1, 1);
    place.put(&session);
    place.import().await;
    let title = Some(("named here".to_owned(), TitleSource::Manual, true));
    change(&place.store, &session.id, SessionChange { title, ..SessionChange::default() }).await;
    assert_eq!(counts(&place.import().await), (0, 0, 0, 1, 0));

    session.say("more", "of it");
    place.put(&session);
    assert_eq!(counts(&place.import().await), (0, 1, 0, 0, 0));
    let stored = place.stored(&session.id).await.session;
    assert_eq!((stored.title.as_str(), stored.title_locked), ("named here", true));
    assert_eq!(place.history(&session.id).await, session.history);

    (session.title, session.locked) = ("locked there".to_owned(), true);
    session.say("and", "more");
    place.put(&session);
    place.import().await;
    session.is_in(&place.store).await;
}

#[tokio::test]
async fn what_went_on_here_stays_as_it_is() {
    let place = Place::new();
    let sessions: Vec<Old> = (0..4).map(|n| Old::new(n, 1)).collect();
    place.put_all(&sessions);
    place.import().await;
    turn_here(&place.store, &id(0), TurnKind::Prompt, Some("answered here")).await;
    turn_here(&place.store, &id(1), TurnKind::Prompt, Some("answered here")).await;
    // It says nothing, but the thread is another one since.
    turn_here(&place.store, &id(2), TurnKind::Compact, Some("")).await;
    turn_here(&place.store, &id(3), TurnKind::Prompt, None).await;
    let mut before = Vec::new();
    for n in 0..4 {
        before.push((place.stored(&id(n)).await, place.store.turns(&sid(&id(n))).await.unwrap()));
    }
    let event = place.store.last_event();

    // Nothing new in the first, something in the others.
    for mut session in sessions.into_iter().skip(1) {
        session.say("asked there", "answered there");
        place.put(&session);
    }
    let report = place.import().await;
    assert_eq!(counts(&report), (0, 0, 0, 4, 0));
    for (n, (session, turns)) in (0..).zip(before) {
        assert_eq!(place.stored(&id(n)).await, session);
        assert_eq!(place.store.turns(&sid(&id(n))).await.unwrap(), turns);
    }
    assert_eq!(place.store.last_event(), event);
    let file = |n| format!("{}.json", id(n));
    let mut noted: Vec<&str> = report.notes.iter().map(|note| note.file.as_str()).collect();
    let mut expected = [file(1), file(2), file(3)];
    noted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn a_session_with_a_turn_that_waits_is_not_touched() {
    let place = Place::new();
    let mut session = Old::new(1, 0);
    place.put(&session);
    place.import().await;
    // Asked here, and Codex has not been asked yet: our history begins with it.
    let turn = turn_here(&place.store, &session.id, TurnKind::Compact, None).await;
    session.say("asked there", "answered there");
    place.put(&session);
    let report = place.import().await;
    assert_eq!(counts(&report), (0, 0, 0, 1, 0));
    let noted = |report: &import::Report, reason| report.notes.iter().any(|note| note.reason.contains(reason));
    assert!(noted(&report, "a turn that has not ended; import again"), "{report:?}");

    let ended = TurnChange { status: Some(TurnStatus::Interrupted), ..TurnChange::default() };
    let write = Write::UpdateTurn { id: turn, change: Box::new(ended) };
    place.store.commit(Batch { writes: vec![write] }).await.unwrap();
    let report = place.import().await;
    assert!(noted(&report, "has had other turns"), "{report:?}");
}

#[tokio::test]
async fn what_was_changed_here_is_not_changed_back() {
    let place = Place::new();
    let mut session = Old::new(1, 1);
    place.put(&session);
    place.import().await;
    let cwd = place.old.clone();
    let labels = [("team".to_owned(), "a".to_owned())].into();
    let archived_at = Some(Some(Timestamp::from_millis(9)));
    let here = SessionChange { cwd: Some(cwd.clone()), labels: Some(labels), archived_at, ..SessionChange::default() };
    change(&place.store, &session.id, here).await;
    assert_eq!(counts(&place.import().await), (0, 0, 1, 0, 0));
    session.say("more", "");
    place.put(&session);
    assert_eq!(counts(&place.import().await), (0, 1, 0, 0, 0));
    let stored = place.stored(&session.id).await.session;
    assert_eq!((&stored.cwd, stored.labels.len(), stored.archived_at.is_some()), (&cwd, 1, true));
    assert_eq!(place.history(&session.id).await, session.history);
}

#[tokio::test]
async fn messages_here_that_the_file_has_not_stay() {
    let place = Place::new();
    let session = Old::new(1, 3);
    place.put(&session);
    place.import().await;
    // An older copy of the file, and one in which something else was said.
    let mut other = session.clone();
    other.history[5].1 = "something else".to_owned();
    for (file, noted) in [(Old { history: session.history[..2].to_vec(), ..session.clone() }, 0), (other, 1)] {
        place.put(&file);
        let report = place.import().await;
        assert_eq!(
            (counts(&report), report.notes.iter().filter(|note| note.file.contains(&session.id)).count()),
            ((0, 0, 0, 1, 0), noted)
        );
        session.is_in(&place.store).await;
    }
}

#[tokio::test]
async fn threads_that_work_here_are_not_taken() {
    let place = Place::new();
    place.put(&Old::new(1, 1));
    place.import().await;
    turn_here(&place.store, &id(1), TurnKind::Prompt, None).await;
    place.put(&Old { thread: Some("thread-1".into()), updated: 1 << 45, ..Old::new(2, 1) });
    let report = place.import().await;
    assert_eq!(place.stored(&id(1)).await.session.thread_id, ThreadId::parse("thread-1").ok());
    // Its former thread is another conversation than the one that is lost: it has none.
    assert_eq!(place.stored(&id(2)).await.session.thread_id, None);
    assert_eq!(place.store.find_session("thread-2").await.unwrap(), Some(sid(&id(2))));
    assert!(
        report.notes.iter().any(|note| note.reason.contains("thread-1") && note.reason.contains("this one goes on"))
    );
}

#[tokio::test]
async fn a_folder_that_is_also_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let session = Old::new(1, 2);
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(&format!("{}.json", session.id), &session.file().to_string());
    write("sessions.json", &index(std::slice::from_ref(&session)).to_string());
    write("daemon.json", "{\"pid\": 1}");
    assert!(dir.path().join("owner.json").exists());
    for expected in [(1, 0, 0, 0, 0), (0, 0, 1, 0, 0)] {
        let report = import(&store, dir.path(), OPTIONS, |_, _| {}).await.unwrap();
        assert_eq!((counts(&report), report.notes), (expected, vec![]));
    }
    session.is_in(&store).await;
    // What is read is not changed.
    let text = std::fs::read_to_string(dir.path().join(format!("{}.json", session.id))).unwrap();
    assert_eq!(text, session.file().to_string());
    store.close().await;
    let again = Store::open(dir.path()).unwrap();
    session.is_in(&again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_stopped_goes_on() {
    let place = Place::new();
    let sessions: Vec<Old> = (0..600).map(|n| Old::new(n, 2)).collect();
    place.put_all(&sessions);
    // It is dropped when some sessions are done, as when its caller goes away.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let stop = Mutex::new(Some(stop));
    let tell = move |done, _| {
        if done == 50
            && let Some(stop) = stop.lock().unwrap().take()
        {
            stop.send(()).unwrap();
        }
    };
    tokio::select! {
        biased;
        told = stopped => told.unwrap(),
        _ = import(&place.store, &place.old, OPTIONS, tell) => {}
    }
    let report = place.import().await;
    assert_eq!(report.imported + report.unchanged, 600);
    assert!(report.unchanged >= 50, "{report:?}");
    for session in &sessions {
        session.is_in(&place.store).await;
    }
    let mut created = place.events(EventId(0)).await;
    created.sort_unstable();
    created.dedup();
    assert_eq!((created.len(), place.store.last_event()), (600, EventId(600)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_are_one_after_the_other() {
    let place = Place::new();
    let sessions: Vec<Old> = (0..300).map(|n| Old::new(n, 1)).collect();
    place.put_all(&sessions);
    let (one, other) = tokio::join!(place.import(), place.import());
    assert_eq!((counts(&one), counts(&other)), ((300, 0, 0, 0, 0), (0, 0, 300, 0, 0)));
}

#[tokio::test]
async fn progress_counts_every_file() {
    let place = Place::new();
    place.put_all(&(0..250).map(|n| Old::new(n, 1)).collect::<Vec<_>>());
    place.write("00000000000f.json", "{");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (told, store, old) = (Arc::clone(&heard), place.store.clone(), place.old.clone());
    let tell = move |done, total| told.lock().unwrap().push((done, total));
    // As a task of its own, as a route runs it.
    tokio::spawn(async move { import(&store, &old, OPTIONS, tell).await.unwrap() }).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.iter().copied().eq((0..=251).map(|done| (done, 251))), "{heard:?}");
}

#[tokio::test]
async fn a_store_that_is_closed_is_an_error() {
    let place = Place::new();
    place.put(&Old::new(1, 1));
    place.store.clone().close().await;
    let error = import(&place.store, &place.old, OPTIONS, |_, _| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the import stopped: the store is closed; what came in until then is kept, and another import goes on from there"
    );
}
