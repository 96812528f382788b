//! What becomes of a session: every field, its history, its turns.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use import::import;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;
use types::{Delivery, EventId, ItemBody, ItemStatus, Role, ThreadId, TitleSource, TurnKind, TurnStatus};

#[tokio::test]
async fn what_the_script_wrote_is_here_field_by_field() {
    let place = Place::new();
    let report = import(&place.store, &written_by_the_script(), OPTIONS, |_, _| {}).await.unwrap();
    assert_eq!(counts(&report), (3, 0, 0, 0, 0), "{report:?}");

    let locked = Old {
        id: "3f2a9c01b7de".into(),
        title: "修复数据库的检索功能".into(),
        locked: true,
        source: "manual",
        cwd: "/srv/no/longer/there".into(),
        model: Some("gpt-5-codex".into()),
        thread: Some("0197a1b2-0000-7000-8000-00000000000b".into()),
        former: Some("0197a1b2-0000-7000-8000-00000000000a".into()),
        created: 1_717_000_000_123,
        updated: 1_717_000_099_456,
        history: vec![
            (Role::User, "请修复数据库的检索功能 🚀\n\"quoted\" \\ back\0slash".into(), 1_717_000_000_124),
            (Role::Assistant, "call parse_config_file() in Foo::bar\ttabbed\u{2028}line".into(), 1_717_000_050_000),
            (Role::User, "again".into(), 1_717_000_051_000),
            (Role::Assistant, String::new(), 1_717_000_099_456),
        ],
    };
    locked.is_in(&place.store).await;
    let given = Old {
        id: "00c0ffee0042".into(),
        title: "given at the start".into(),
        cwd: "/tmp".into(),
        thread: None,
        former: None,
        created: 1_717_100_000_000,
        updated: 1_717_100_000_001,
        history: vec![(Role::User, "Does Donaudampfschifffahrt float?".into(), 1_717_100_000_001)],
        ..Old::new(0, 0)
    };
    given.is_in(&place.store).await;
    let untitled = Old {
        id: "9b1deb4d3b7d".into(),
        title: "make it so".into(),
        source: "auto",
        cwd: "/tmp".into(),
        thread: Some("0197a1b2-0000-7000-8000-00000000000c".into()),
        former: None,
        created: 1_716_000_000_000,
        updated: 1_716_000_000_900,
        history: vec![
            (Role::User, "\n  make   it\tso \nplease".into(), 1_716_000_000_100),
            (Role::Assistant, "done".into(), 1_716_000_000_900),
        ],
        ..Old::new(0, 0)
    };
    untitled.is_in(&place.store).await;

    let listed = place.store.sessions(10).await.unwrap();
    assert!(listed.iter().map(|session| session.id.as_str()).eq([&given.id, &locked.id, &untitled.id]));
    let lost = ("00c0ffee0042.json", "its last prompt has no answer: the turn is taken as interrupted");
    assert!(told(&report.notes).contains(&lost), "{report:?}");
}

#[tokio::test]
async fn a_session_is_told_by_one_event() {
    let place = Place::new();
    place.put_all(&[Old::new(2, 3), Old::new(1, 1)]);
    place.import().await;
    // The oldest first.
    let created = |n| ("session.created".to_owned(), id(n));
    assert_eq!(place.events(EventId(0)).await, [created(1), created(2)]);
}

