//! Looking after the file: backups and their return, checks and repairs, what is left of what was deleted.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod support;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;
use store::{Batch, CareError, OpenError, Store, TurnChange, Write, backup, check, restore, sizes};
use support::*;
use tempfile::{TempDir, tempdir};
use types::{EventName, ItemId, ItemStatus, SessionId, TurnStatus};

fn raw(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join("store.db")).unwrap()
}

fn on(_: u64, _: u64) -> bool {
    true
}

/// A session with a turn that ended as the engine ends one.
async fn told(store: &Store, prompt: &str, answer: &str) -> SessionId {
    let id = stored(store, prompt, 1).await;
    let (turn, _, write) = new_turn(&id, prompt);
    let done = TurnChange { status: Some(TurnStatus::Completed), ended_at: Some(at(50)), ..TurnChange::default() };
    let writes = [
        write,
        put(&id, &turn, &ItemId::fresh(), ItemStatus::Completed, agent(answer)),
        Write::UpdateTurn { id: turn, change: Box::new(done) },
        event(Some(&id), EventName::TurnCompleted),
    ];
    store.commit(batch(writes)).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_it_is_written_has_all_that_was_answered_before() {
    let (dir, out) = (tempdir().unwrap(), tempdir().unwrap());
    let store = open(&dir);
    let epoch = store.epoch().to_owned();
    let mut before = Vec::new();
    for n in 0..200 {
        before.push(told(&store, &format!("prompt {n}"), &"answer ".repeat(200)).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                told(&store, &format!("meanwhile {n}"), "yes").await;
                n += 1;
            }
            n
        }
    });
    let (file, from) = (out.path().join("a backup"), dir.path().to_owned());
    let made = tokio::task::spawn_blocking({
        let file = file.clone();
        move || backup(&from, &file, false, on).unwrap()
    });
    let made = made.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let meanwhile = writing.await.unwrap();
    assert!(meanwhile > 0, "nothing was written meanwhile");
    // A session and its turn are two commits here.
    assert!(made.turns >= 200 && made.sessions - made.turns <= 1, "{made:?}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let last = store.last_event();
    store.close().await;

    let elsewhere = tempdir().unwrap();
    let restored = restore(elsewhere.path(), &file).unwrap();
    assert_eq!((restored.sessions, restored.kept), (made.sessions, None));
    let store = open(&elsewhere);
    for id in &before {
        assert_eq!(store.history(id).await.unwrap().len(), 2);
    }
    assert_eq!(store.last_event().0 as u64, made.last_event);
    assert!(store.last_event() <= last);
    let renewed = store.epoch().to_owned();
    assert_ne!(renewed, epoch, "its events are not those of the old one");
    store.close().await;
    assert_eq!(open(&elsewhere).epoch(), renewed, "it is renewed once");
    assert_eq!(open(&dir).epoch(), epoch, "the store itself stays what it was");
}

