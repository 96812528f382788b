//! More input for a running turn, its end, and what it leaves running.

use std::time::Duration;

use types::ItemId;

use super::*;

fn thread() -> ThreadId {
    ThreadId::parse("t1").unwrap()
}

fn answered(adapter: &mut AppServer, line: &str) -> Vec<(Route, What)> {
    let mut out = Out::default();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    out.reports
}

fn steer(input: Vec<InputPart>) -> Ask {
    Ask::Steer { thread: thread(), codex_turn: "u1".into(), input, item: ItemId::parse("i1").unwrap() }
}

#[test]
fn a_steer_names_the_turn_and_its_paths_are_those_of_the_turn() {
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 153, 4))), Out::default());
    adapter.ask(AskId(1), Ask::StartTurn(turn(&thread())), Instant::now(), &mut out);
    let input = vec![InputPart::Text { text: "more".into() }, InputPart::LocalImage { path: "a.png".into() }];
    adapter.ask(AskId(2), steer(input), Instant::now(), &mut out);
    let sent = sent(&out).pop().unwrap();
    assert_eq!(sent["method"], "turn/steer");
    let path = std::path::Path::new("/w").join("a.png");
    let input = json!([{"type": "text", "text": "more"}, {"type": "localImage", "path": path}]);
    assert_eq!(
        sent["params"],
        json!({"threadId": "t1", "expectedTurnId": "u1", "input": input, "clientUserMessageId": "i1"})
    );
    let said = answered(&mut adapter, r#"{"id":2,"result":{"turnId":"u1"}}"#);
    assert_eq!(said, [(Route::Ask(AskId(2)), What::Answer(AskId(2), Ok(Answer::Done)))]);
}

#[test]
fn a_steer_without_its_turn_was_not_heard() {
    let refused = |error: Value| {
        let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 169, 0))), Out::default());
        adapter.ask(AskId(2), steer(vec![InputPart::Text { text: "more".into() }]), Instant::now(), &mut out);
        match answered(&mut adapter, &json!({"error": error, "id": 2}).to_string()).pop() {
            Some((_, What::Answer(AskId(2), Err(error)))) => error,
            other => panic!("{other:?}"),
        }
    };
    let text = |text: &str| refused(json!({"code": -32600, "message": text}));
    assert_eq!(text("no active turn to steer"), AskError::NoTurn);
    assert_eq!(text("expected active turn id `u1` but found `u2`"), AskError::NoTurn);
    assert_eq!(text("thread not found: t1"), AskError::NotLoaded);
    assert!(matches!(text("cannot steer a compact turn"), AskError::Refused(_)));
    assert!(!AskError::NoTurn.heard());

    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 98, 0))), Out::default());
    adapter.ask(AskId(2), steer(Vec::new()), Instant::now(), &mut out);
    assert!(out.lines.is_empty() && !adapter.capabilities().steer);
    assert_eq!(out.reports, [(Route::Ask(AskId(2)), What::Answer(AskId(2), Err(AskError::NotSupported)))]);
}

#[test]
fn an_interrupt_that_is_not_answered_ends_soon_or_with_the_turn() {
    let now = Instant::now();
    let interrupt = || Ask::Interrupt { thread: thread(), codex_turn: "1".into() };
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 98, 0))), Out::default());
    adapter.ask(AskId(4), interrupt(), now, &mut out);
    adapter.tick(now + Duration::from_secs(5), &mut out);
    let timeout = What::Answer(AskId(4), Err(AskError::Timeout { heard: true }));
    assert_eq!(out.reports, [(Route::Ask(AskId(4)), timeout)]);

    let mut out = Out::default();
    adapter.ask(AskId(5), interrupt(), now, &mut out);
    let other = Ask::Interrupt { thread: ThreadId::parse("t2").unwrap(), codex_turn: "1".into() };
    adapter.ask(AskId(6), other, now, &mut out);
    let ended = r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"1","items":[],"status":"completed","error":null}}}"#;
    let said = answered(&mut adapter, ended);
    assert_eq!(said[0], (Route::Ask(AskId(5)), What::Answer(AskId(5), Ok(Answer::Done))));
    assert!(matches!(said[1].1, What::TurnEnded { .. }));
    assert_eq!(said.len(), 2);
    assert_eq!(answered(&mut adapter, r#"{"id":5,"result":{}}"#), []);
}

#[test]
fn commands_that_outlived_their_turn_are_ended_where_codex_can() {
    let clean = || Ask::CleanTerminals { thread: thread() };
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 169, 0))), Out::default());
    adapter.ask(AskId(7), clean(), Instant::now(), &mut out);
    assert_eq!(sent(&out)[0]["method"], "thread/backgroundTerminals/clean");
    let refused = r#"{"error":{"code":-32600,"message":"thread/backgroundTerminals/clean requires experimentalApi capability"},"id":7}"#;
    let said = answered(&mut adapter, refused);
    assert_eq!(said[0].1, What::Answer(AskId(7), Err(AskError::NotSupported)));
    let old = AppServer::new(Some(Version(0, 98, 0))).capabilities();
    assert!(adapter.capabilities().clean_terminals && !old.clean_terminals);
}