#[tokio::test]
async fn turns_are_whole() {
    let place = Place::new();
    let mut session = Old::new(1, 0);
    let said = [
        (Role::Assistant, "an answer to nothing", 10),
        (Role::User, "first", 20),
        (Role::Assistant, "one", 30),
        (Role::Assistant, "and one more", 40),
        (Role::User, "never answered", 50),
        (Role::User, "answered with nothing", 60),
        (Role::Assistant, "", 70),
        (Role::User, "the end", 80),
    ];
    session.history = said.map(|(role, text, at)| (role, text.to_owned(), at)).to_vec();
    place.put_all(std::slice::from_ref(&session));
    place.import().await;
    session.is_in(&place.store).await;

    let turns = place.store.turns(&sid(&session.id)).await.unwrap();
    let told: Vec<_> = turns
        .iter()
        .map(|turn| {
            let millis = |at: Option<types::Timestamp>| at.unwrap().as_millis();
            let times = (turn.created_at.as_millis(), millis(turn.started_at), millis(turn.ended_at));
            (turn.prompt.as_str(), turn.answer.as_deref(), turn.status, turn.delivery, times)
        })
        .collect();
    let (done, lost) = ((TurnStatus::Completed, Delivery::Yes), (TurnStatus::Interrupted, Delivery::Unknown));
    let expected = [
        ("", Some("an answer to nothing"), done, (10, 10, 10)),
        ("first", Some("and one more"), done, (20, 20, 40)),
        ("never answered", None, lost, (50, 50, 50)),
        ("answered with nothing", Some(""), done, (60, 60, 70)),
        ("the end", None, lost, (80, 80, 80)),
    ];
    assert_eq!(told, expected.map(|(prompt, answer, (status, delivery), at)| (prompt, answer, status, delivery, at)));
    for turn in &turns {
        assert_eq!((turn.kind, turn.principal.as_str(), turn.origin.as_str()), (TurnKind::Prompt, "local", "http"));
        assert_eq!((turn.error.is_some(), turn.held, turn.declined.len()), (false, false, 0));
    }
    let first = place.store.turn(&turns[0].id).await.unwrap().unwrap();
    assert!(matches!(&first.items[..], [warning, answer]
        if matches!(warning.body, ItemBody::Warning { .. }) && matches!(answer.body, ItemBody::AgentMessage { .. })));
    let lost = place.store.turn(&turns[4].id).await.unwrap().unwrap();
    assert_eq!(lost.items.iter().map(|item| item.status).collect::<Vec<_>>(), [ItemStatus::Incomplete]);
}

#[tokio::test]
async fn messages_of_other_roles_are_in_their_turns() {
    let place = Place::new();
    let mut file = Old::new(1, 1).file();
    let history = file["history"].as_array_mut().unwrap();
    history.insert(0, json!({"role": "system", "text": "be good", "tsMs": 1, "extra": [1]}));
    history.push(json!({"role": "tool", "text": "ls", "tsMs": 2}));
    place.write_json(&format!("{}.json", id(1)), &file);
    let report = place.import().await;

    assert_eq!(place.history(&id(1)).await, Old::new(1, 1).history);
    let turns = place.store.turns_page(&sid(&id(1)), false, None, 9).await.unwrap().0;
    let raw: Vec<Value> = turns
        .iter()
        .flat_map(|turn| &turn.items)
        .filter_map(|item| if let ItemBody::Other { raw } = &item.body { Some(raw.clone()) } else { None })
        .collect();
    assert_eq!(raw, [history_of(&file, 0), history_of(&file, 3)]);
    let note = "2 messages are neither user's nor assistant's: they are in their turns, but not in the history";
    assert!(told(&report.notes).contains(&(&format!("{}.json", id(1)), note)), "{report:?}");
    // The same file again is the same, whatever else it has.
    assert_eq!(counts(&place.import().await), (0, 0, 1, 0, 0));
}

fn history_of(file: &Value, n: usize) -> Value {
    file["history"][n].clone()
}

