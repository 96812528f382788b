//! Measures the store: `cargo run --release -p store --example measure -- DIR [SESSIONS]`.
//!
//! Fills the folder with sessions of ten messages each when it is empty, then times commits, lists and searches. What is
//! there stays there, so that a second run measures without filling.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program; it says what it found or stops")]

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use store::{Batch, NewEvent, NewSession, NewTurn, SessionChange, Store, TurnChange, Write};
use types::{
    ApprovalPolicy, Delivery, EventName, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, Sandbox, Session,
    SessionId, Timestamp, TurnId, TurnStatus,
};

const WORDS: &str = "the function returns an error when connection closes before buffer flush retry parse config \
    update handler request session token async await database migration index query snapshot writer reader lock file \
    path folder user prompt answer model diff patch test build release deploy server client stream event cursor";

static SEED: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);

fn random() -> u64 {
    let mut x = SEED.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn prose(words: u64) -> String {
    let known: Vec<&str> = WORDS.split_whitespace().collect();
    let mut text = String::new();
    for _ in 0..words {
        // Three of four words are common; the others are from a vocabulary of 40,000 made-up ones.
        if random().is_multiple_of(4) {
            text.push_str(&made_up(random() % 40_000));
        } else {
            text.push_str(known[usize::try_from(random()).unwrap_or(0) % known.len()]);
        }
        text.push(' ');
    }
    text
}

fn made_up(n: u64) -> String {
    const ONSETS: [&str; 20] =
        ["b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "pr", "gl", "ch", "tr"];
    const REST: [&str; 16] =
        ["a", "e", "i", "o", "u", "an", "er", "in", "on", "um", "ea", "ist", "el", "or", "up", "ack"];
    // 320 syllables; a word has three, and which ones looks arbitrary.
    let mut n = n.wrapping_mul(2_654_435_761) % 32_768_000;
    let mut word = String::new();
    for _ in 0..3 {
        word.push_str(ONSETS[usize::try_from(n % 20).unwrap_or(0)]);
        word.push_str(REST[usize::try_from(n / 20 % 16).unwrap_or(0)]);
        n /= 320;
    }
    word
}

fn session(n: i64) -> (SessionId, Write) {
    let id = SessionId::fresh();
    let at = Timestamp::from_millis(1_700_000_000_000 + n * 1_000);
    let (cwd, policy) = (PathBuf::from("/home/someone/project"), ApprovalPolicy::OnRequest);
    let session = Session::new(id.clone(), cwd, Sandbox::WorkspaceWrite, policy, at);
    let session = Session { title: prose(4).trim().to_owned(), ..session };
    let new = NewSession { session, principal: Principal::Local, origin: Origin::Http, developer_instructions: None };
    (id, Write::CreateSession(Box::new(new)))
}

/// A whole turn in the two commits that it costs at least.
fn turn(session: &SessionId) -> [Batch; 2] {
    let (id, prompt_item, answer_item, at) = (TurnId::fresh(), ItemId::fresh(), ItemId::fresh(), Timestamp::now());
    let event = |name, item: Option<&ItemId>| {
        Write::AddEvent(Box::new(NewEvent {
            name,
            at,
            session: Some(session.clone()),
            turn: Some(id.clone()),
            item: item.cloned(),
            detail: None,
        }))
    };
    let text = prose(40);
    let first = vec![
        Write::CreateTurn(Box::new(NewTurn {
            id: id.clone(),
            session: session.clone(),
            prompt_item: prompt_item.clone(),
            prompt: text.clone(),
            kind: types::TurnKind::Prompt,
            options: types::TurnOptions::default(),
            retry_of: None,
            principal: Principal::Local,
            origin: Origin::Http,
            created_at: at,
        })),
        event(EventName::TurnQueued, None),
    ];
    let put = |id: &ItemId, turn: &TurnId, body| Write::PutItem {
        session: session.clone(),
        turn: turn.clone(),
        item: Box::new(Item { id: id.clone(), status: ItemStatus::Completed, at, body }),
        codex_id: None,
    };
    let second = vec![
        put(&prompt_item, &id, ItemBody::UserMessage { text, images: Vec::new() }),
        put(&answer_item, &id, ItemBody::AgentMessage { text: prose(60) }),
        event(EventName::ItemCompleted, Some(&answer_item)),
        Write::UpdateTurn {
            id: id.clone(),
            change: Box::new(TurnChange {
                status: Some(TurnStatus::Completed),
                delivery: Some(Delivery::Yes),
                ended_at: Some(at),
                ..TurnChange::default()
            }),
        },
        Write::UpdateSession { id: session.clone(), change: Box::new(SessionChange { ..SessionChange::default() }) },
        event(EventName::TurnCompleted, None),
    ];
    [Batch { writes: first }, Batch { writes: second }]
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what:<44} median {:>9.2?}  p95 {:>9.2?}  max {:>9.2?}  n {}", at(50), at(95), at(100), times.len());
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap());
    let sessions: i64 = args.next().map_or(100_000, |n| n.parse().unwrap());
    let opened = Instant::now();
    let store = Store::open(&dir).unwrap();
    println!("open {:?}", opened.elapsed());
    resident("opened");

    if store.last_event().0 == 0 {
        let filled = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..sessions {
            let store = store.clone();
            tasks.spawn(async move {
                let (id, write) = session(n);
                let mut batch = Batch { writes: vec![write] };
                for _ in 0..5 {
                    batch.writes.extend(turn(&id).into_iter().flat_map(|batch| batch.writes));
                }
                store.commit(batch).await.unwrap();
            });
            while tasks.len() >= 512 {
                tasks.join_next().await;
            }
        }
        while tasks.join_next().await.is_some() {}
        println!("filled {sessions} sessions in {:?}, {} commits", filled.elapsed(), store.commits());
    }

    let (id, write) = session(sessions);
    store.commit(Batch { writes: vec![write] }).await.unwrap();
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        let [first, second] = turn(&id);
        let begun = Instant::now();
        store.commit(first).await.unwrap();
        firsts.push(begun.elapsed());
        let begun = Instant::now();
        store.commit(second).await.unwrap();
        seconds.push(begun.elapsed());
    }
    report("commit a prompt (turn + event)", firsts);
    report("commit the end of a turn (6 writes)", seconds);

    let (before, begun) = (store.commits(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            let (id, write) = session(n);
            store.commit(Batch { writes: vec![write] }).await.unwrap();
            let mut times = Vec::new();
            for _ in 0..100 {
                for batch in turn(&id) {
                    let begun = Instant::now();
                    store.commit(batch).await.unwrap();
                    times.push(begun.elapsed());
                }
            }
            times
        });
    }
    let times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let turns = 6_400.0 / begun.elapsed().as_secs_f64();
    println!("64 committers: {turns:.0} turns/s, {} commits for {} batches", store.commits() - before, times.len());
    report("commit among 64", times);

    let mut times = Vec::new();
    for _ in 0..400 {
        let begun = Instant::now();
        assert_eq!(store.sessions(50).await.unwrap().len(), 50);
        times.push(begun.elapsed());
    }
    report("list 50 sessions", times);

    resident("before searches");
    let rare: Vec<String> = (0..100).map(|n| made_up(n * 397)).collect();
    let queries: [(&str, Vec<String>); 11] = [
        ("one rare word", rare.clone()),
        ("part of a rare word", rare.iter().map(|word| word.chars().skip(1).take(5).collect()).collect()),
        ("rare + common", rare.iter().map(|word| format!("{word} function")).collect()),
        ("two rare words", rare.windows(2).map(|pair| pair.join(" ")).collect()),
        ("one common word", WORDS.split_whitespace().map(str::to_owned).collect()),
        ("two common words", vec!["function returns".into(), "database lock".into()]),
        ("five common words", vec!["function returns error closes buffer".into()]),
        ("a word that is nowhere", vec!["xylophonist".into(), "qqqqq".into()]),
        ("three letters", vec!["the".into(), "glu".into(), "zub".into()]),
        ("two letters", vec!["th".into(), "gl".into(), "qz".into()]),
        ("one letter", vec!["e".into(), "q".into()]),
    ];
    for (what, queries) in queries {
        let mut times = Vec::new();
        let mut hits = 0;
        for query in &queries {
            for _ in 0..3 {
                let begun = Instant::now();
                hits += store.search(query, 20).await.unwrap().len();
                times.push(begun.elapsed());
            }
        }
        report(&format!("search: {what} ({:.1} found)", hits as f64 / times.len() as f64), times);
    }
    resident("after searches");
    let begun = Instant::now();
    store.close().await;
    println!("close {:?}", begun.elapsed());
    resident("closed");
}

fn resident(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    println!("{when}: {line}");
}
