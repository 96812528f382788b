//! Codex's questions and what it is answered; lines of 0.153.4.

use types::{ApprovalKind, ChangeKind, Decision};

use super::*;
use crate::domain::ApprovalRequest;

const CONFIGURED: &str = r#"{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1,"threadId":"t1"},"id":"","msg":{"type":"session_configured","session_id":"t1"}}}"#;
const COMMAND: &str = r#"{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":{"message":"Allow Codex to run `/bin/bash -lc 'echo hi > g.txt'` in `/w`?","requestedSchema":{"type":"object","properties":{}},"threadId":"t1","codex_elicitation":"exec-approval","codex_mcp_tool_call_id":"1","codex_event_id":"e","codex_call_id":"call_1","codex_command":["/bin/bash","-lc","echo hi > g.txt"],"codex_cwd":"/w","codex_parsed_cmd":[{"type":"unknown","cmd":"echo hi > g.txt"}]}}"#;
const PATCH: &str = r#"{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"Allow Codex to apply proposed code changes?","requestedSchema":{"type":"object","properties":{}},"threadId":"t1","codex_elicitation":"patch-approval","codex_mcp_tool_call_id":"1","codex_event_id":"e","codex_call_id":"call_2","codex_changes":{"/w/p.txt":{"type":"add","content":"hello\n"}}}}"#;
const ABORTED: &str = r#"{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1,"threadId":"t1"},"id":"e","msg":{"type":"turn_aborted","turn_id":"e","reason":"interrupted"}}}"#;

/// An adapter whose first call runs.
fn running() -> McpServer {
    let (mut adapter, mut out) = (McpServer::new(Some(Version(0, 153, 4))), Out::default());
    adapter.ask(AskId(1), super::turn(None), Instant::now(), &mut out);
    run(&mut adapter, &[CONFIGURED]);
    adapter
}

fn asked(adapter: &mut McpServer, line: &str) -> ApprovalRequest {
    match run(adapter, &[line]).pop() {
        Some(What::Approval(approval)) => approval,
        other => panic!("{other:?}"),
    }
}

fn reply(adapter: &mut McpServer, request: &RequestId, reply: Reply) -> Vec<Value> {
    let mut out = Out::default();
    adapter.reply(request.clone(), reply, &mut out);
    out.lines.iter().map(|line| serde_json::from_slice(&line.bytes).unwrap()).collect()
}

#[test]
fn questions_tell_what_they_are_about() {
    let all = [Decision::Accept, Decision::AcceptForSession, Decision::Decline, Decision::Cancel];
    let command = asked(&mut running(), COMMAND);
    assert_eq!((command.kind, command.codex_item.as_deref()), (ApprovalKind::Command, Some("call_1")));
    assert_eq!(command.command.as_deref(), Some("/bin/bash -lc echo hi > g.txt"));
    assert_eq!((command.cwd.as_deref(), command.decisions.as_slice()), (Some("/w"), &all[..]));
    let patch = asked(&mut running(), PATCH);
    assert_eq!((patch.kind, patch.command), (ApprovalKind::FileChange, None));
    assert_eq!((patch.changes[0].path.as_str(), patch.changes[0].kind), ("/w/p.txt", ChangeKind::Add));
    assert_eq!(patch.changes[0].diff, "hello\n");
}

#[test]
fn the_field_that_counts_is_the_decision() {
    let words = [
        (Reply::Decide(Decision::Accept), "approved", "accept"),
        (Reply::Decide(Decision::AcceptForSession), "approved_for_session", "accept"),
        (Reply::Decide(Decision::Decline), "denied", "decline"),
        (Reply::Decide(Decision::Cancel), "abort", "cancel"),
        (Reply::Answers([("q".to_owned(), vec!["a".to_owned()])].into()), "denied", "decline"),
    ];
    for (reply, decision, action) in words {
        let request = asked(&mut running(), COMMAND).request;
        // Also when it is sent by an adapter that never saw the question.
        let result = json!({"decision": decision, "action": action});
        let sent = self::reply(&mut McpServer::new(None), &request, reply);
        assert_eq!(sent, [json!({"jsonrpc": "2.0", "id": 0, "result": result})]);
    }
}

#[test]
fn a_cancelled_question_ends_the_turn_by_its_event_and_spoils_the_thread() {
    let mut adapter = running();
    let request = asked(&mut adapter, COMMAND).request;
    reply(&mut adapter, &request, Reply::Decide(Decision::Cancel));
    let said = run(&mut adapter, &[ABORTED]);
    assert!(matches!(said.as_slice(), [What::TurnEnded { outcome: Outcome::Interrupted, .. }]), "{said:?}");
    let mut out = Out::default();
    adapter.ask(AskId(2), super::turn(Some("t1")), Instant::now(), &mut out);
    assert!(out.lines.is_empty());
    assert_eq!(out.reports, [(Route::Ask(AskId(2)), What::Answer(AskId(2), Err(AskError::NotLoaded)))]);
}

#[test]
fn an_interrupt_takes_the_question_along() {
    let mut adapter = running();
    let request = asked(&mut adapter, PATCH).request;
    let mut out = Out::default();
    let interrupt = Ask::Interrupt { thread: ThreadId::parse("t1").unwrap(), codex_turn: "1".into() };
    adapter.ask(AskId(2), interrupt, Instant::now(), &mut out);
    let said: Vec<What> = out.reports.into_iter().map(|(_, what)| what).collect();
    assert_eq!(said[0], What::Answer(AskId(2), Ok(Answer::Done)));
    assert_eq!(said[1], What::ApprovalGone { request });
    assert!(matches!(said[2], What::TurnEnded { outcome: Outcome::Interrupted, .. }));
}

#[test]
fn what_nobody_can_place_is_told_no() {
    let mut out = Out::default();
    McpServer::new(None).line(1, COMMAND.as_bytes(), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
    assert_eq!(sent["result"], json!({"decision": "denied", "action": "decline"}));
    assert!(out.reports.is_empty());

    // The first call of a thread is known before its thread is.
    let (mut adapter, mut out) = (McpServer::new(None), Out::default());
    adapter.ask(AskId(1), super::turn(None), Instant::now(), &mut out);
    assert_eq!(asked(&mut adapter, COMMAND).kind, ApprovalKind::Command);
}

#[test]
fn a_declined_change_is_declined_in_each_version() {
    let end = |rest: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"codex/event","params":{{"_meta":{{"requestId":1,"threadId":"t1"}},"id":"e","msg":{{"type":"patch_apply_end","call_id":"call_2","turn_id":"e","stdout":"","changes":{{}},{rest}}}}}}}"#
        )
    };
    let cases = [
        (r#""stderr":"approval request failed","success":false,"status":"declined""#, ItemStatus::Declined),
        (r#""stderr":"patch rejected by user","success":false"#, ItemStatus::Declined),
        (r#""stderr":"no room","success":false"#, ItemStatus::Failed),
        (r#""stderr":"","success":true,"status":"completed""#, ItemStatus::Completed),
    ];
    for (rest, expected) in cases {
        let said = run(&mut running(), &[&end(rest)]);
        assert!(matches!(&said[0], What::ItemCompleted { status, .. } if *status == expected), "{rest}");
    }
}