#[tokio::test]
async fn nothing_is_overwritten_unasked_and_a_stopped_backup_leaves_nothing() {
    let (dir, out) = (tempdir().unwrap(), tempdir().unwrap());
    let store = open(&dir);
    told(&store, "a", "b").await;
    let file = out.path().join("x");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(backup(dir.path(), &file, false, on), Err(CareError::Exists(_))));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let itself = dir.path().join("store.db");
    assert!(matches!(backup(dir.path(), &itself, true, on), Err(CareError::Itself(_))));
    assert!(matches!(backup(out.path(), &file, true, on), Err(CareError::NoStore(_))));
    backup(dir.path(), &file, true, on).unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 4096);

    // Stopped before it copies, and in the middle where the disk is slow enough for that.
    let text = "words and words ".repeat(60_000);
    for _ in 0..40 {
        told(&store, "large", &text).await;
    }
    for times in [1, 2] {
        let (stopped, mut asked) = (out.path().join("y"), 0);
        let result = backup(dir.path(), &stopped, false, |done, of| {
            asked += 1;
            assert!(done <= of && of > 1_000_000);
            asked < times
        });
        if asked == times {
            assert!(matches!(result, Err(CareError::Stopped)), "{asked} {result:?}");
            assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "only the first is there");
        } else {
            assert!(times == 2 && result.is_ok(), "{asked} {result:?}");
            fs::remove_file(&stopped).unwrap();
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_store_is_restored_only_without_a_daemon_and_keeps_what_was_there() {
    let (dir, out) = (tempdir().unwrap(), tempdir().unwrap());
    let store = open(&dir);
    let old = told(&store, "old", "yes").await;
    let file = out.path().join("backup");
    backup(dir.path(), &file, false, on).unwrap();
    let new = told(&store, "new", "yes").await;
    assert!(matches!(restore(dir.path(), &file), Err(CareError::Open(OpenError::Owned { .. }))));
    let no_store = out.path().join("text");
    fs::write(&no_store, "not a database, and long enough to be read as one").unwrap();
    store.close().await;
    assert!(matches!(restore(dir.path(), &no_store), Err(CareError::NotAStore(_))));
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20_000].fill(7);
    let broken = out.path().join("broken");
    fs::write(&broken, damaged).unwrap();
    assert!(restore(dir.path(), &broken).is_err());

    let kept = restore(dir.path(), &file).unwrap().kept.unwrap();
    let store = open(&dir);
    assert!(store.session(&old).await.unwrap().is_some() && store.session(&new).await.unwrap().is_none());
    store.close().await;
    let before = tempdir().unwrap();
    fs::copy(&kept, before.path().join("store.db")).unwrap();
    assert!(open(&before).session(&new).await.unwrap().is_some(), "what was there is whole");
}

#[tokio::test]
async fn a_sound_store_is_found_sound() {
    let dir = tempdir().unwrap();
    assert!(matches!(check(dir.path(), false, |_| {}), Err(CareError::NoStore(_))));
    let store = open(&dir);
    told(&store, "the ladder", "is in the shed").await;
    let seen = check(dir.path(), false, |_| {}).unwrap();
    assert!(seen.problems.is_empty() && seen.notes.iter().any(|note| note.contains("daemon")), "{seen:?}");
    assert!(matches!(check(dir.path(), true, |_| {}), Err(CareError::Open(OpenError::Owned { .. }))));
    store.close().await;
    let seen = check(dir.path(), false, |_| {}).unwrap();
    assert!(seen.problems.is_empty() && seen.notes.is_empty(), "{seen:?}");
}

/// Each rule, a way to break it, and whether it can be made well.
const BREAKS: &[(&str, &str, bool)] = &[
    ("epoch", "DELETE FROM meta WHERE key = 'epoch'", true),
    ("eventNumbers", "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'events'", true),
    ("turnCount", "UPDATE sessions SET turn_count = 7", true),
    ("labels", "INSERT INTO labels (key, value, session) SELECT 'a', 'b', n FROM sessions", true),
    ("itemSession", "UPDATE items SET session = 99", true),
    ("endedAt", "UPDATE turns SET ended_at = NULL", true),
    ("notEnded", "UPDATE turns SET status = 'queued'", false),
    (
        "openQuestions",
        "INSERT INTO approvals (id, session, turn, status, body, agent, request, requested_at, expires_at) \
         SELECT 'a', session, n, 'pending', '{}', 'x', '1', 1, 2 FROM turns",
        true,
    ),
    (
        "oneRuns",
        "INSERT INTO turns (id, session, status, delivery, origin, principal, created_at) \
         SELECT id || 'x', session, 'running', 'yes', 'http', 'local', 1 FROM turns; \
         INSERT INTO turns (id, session, status, delivery, origin, principal, created_at) \
         SELECT id || 'y', session, 'running', 'yes', 'http', 'local', 1 FROM turns WHERE status = 'running'",
        false,
    ),
    ("prompt", "DELETE FROM items", false),
    ("thread", "UPDATE sessions SET thread_id = 'never'", false),
    ("eventTurn", "UPDATE events SET turn = 99", false),
    ("words", "UPDATE turns SET delivery = 'perhaps'", false),
    ("json", "UPDATE turns SET usage = '{'", false),
    ("references", "PRAGMA foreign_keys = 0; UPDATE turns SET session = 99", false),
    (
        "searchIndex",
        "INSERT INTO messages_fts (messages_fts, rowid, text) \
         SELECT 'delete', n, text || char(10, 10) FROM items WHERE text IS NOT NULL",
        true,
    ),
    ("searchIndex", "INSERT INTO titles_fts (rowid, title) VALUES (99, 'a title of nothing')", true),
    (
        "file",
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, '(session)', '(created_at)') \
         WHERE name = 'turns_session'",
        true,
    ),
];

