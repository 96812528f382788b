//! A Codex that was there before this adapter.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    adapter::Line,
    domain::{AskKind, PendingAsk},
};

fn pending(id: i64, what: AskKind) -> PendingAsk {
    PendingAsk { id: AskId(id), what, thread: ThreadId::parse("t1").ok() }
}

fn restored(pending: Vec<PendingAsk>, passed: &[&str]) -> (AppServer, Out) {
    let (mut adapter, mut out) = (AppServer::new(None), Out::default());
    let passed = passed.iter().map(|tag| (*tag).to_owned()).collect();
    adapter.restore(pending, &passed, Instant::now(), &mut out);
    (adapter, out)
}

fn hears(adapter: &mut AppServer, line: &str) -> Vec<What> {
    let mut out = Out::default();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    out.reports.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn what_codex_was_given_waits_for_its_answer_and_the_rest_was_never_heard() {
    let asks = vec![pending(5, AskKind::StartTurn), pending(6, AskKind::StartThread), pending(7, AskKind::Interrupt)];
    let (mut adapter, out) = restored(asks, &["5", "7", "66"]);
    assert!(out.lines.is_empty(), "nothing is given again");
    let unheard = What::Answer(AskId(6), Err(AskError::Unsent));
    assert_eq!(out.reports.into_iter().map(|(_, what)| what).collect::<Vec<_>>(), [unheard]);
    let answered = hears(&mut adapter, r#"{"id":5,"result":{"turn":{"id":"u1"}}}"#);
    assert_eq!(answered, [What::Answer(AskId(5), Ok(Answer::Turn { codex_turn: "u1".to_owned() }))]);
    // The deadline is a fresh one, and tells that it was heard.
    let mut out = Out::default();
    adapter.tick(Instant::now() + Duration::from_secs(6), &mut out);
    assert_eq!(out.reports[0].1, What::Answer(AskId(7), Err(AskError::Timeout { heard: true })));
}

#[test]
fn an_answer_that_codex_was_given_is_not_given_again() {
    let ask = r#"{"id":0,"method":"item/commandExecution/requestApproval","params":{"threadId":"t1","turnId":"u1","command":"ls"}}"#;
    let (mut adapter, mut out) = restored(Vec::new(), &[]);
    let asked = hears(&mut adapter, ask);
    let [What::Approval(approval)] = &asked[..] else { panic!("{asked:?}") };
    let reply = || Reply::Decide(types::Decision::Accept);
    adapter.reply(approval.request.clone(), reply(), &mut out);
    let tags: Vec<&str> = out.lines.iter().map(|Line { tag, .. }| tag.as_str()).collect();
    assert_eq!(tags, ["r:0"]);

    let (mut adapter, mut out) = restored(Vec::new(), &["r:0"]);
    adapter.reply(approval.request.clone(), reply(), &mut out);
    assert!(out.lines.is_empty());
    let resolved = r#"{"method":"serverRequest/resolved","params":{"threadId":"t1","requestId":0}}"#;
    assert_eq!(hears(&mut adapter, resolved), [], "it was not withdrawn: it was answered");
}

#[test]
fn a_turn_that_runs_counts_its_tokens() {
    let usage = |turn: &str, total: u64| {
        format!(
            r#"{{"method":"thread/tokenUsage/updated","params":{{"threadId":"t1","turnId":"{turn}","tokenUsage":{{"total":{{"totalTokens":{total},"inputTokens":{total},"cachedInputTokens":0,"outputTokens":0,"reasoningOutputTokens":0}},"last":{{"totalTokens":3,"inputTokens":3,"cachedInputTokens":0,"outputTokens":0,"reasoningOutputTokens":0}}}}}}}}"#
        )
    };
    let (mut adapter, _) = restored(vec![pending(2, AskKind::RunningTurn("u2".to_owned()))], &["2"]);
    assert_eq!(hears(&mut adapter, &usage("u2", 100)).len(), 1);
    assert_eq!(hears(&mut adapter, &usage("u2", 100)), []);
    let (mut adapter, _) = restored(Vec::new(), &[]);
    assert_eq!(hears(&mut adapter, &usage("u2", 100)), [], "of a thread of which nothing is known");
}
