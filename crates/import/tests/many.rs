//! A store of ten thousand sessions: all of it comes in within seconds, field by field, and is found.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use support::*;
use tokio::task::JoinSet;
use types::Role;

/// Some years of somebody who uses it all day.
const SESSIONS: u64 = 10_000;

fn sessions() -> Vec<Old> {
    let mut sessions: Vec<Old> = (0..SESSIONS)
        .map(|n| {
            let mut session = Old::new(n, 0);
            for turn in 0..4 {
                session.say(&format!("fix build_step_{n} of module {turn}"), &format!("done: 修复 {n} in step {turn}"));
            }
            session.locked = n % 3 == 0;
            session.source = ["", "auto", "manual"][n as usize % 3];
            session.model = (n % 2 == 0).then(|| format!("model-{n}"));
            // The order of activity is another than that of the names and of the beginnings.
            session.updated += (n as i64 * 7_919) % 10_007 * 1_000_000;
            session
        })
        .collect();
    sessions[17].history[3].1 = "The Donaudampfschifffahrtsgesellschaft sails".to_owned();
    sessions[18].history[3].1 = "请修复数据库的检索功能".to_owned();
    sessions[19].history[2].1 = "call parse_config_file() in Foo::bar".to_owned();
    sessions[20].title = "東京タワー plan".to_owned();
    sessions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_field_by_field() {
    let place = Place::new();
    let sessions = sessions();
    place.put_all(&sessions);
    place.write("00000000000a.json", &serde_json::to_vec(&sessions[0].file()).unwrap()[..200]);
    place.write("00000000000b.json", b"");
    place.write("00000000000c.json", b"{\"history\": [{\"role\": \"user\", \"text\": \"\xE6\x97\"}]}");
    let report = place.import().await;
    assert_eq!(counts(&report), (SESSIONS, 0, 0, 0, 3));
    // Sessions share commits: they don't wait for the disk one by one.
    assert!(place.store.commits() < SESSIONS / 20, "{} commits", place.store.commits());

    let mut checks = JoinSet::new();
    for part in sessions.chunks(SESSIONS as usize / 4) {
        let (part, store) = (part.to_vec(), place.store.clone());
        checks.spawn(async move {
            for session in &part {
                session.is_in(&store).await;
            }
            part.len() as u64
        });
    }
    assert_eq!(checks.join_all().await.into_iter().sum::<u64>(), SESSIONS);
    let mut newest: Vec<&Old> = sessions.iter().collect();
    newest.sort_by_key(|session| std::cmp::Reverse(session.updated));
    let listed = place.store.sessions(SESSIONS as u32 + 1).await.unwrap();
    assert!(
        listed.iter().map(|session| session.updated_at.as_millis()).eq(newest.iter().map(|session| session.updated))
    );
    assert!(listed.iter().map(|session| session.id.as_str()).eq(newest.iter().map(|session| session.id.as_str())));

    for (query, expected) in [
        ("dampfschiff", 17),
        ("GESELL", 17),
        ("数据库", 18),
        ("检索", 18),
        ("能", 18),
        ("config_file", 19),
        ("parse_config", 19),
        ("g_f", 19),
        ("oo::ba", 19),
        ("タワー", 20),
        ("京タ", 20),
        ("build_step_4711", 4711),
        ("ld_step_4711", 4711),
        ("修复 9998 in", 9998),
    ] {
        let found = place.store.search(query, 5).await.unwrap();
        let found: Vec<&str> = found.iter().map(|found| found.session.id.as_str()).collect();
        assert_eq!(found, [id(expected)], "{query}");
    }
    assert!(place.store.search("parsexconfig", 5).await.unwrap().is_empty());
    let found = place.store.search("build_step_4711", 1).await.unwrap().remove(0);
    let turn = place.store.turn(&found.turn.unwrap()).await.unwrap().unwrap();
    assert!(place.history(&id(4711)).await.contains(&(Role::User, turn.prompt, turn.created_at.as_millis())));

    assert_eq!(counts(&place.import().await), (0, 0, SESSIONS, 0, 3));
}