#[tokio::test]
async fn each_thing_that_can_be_wrong_is_found_and_made_well_where_that_can_be() {
    for (name, sql, repairable) in BREAKS {
        let dir = tempdir().unwrap();
        let store = open(&dir);
        let id = told(&store, "the ladder", "is in the shed").await;
        store.close().await;
        raw(&dir).execute_batch(sql).unwrap();
        let seen = check(dir.path(), false, |_| {}).unwrap();
        let problem = seen.problems.iter().find(|problem| problem.name == *name);
        let problem = problem.unwrap_or_else(|| panic!("{name} was not found: {seen:?}"));
        assert_eq!((problem.repairable, problem.repaired), (*repairable, false), "{name}: {problem:?}");
        assert!(!seen.is_well() && problem.count > 0 && !problem.found.is_empty(), "{name}");

        let mended = check(dir.path(), true, |_| {}).unwrap();
        let problem = mended.problems.iter().find(|problem| problem.name == *name).unwrap();
        assert_eq!(problem.repaired, *repairable, "{name}: {mended:?}");
        let again = check(dir.path(), false, |_| {}).unwrap();
        assert_eq!(again.problems.iter().any(|problem| problem.name == *name), !repairable, "{name}: {again:?}");
        if *name == "searchIndex" {
            let found = open(&dir).search("ladder", 5).await.unwrap();
            assert_eq!(found.first().map(|found| &found.session.id), Some(&id));
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_found_and_not_repaired() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for n in 0..200 {
        told(&store, &format!("prompt {n}"), &"answer ".repeat(100)).await;
    }
    store.close().await;
    let path = dir.path().join("store.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40_000].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    match check(dir.path(), true, |_| {}) {
        Ok(seen) => assert!(!seen.is_well() && seen.problems.iter().any(|problem| problem.name == "file"), "{seen:?}"),
        // So damaged that not even that can be asked.
        Err(error) => assert!(matches!(error, CareError::Sqlite { .. }), "{error:?}"),
    }
}

#[tokio::test]
async fn what_is_deleted_is_not_in_the_files_any_more_and_its_space_is_given_back() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let kept = told(&store, "keep this", "kept").await;
    let secret = "xylophone-quartz-7431";
    let mut gone = Vec::new();
    for n in 0..50 {
        gone.push(
            told(&store, &format!("{secret} {n}"), &format!("{secret} {}", "and more of it ".repeat(1_000))).await,
        );
    }
    store.commit(batch([Write::Try])).await.unwrap();
    let large = sizes(dir.path()).unwrap();
    assert!(large.bytes > 500_000 && large.sessions == 51, "{large:?}");
    assert!(holds(dir.path(), secret));
    store.commit(Batch { writes: gone.into_iter().map(Write::DeleteSession).collect() }).await.unwrap();
    // It is done when nothing else is to be done.
    for _ in 0..2_000 {
        if !holds(dir.path(), secret) && sizes(dir.path()).unwrap().bytes < large.bytes / 4 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let small = sizes(dir.path()).unwrap();
    assert!(!holds(dir.path(), secret), "the text is still there");
    assert!(small.bytes < large.bytes / 4 && small.free == 0, "{large:?} {small:?}");
    assert!(store.search("xylophone", 5).await.unwrap().is_empty());
    assert_eq!(store.history(&kept).await.unwrap().len(), 2);
    let terms = "SELECT count(*) FROM messages_terms WHERE term IN ('xyl', 'qua', '743')";
    let left: i64 = raw(&dir).query_row(terms, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "what it was made of is still in the search index");
    store.compact().await.unwrap();
    assert_eq!(store.history(&kept).await.unwrap().len(), 2);
    store.close().await;
    assert!(check(dir.path(), false, |_| {}).unwrap().problems.is_empty());
}

/// Whether any file of the store has this in it.
fn holds(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
