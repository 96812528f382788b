//! What each call sends.

use std::time::Duration;

use client::{ApprovalQuery, Changes, Client, NewTurn, OnBusy, OnHeld, PageQuery, Verdict};
use types::{ApprovalStatus, Decision};

use crate::script::{Heard, SESSION, Script, TURN};

/// The line of a request, and that of its body.
async fn line(heard: &mut Heard) -> (String, String) {
    let said = heard.recv().await.unwrap();
    let mut lines = said.lines();
    (lines.next().unwrap().to_owned(), lines.next_back().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn each_call_is_one_request() {
    let (script, mut heard) = Script::new(200, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    client.turn("u/1", Some(Duration::from_secs(55))).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "GET /v1/turns/u%2F1?wait=55");
    client.retry("u1", true, Some("k")).await.unwrap();
    assert_eq!(line(&mut heard).await, ("POST /v1/turns/u1/retry".to_owned(), r#"{"force":true}"#.to_owned()));
    client.delete_session("s1", true, None).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/sessions/s1?thread=delete");
    client.delete_session("s1", false, Some(types::WorktreeFate::Keep)).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/sessions/s1?worktree=keep");
    client.revoke_token("a b").await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/tokens/a%20b");

    let (script, mut heard) = Script::new(200, SESSION);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    client.change_session("s1", &Changes { archived: Some(true), ..Changes::default() }).await.unwrap();
    assert_eq!(line(&mut heard).await, ("PATCH /v1/sessions/s1".to_owned(), r#"{"archived":true}"#.to_owned()));
    client.change_session("s1", &Changes { cwd: Some("/new".into()), ..Changes::default() }).await.unwrap();
    assert_eq!(line(&mut heard).await, ("PATCH /v1/sessions/s1".to_owned(), r#"{"cwd":"/new"}"#.to_owned()));
    client.autoname("s1", false).await.unwrap();
    assert_eq!(line(&mut heard).await, ("POST /v1/sessions/s1/autoname".to_owned(), r#"{"force":false}"#.to_owned()));

    let (script, mut heard) = Script::new(200, &format!(r#"{{"turns":[{TURN}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let newest = PageQuery { limit: Some(2), newest_first: true, ..PageQuery::default() };
    assert_eq!(client.turns("s1", &newest).await.unwrap().turns.len(), 1);
    assert_eq!(line(&mut heard).await.0, "GET /v1/sessions/s1/turns?limit=2&order=desc");

    let (script, mut heard) =
        Script::new(200, &format!(r#"{{"results":[{{"session":{SESSION},"snippet":"…x…","score":1.5}}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.search("a&b ü", Some(3)).await.unwrap().results[0].snippet, "…x…");
    assert_eq!(line(&mut heard).await.0, "GET /v1/search?q=a%26b%20%C3%BC&limit=3");
}

#[tokio::test]
async fn approvals_are_listed_seen_and_answered() {
    const APPROVAL: &str = r#"{"id":"a1","sessionId":"s1","turnId":"u1","kind":"command","command":"ls","decisions":["accept","cancel"],"status":"pending","requestedAt":"2026-01-01T00:00:00.000Z","expiresAt":"2026-01-02T00:00:00.000Z"}"#;
    let (script, mut heard) = Script::new(200, &format!(r#"{{"approvals":[{APPROVAL}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let which = ApprovalQuery { status: Some(ApprovalStatus::Pending), session: Some("s1".into()) };
    assert_eq!(client.approvals(&which).await.unwrap().approvals[0].decisions, [Decision::Accept, Decision::Cancel]);
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals?status=pending&sessionId=s1");
    client.approvals(&ApprovalQuery::default()).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals");

    let (script, mut heard) = Script::new(200, APPROVAL);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.approval("a/1").await.unwrap().status, ApprovalStatus::Pending);
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals/a%2F1");
    client.decide("a1", &Verdict::Decision(Decision::AcceptForSession)).await.unwrap();
    let said = ("POST /v1/approvals/a1".to_owned(), r#"{"decision":"acceptForSession"}"#.to_owned());
    assert_eq!(line(&mut heard).await, said);
    let answers = [("colour".to_owned(), vec!["red".to_owned()])].into();
    client.decide("a1", &Verdict::Answers(answers)).await.unwrap();
    assert_eq!(line(&mut heard).await.1, r#"{"answers":{"colour":["red"]}}"#);

    let (script, mut heard) = Script::new(202, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.interrupt("u1", Some(Duration::from_secs(15))).await.unwrap().id.as_str(), "u1");
    assert_eq!(line(&mut heard).await.0, "POST /v1/turns/u1/interrupt?wait=15");
}

#[tokio::test]
async fn a_turn_is_steered_and_a_session_forked_and_resumed() {
    let (script, mut heard) = Script::new(202, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.steer("u/1", "also \"this\"").await.unwrap().id.as_str(), "u1");
    let said = heard.recv().await.unwrap();
    assert!(
        said.starts_with("POST /v1/turns/u%2F1/steer\n") && said.ends_with(r#"{"prompt":"also \"this\""}"#),
        "{said}"
    );

    let (script, mut heard) = Script::new(201, &format!(r#"{{"session":{SESSION}}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.fork_session("s1", None).await.unwrap().session.id.as_str(), "s1");
    client.fork_session("s1", Some("x")).await.unwrap();
    let (first, second) = (heard.recv().await.unwrap(), heard.recv().await.unwrap());
    assert!(first.starts_with("POST /v1/sessions/s1/fork\n") && first.ends_with("\n{}"), "{first}");
    assert!(second.ends_with(r#"{"title":"x"}"#), "{second}");

    let (script, mut heard) = Script::new(200, SESSION);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.resume_session("s1").await.unwrap().id.as_str(), "s1");
    let said = heard.recv().await.unwrap();
    assert!(said.starts_with("POST /v1/sessions/s1/resume\n") && said.ends_with('\n'), "{said}");

    let new = NewTurn { on_busy: Some(OnBusy::Steer), on_held: Some(OnHeld::Wait), ..NewTurn::default() };
    assert_eq!(serde_json::to_string(&new).unwrap(), r#"{"onBusy":"steer","onHeld":"wait"}"#);
}
