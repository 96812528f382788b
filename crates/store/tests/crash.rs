//! A process that is killed while it commits loses nothing that it was told is stored.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use support::*;
use types::{EventId, EventName, ItemStatus, SessionId, TurnId};

/// Where the child finds its store; only the child has it.
const DIR: &str = "CODEXD_STORE_CRASH_DIR";

/// The child: commits from several tasks for ever, and says after each answer what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = store::Store::open(Path::new(&dir)).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            loop {
                let session = plain_session("crash", n);
                let id = session.id.clone();
                let (turn, item, create_turn) = new_turn(&id, "does it survive");
                let writes = [create(session), create_turn, event(Some(&id), EventName::TurnQueued)];
                let committed = store.commit(batch(writes)).await.unwrap();
                println!("\nSTORED {id} {turn} {} 0", committed.events[0].0);
                let writes = [
                    put(&id, &turn, &item, ItemStatus::Completed, agent("it does")),
                    event(Some(&id), EventName::ItemCompleted),
                ];
                let committed = store.commit(batch(writes)).await.unwrap();
                println!("\nSTORED {id} {turn} {} 1", committed.events[0].0);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut told: Vec<(SessionId, TurnId, EventId, bool)> = Vec::new();
    // The number of lines after which it dies differs from run to run as well as from round to round.
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() as usize;
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut left) = (String::new(), 1 + (seed / (round + 1)) % 300);
        while lines.read_line(&mut line).unwrap() > 0 {
            // A line without its end was cut by the kill.
            if let Some(words) = line.strip_prefix("STORED ").and_then(|words| words.strip_suffix('\n')) {
                let words: Vec<&str> = words.split(' ').collect();
                let [session, turn, event, answered] = words[..] else { panic!("{line}") };
                told.push((
                    SessionId::parse(session).unwrap(),
                    TurnId::parse(turn).unwrap(),
                    EventId(event.parse().unwrap()),
                    answered == "1",
                ));
                left = left.saturating_sub(1);
                if left == 0 {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(!child.wait().unwrap().success() && left == 0, "the child ended by itself");

        let store = open(&dir);
        let mut stored = Vec::new();
        loop {
            let events = store.events_after(None, stored.last().copied().unwrap_or_default(), 1_000).await.unwrap();
            if events.is_empty() {
                break;
            }
            stored.extend(events.iter().map(|event| event.id));
        }
        assert_eq!(stored.last().copied(), Some(store.last_event()));
        for (session, turn, event, answered) in &told {
            assert!(stored.binary_search(event).is_ok(), "event {event:?} is lost");
            assert!(store.session(session).await.unwrap().is_some());
            let turn = store.turn(turn).await.unwrap().unwrap();
            assert!(!answered || turn.answer.as_deref() == Some("it does"));
        }
        store.close().await;
    }
    let mut events: Vec<EventId> = told.iter().map(|(_, _, event, _)| *event).collect();
    events.sort_unstable();
    let all = events.len();
    events.dedup();
    assert_eq!(events.len(), all, "an event number was given twice");
}
