//! What a commit promises: whole or not at all, in groups, one owner, found again.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use store::{OpenError, Store, StoreError, Write};
use support::*;
use types::{EventId, EventName, ItemId, ItemStatus, SessionId, TurnId, TurnStatus};

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let session = plain_session("whole", 1);
    let id = session.id.clone();
    let (turn, item, create_turn) = new_turn(&id, "p");
    let bad = batch([
        create(session.clone()),
        event(Some(&id), EventName::SessionCreated),
        create_turn.clone(),
        status(&TurnId::fresh(), TurnStatus::Running),
    ]);
    assert!(matches!(store.commit(bad).await, Err(StoreError::Constraint(_))));
    assert_eq!(store.session(&id).await.unwrap(), None);
    assert_eq!(store.last_event(), EventId(0));
    assert_eq!(store.search("whole", 5).await.unwrap(), []);

    store.commit(batch([create(session.clone()), create_turn])).await.unwrap();
    assert!(store.session(&id).await.unwrap().is_some());
    let stranger = stored(&store, "stranger", 2).await;
    let (others, _, create_others) = new_turn(&stranger, "p");
    store.commit(batch([create_others])).await.unwrap();
    for (what, refused) in [
        ("a session twice", create(session)),
        ("a turn of nobody", new_turn(&SessionId::fresh(), "p").2),
        ("an event of nobody", event(Some(&SessionId::fresh()), EventName::SessionCreated)),
        ("an item in another's turn", put(&stranger, &turn, &ItemId::fresh(), ItemStatus::Completed, agent("x"))),
        ("an item that moves", put(&stranger, &others, &item, ItemStatus::Completed, agent("x"))),
    ] {
        assert!(matches!(store.commit(batch([refused])).await, Err(StoreError::Constraint(_))), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_batches_are_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            let session = plain_session("grouped", n);
            let id = session.id.clone();
            let write = if n % 10 == 0 {
                // A bad one among them fails alone.
                status(&TurnId::fresh(), TurnStatus::Running)
            } else {
                event(Some(&id), EventName::SessionCreated)
            };
            let result = store.commit(batch([create(session), write])).await;
            assert_eq!(store.session(&id).await.unwrap().is_some(), result.is_ok());
            result.ok()
        });
    }
    let committed: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let mut ids: Vec<_> = committed.iter().flat_map(|committed| &committed.events).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((committed.len(), ids.len()), (180, 180));
    assert_eq!(store.last_event(), *ids.last().unwrap());
    assert!(store.commits() < 100, "{} commits of 200 batches", store.commits());
}

#[tokio::test]
async fn opening_again_finds_everything_and_goes_on_counting() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let epoch = store.epoch().to_owned();
    let id = conversation(&store, "kept", 1, "prompt", "answer").await;
    store.commit(batch([event(Some(&id), EventName::SessionCreated)])).await.unwrap();
    let before = (store.sessions(9).await.unwrap(), store.turns(&id).await.unwrap(), store.history(&id).await.unwrap());
    store.close().await;
    assert!(!dir.path().join("owner.json").exists() && !dir.path().join("store.db-wal").exists());

    let store = open(&dir);
    assert_eq!((store.epoch(), store.last_event()), (epoch.as_str(), EventId(1)));
    let after = (store.sessions(9).await.unwrap(), store.turns(&id).await.unwrap(), store.history(&id).await.unwrap());
    assert_eq!(before, after);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(&other).epoch(), epoch);
}

#[tokio::test]
async fn a_deleted_session_takes_everything_but_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = conversation(&store, "gone", 1, "secret prompt", "secret answer").await;
    let kept = conversation(&store, "kept", 2, "other prompt", "other answer").await;
    store.commit(batch([event(None, EventName::AgentStarted), event(Some(&id), EventName::TurnQueued)])).await.unwrap();
    store.close().await;

    let conn = Connection::open(dir.path().join("store.db")).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    assert_eq!(conn.execute("DELETE FROM sessions WHERE id = ?1", [id.as_str()]).unwrap(), 1);
    for index in ["messages_fts", "titles_fts"] {
        conn.execute(&format!("INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)"), []).unwrap();
    }
    let left = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((left("turns"), left("items"), left("events")), (1, 2, 1));
    drop(conn);

    let store = open(&dir);
    assert_eq!(store.search("secret", 5).await.unwrap(), []);
    assert_eq!(store.search("other", 5).await.unwrap().len(), 1);
    assert_eq!(store.last_event(), EventId(2));
    let committed = store.commit(batch([event(Some(&kept), EventName::TurnQueued)])).await.unwrap();
    assert_eq!(committed.events, [EventId(3)]);
}