#[tokio::test]
async fn what_the_file_lacks_of_its_title_comes_from_the_index() {
    let place = Place::new();
    let cases: [(Value, Value, (&str, TitleSource, bool)); 8] = [
        (json!({"title": "file"}), json!({"title": "index"}), ("file", TitleSource::Manual, false)),
        (
            json!({"title": "file"}),
            json!({"titleLocked": true, "titleSource": "auto"}),
            ("file", TitleSource::Auto, true),
        ),
        (
            json!({"title": "file", "titleLocked": false, "titleSource": "manual"}),
            json!({"title": "index", "titleLocked": true, "titleSource": "auto"}),
            ("file", TitleSource::Manual, false),
        ),
        (
            json!({}),
            json!({"title": "index", "titleLocked": true, "titleSource": "manual"}),
            ("index", TitleSource::Manual, true),
        ),
        (
            json!({"title": ""}),
            json!({"title": "index", "titleLocked": true}),
            ("prompt 0 of 4", TitleSource::Auto, false),
        ),
        (
            json!({"title": 7, "titleLocked": "x", "titleSource": "x"}),
            json!({}),
            ("prompt 0 of 5", TitleSource::Auto, false),
        ),
        (json!({"title": " two\n lines "}), json!({"titleSource": ""}), ("two lines", TitleSource::Manual, false)),
        (json!({"titleSource": "manual"}), Value::Null, ("prompt 0 of 7", TitleSource::Auto, false)),
    ];
    let mut index = json!({"sessions": {}});
    for (n, (meta, listed, _)) in (0..).zip(&cases) {
        let mut file = Old::new(n, 1).file();
        file["meta"] = meta.clone();
        place.write_json(&format!("{}.json", id(n)), &file);
        if !listed.is_null() {
            index["sessions"][id(n)] = listed.clone();
        }
    }
    place.write_json("sessions.json", &index);
    let report = place.import().await;
    assert_eq!(counts(&report), (8, 0, 0, 0, 0), "{report:?}");
    for (n, (.., expected)) in (0..).zip(cases) {
        let session = place.stored(&id(n)).await.session;
        assert_eq!((session.title.as_str(), session.title_source, session.title_locked), expected, "case {n}");
    }
    let reasons: Vec<_> = report.notes.iter().map(|note| note.reason.as_str()).collect();
    for expected in [
        "title is a number, not a text: it is left out",
        "titleLocked is a text, not true or false: it is left out",
        "titleSource \"x\" is unknown: it is left out",
    ] {
        assert!(reasons.contains(&expected), "{expected}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_or_unknown_can_be_changed() {
    let place = Place::new();
    let cwds = [json!("/gone"), json!("relative/one"), json!(r"C:\Users\x"), json!(""), Value::Null, json!(5)];
    for (n, cwd) in (0..).zip(&cwds) {
        let mut file = Old::new(n, 1).file();
        file["meta"]["cwd"] = cwd.clone();
        place.write_json(&format!("{}.json", id(n)), &file);
    }
    let report = place.import().await;
    assert_eq!(report.imported, 6);
    let unknown = place.old.join("folder-not-known");
    assert!(unknown.is_absolute() && !unknown.exists());
    for (n, cwd) in (0..).zip(&cwds) {
        let stored = place.stored(&id(n)).await.session.cwd;
        match cwd.as_str().filter(|cwd| !cwd.is_empty()) {
            Some(cwd) => assert_eq!(stored.to_str().unwrap(), cwd),
            None => assert_eq!(stored, unknown),
        }
        let noted =
            report.notes.iter().any(|note| note.file == format!("{}.json", id(n)) && note.reason.contains("PATCH"));
        assert_eq!(noted, !stored.is_absolute() || stored == unknown, "{cwd}");
    }
}

#[tokio::test]
async fn times_that_nobody_can_write_down_are_replaced() {
    let place = Place::new();
    let mut file = Old::new(1, 2).file();
    let times = [json!(-5), json!(1e300), json!("soon"), json!(1_700_000_000_000.9_f64)];
    for (message, time) in file["history"].as_array_mut().unwrap().iter_mut().zip(times) {
        message["tsMs"] = time;
    }
    file["createdAtMs"] = json!(-1);
    file["updatedAtMs"] = json!(i64::MAX);
    place.write_json(&format!("{}.json", id(1)), &file);
    let mut timeless = Old::new(2, 1).file();
    timeless["createdAtMs"] = Value::Null;
    timeless["updatedAtMs"] = Value::Null;
    place.write_json(&format!("{}.json", id(2)), &timeless);
    let report = place.import().await;

    let at: Vec<i64> = place.history(&id(1)).await.into_iter().map(|(.., at)| at).collect();
    assert_eq!(at, [-5, -5, -5, 1_700_000_000_000]);
    let session = place.stored(&id(1)).await.session;
    assert_eq!((session.created_at.as_millis(), session.updated_at.as_millis()), (-1, 1_700_000_000_000));
    assert_eq!(session.created_at.to_string(), "1969-12-31T23:59:59.999Z");
    let session = place.stored(&id(2)).await.session;
    let said = Old::new(2, 1).history;
    assert_eq!((session.created_at.as_millis(), session.updated_at.as_millis()), (said[0].2, said[1].2));
    let reasons: Vec<_> = report.notes.iter().map(|note| note.reason.as_str()).collect();
    for expected in [
        "the times of 2 messages can't be used: each has that of the message before it",
        "updatedAtMs 9223372036854775807 is no time: another one stands for it",
    ] {
        assert!(reasons.contains(&expected), "{expected}: {reasons:?}");
    }
    assert_eq!(counts(&place.import().await), (0, 0, 2, 0, 0));
}

#[tokio::test]
async fn a_thread_of_several_sessions_is_that_of_the_latest() {
    let place = Place::new();
    let shared = |n| Old { thread: Some("shared".into()), former: None, ..Old::new(n, 1) };
    // The second is the newest; the index does not know it, so that it is read in another order.
    let sessions = [shared(1), shared(3), shared(2)];
    place.put_all(&sessions);
    place.write_json("sessions.json", &index(&sessions[..1]));
    let report = place.import().await;
    assert_eq!(report.imported, 3);
    for n in 1..=3 {
        let thread = place.stored(&id(n)).await.session.thread_id;
        assert_eq!(thread.is_some(), n == 3, "{n}");
    }
    assert_eq!(report.notes.iter().filter(|note| note.reason.contains("its thread shared is also that of")).count(), 2);
    // What is here and newer keeps its thread, what is older gives it away.
    place.put(&Old { updated: 5, ..shared(4) });
    place.put(&Old { thread: Some("thread-x".into()), former: Some("shared".into()), ..shared(5) });
    place.import().await;
    assert_eq!(place.stored(&id(4)).await.session.thread_id, None);
    assert_eq!(place.stored(&id(3)).await.session.thread_id, None);
    assert_eq!(place.stored(&id(5)).await.session.thread_id, ThreadId::parse("thread-x").ok());
    assert_eq!(place.store.find_session("shared").await.unwrap(), Some(sid(&id(5))));
    assert_eq!(counts(&place.import().await), (0, 0, 5, 0, 0));
}

fn message() -> impl Strategy<Value = (Role, String, i64)> {
    let text = prop_oneof![any::<String>(), Just(String::new()), "\\PC{0,300}", "(\\s|\\PC|\u{0}){0,40}"];
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant)];
    (role, text, -62_167_219_200_000_i64..=253_402_207_200_999)
}

