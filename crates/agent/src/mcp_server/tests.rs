//! Lines as stubs and the real `mcp-server` write them.

use types::{Sandbox, TurnId};

use super::*;

fn turn(thread: Option<&str>) -> Ask {
    Ask::StartTurn(TurnSpec {
        thread: thread.map(|id| ThreadId::parse(id).unwrap()),
        prompt: "p".into(),
        turn: TurnId::fresh(),
        spec: ThreadSpec {
            cwd: "/w".into(),
            model: Some("m".into()),
            sandbox: Sandbox::ReadOnly,
            approval_policy: ApprovalPolicy::Untrusted,
            developer_instructions: None,
        },
    })
}

fn run(adapter: &mut McpServer, lines: &[&str]) -> Vec<What> {
    let mut out = Out::default();
    for line in lines {
        adapter.line(line.as_bytes(), Instant::now(), &mut out);
    }
    out.reports.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn a_stub_without_events_names_its_thread_with_the_result() {
    let (mut adapter, mut out) = (McpServer::new(None), Out::default());
    adapter.ask(AskId(1), turn(None), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0]).unwrap();
    assert_eq!(sent["params"]["name"], "codex");
    assert_eq!(sent["params"]["arguments"]["sandbox"], "read-only");
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}],"structuredContent":{"threadId":"t1","content":"hello"}}}"#;
    let said = run(&mut adapter, &[result]);
    assert!(matches!(&said[0], What::Named { thread, .. } if thread.as_str() == "t1"));
    assert!(matches!(&said[1], What::Answer(AskId(1), Ok(Answer::Turn { .. }))));
    assert!(
        matches!(&said[2], What::TurnEnded { outcome: Outcome::Completed, last_message: Some(text), .. } if text == "hello")
    );
    let mut out = Out::default();
    adapter.ask(AskId(2), turn(Some("t1")), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0]).unwrap();
    assert_eq!(sent["params"], json!({"name": "codex-reply", "arguments": {"threadId": "t1", "prompt": "p"}}));
}

#[test]
fn a_forgotten_thread_was_not_heard() {
    let (mut adapter, mut out) = (McpServer::new(None), Out::default());
    adapter.ask(AskId(1), turn(Some("t1")), Instant::now(), &mut out);
    let said = run(
        &mut adapter,
        &[
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Session not found for thread_id: t1"}],"isError":true,"structuredContent":{"threadId":"t1"}}}"#,
        ],
    );
    assert_eq!(said, [What::Answer(AskId(1), Err(AskError::NotLoaded))]);
}

#[test]
fn values_that_a_version_lacks_become_the_next_stricter() {
    let (mut adapter, mut out) = (McpServer::new(Some(Version(0, 153, 4))), Out::default());
    adapter.ask(AskId(1), turn(None), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0]).unwrap();
    assert_eq!(sent["params"]["arguments"]["approval-policy"], "on-request");
}

#[test]
fn after_a_failure_of_the_real_one_its_thread_is_not_used_again() {
    for eventful in [true, false] {
        let (mut adapter, mut out) = (McpServer::new(None), Out::default());
        adapter.ask(AskId(1), turn(None), Instant::now(), &mut out);
        let configured = r#"{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1,"threadId":"t1"},"id":"0","msg":{"type":"session_configured"}}}"#;
        let failed = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"no"}],"isError":true,"structuredContent":{"threadId":"t1"}}}"#;
        let lines = if eventful { vec![configured, failed] } else { vec![failed] };
        run(&mut adapter, &lines);
        let mut out = Out::default();
        adapter.ask(AskId(2), turn(Some("t1")), Instant::now(), &mut out);
        assert_eq!(out.lines.is_empty(), eventful);
        let refused = out.reports.iter().any(|(_, what)| *what == What::Answer(AskId(2), Err(AskError::NotLoaded)));
        assert_eq!(refused, eventful);
    }
}