#[tokio::test]
async fn closing_commits_what_was_sent_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let commits: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            async move { store.commit(batch([create(plain_session("sent", n))])).await }
        })
        .map(tokio::spawn)
        .collect();
    tokio::task::yield_now().await;
    store.clone().close().await;
    let mut stored = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error, StoreError::Closed),
        }
    }
    assert_eq!(store.sessions(1).await, Err(StoreError::Closed));
    assert_eq!(store.commit(batch([create(plain_session("late", 1))])).await, Err(StoreError::Closed));
    store.close().await;
    assert_eq!(open(&dir).sessions(100).await.unwrap().len(), stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_does_not_wait_for_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for n in 0..50 {
        conversation(&store, "busy", n, "prompt", "answer").await;
    }
    let reads: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.search("a", 50).await })
        })
        .collect();
    store.close().await;
    for read in reads {
        let result = read.await.unwrap();
        assert!(result.is_ok() || result == Err(StoreError::Closed), "{result:?}");
    }
    assert_eq!(open(&dir).sessions(100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let error = Store::open(dir.path()).unwrap_err();
    let OpenError::Owned { pid, since, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(since.is_some());
    let words = error.to_string();
    assert!(
        words.contains(&format!("pid {}", std::process::id())) && words.contains("codexd stop --store-dir"),
        "{words}"
    );
    let owner = store::owner(dir.path()).unwrap().unwrap();
    assert_eq!((owner.pid, owner.since), (*pid, *since));
    assert!(store::hold(dir.path()).is_err());
    store.close().await;
    assert_eq!(store::owner(dir.path()).unwrap(), None);
    assert_eq!(store::owner(&dir.path().join("nowhere")).unwrap(), None);
    // Who looks is not in the way of who comes.
    let looking = Arc::new(AtomicBool::new(true));
    let looks = std::thread::spawn({
        let (dir, looking) = (dir.path().to_owned(), looking.clone());
        move || {
            while looking.load(Ordering::Relaxed) {
                store::owner(&dir).unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    });
    for _ in 0..100 {
        open(&dir).close().await;
    }
    looking.store(false, Ordering::Relaxed);
    looks.join().unwrap();
    let held = store::hold(dir.path()).unwrap();
    assert!(Store::open(dir.path()).is_err());
    drop(held);
    open(&dir).close().await;
}

fn refusal(dir: &Path) -> (OpenError, String) {
    let error = Store::open(dir).unwrap_err();
    let words = error.to_string();
    (error, words)
}

#[tokio::test]
async fn what_can_not_be_opened_says_why_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).close().await;
    let file = dir.path().join("store.db");
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(&file).unwrap();
    let (error, words) = refusal(dir.path());
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    let known = |known| usize::try_from(known) == Ok(migrations);
    assert!(matches!(error, OpenError::Newer { found: 99, known: is, .. } if known(is)), "{error:?}");
    assert!(words.contains("newer codexd"), "{words}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    std::fs::write(&file, "this is a letter to somebody, much longer than a header\n".repeat(100)).unwrap();
    let (error, words) = refusal(dir.path());
    assert!(matches!(error, OpenError::NotADatabase { .. }) && words.contains("not a store"), "{words}");

    std::fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE somebody_elses (x)").unwrap();
    assert!(matches!(refusal(dir.path()).0, OpenError::NotADatabase { .. }));

    let below = file.join("below");
    let (error, words) = refusal(&below);
    assert!(matches!(error, OpenError::NotWritable { .. }) && words.contains("below"), "{words}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_this_user_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/store");
    let store = Store::open(&dir).unwrap();
    store.commit(batch([create(plain_session("s", 1))])).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["store.db", "store.db-wal", "store.lock"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_dropped_handle_ends_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let sent = Write::clone(&create(plain_session("s", 1)));
    store.commit(batch([sent])).await.unwrap();
    drop(store);
    // The thread ends by itself; the lock says when.
    let store = loop {
        match Store::open(dir.path()) {
            Ok(store) => break store,
            Err(OpenError::Owned { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(store.sessions(9).await.unwrap().len(), 1);
}