fn session(n: u64) -> impl Strategy<Value = Old> {
    let history = prop::collection::vec(message(), 0..12);
    let title = ("[a-zé日]{1,12}( [a-z]{1,9})?", any::<bool>(), prop::sample::select(vec!["", "auto", "manual"]));
    let thread = prop::option::of("[0-9a-f]{8}-[a-z]{1,20}");
    let times = (-62_167_219_200_000_i64..=253_402_207_200_999, -62_167_219_200_000_i64..=253_402_207_200_999);
    let rest = ("/\\PC{0,20}", prop::option::of("[a-z0-9.-]{1,20}"), thread.clone(), thread, times);
    (history, title, rest).prop_map(move |(history, (title, locked, source), (cwd, model, thread, former, times))| {
        Old {
            id: id(n),
            title,
            locked,
            source,
            cwd,
            model,
            // A session that has only a former thread goes on with that.
            former: former.filter(|_| thread.is_some()),
            thread,
            created: times.0,
            updated: times.1,
            history,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was said, in whatever order, comes back; also when it comes in two parts; and then nothing changes any more.
    #[test]
    fn every_history_comes_back(session in session(1), cut in 0_usize..12) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let cut = cut.min(session.history.len());
            let mut part = Old { updated: session.updated.saturating_sub(1), ..session.clone() };
            part.history.truncate(cut);
            place.put_all(std::slice::from_ref(&part));
            assert_eq!(counts(&place.import().await), (1, 0, 0, 0, 0));
            part.is_in(&place.store).await;

            place.put_all(std::slice::from_ref(&session));
            assert_eq!(counts(&place.import().await), (0, 1, 0, 0, 0));
            session.is_in(&place.store).await;
            let last = place.store.last_event();
            assert_eq!(counts(&place.import().await), (0, 0, 1, 0, 0));
            session.is_in(&place.store).await;
            assert_eq!(place.store.last_event(), last);
        });
    }
}
