//! Lines as stubs and the real `mcp-server` write them.

use types::{ApprovalPolicy, InputPart, ItemStatus, Sandbox, TurnId};

use super::*;
use crate::domain::ThreadSpec;

mod approvals;
mod restored;

fn turn(thread: Option<&str>) -> Ask {
    Ask::StartTurn(spec(thread))
}

fn text(text: &str) -> InputPart {
    InputPart::Text { text: text.into() }
}

fn spec(thread: Option<&str>) -> TurnSpec {
    TurnSpec {
        thread: thread.map(|id| ThreadId::parse(id).unwrap()),
        input: vec![text("p")],
        model: None,
        effort: None,
        output_schema: None,
        turn: TurnId::fresh(),
        spec: ThreadSpec {
            cwd: "/w".into(),
            model: Some("m".into()),
            sandbox: Sandbox::ReadOnly,
            approval_policy: ApprovalPolicy::Untrusted,
            developer_instructions: None,
            config: serde_json::Map::new(),
        },
    }
}

fn run(adapter: &mut McpServer, lines: &[&str]) -> Vec<What> {
    let mut out = Out::default();
    for line in lines {
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    }
    out.reports.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn a_stub_without_events_names_its_thread_with_the_result() {
    let (mut adapter, mut out) = (McpServer::new(None), Out::default());
    adapter.ask(AskId(1), turn(None), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
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
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
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
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
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

#[test]
fn texts_are_one_prompt_and_the_configuration_goes_along() {
    let (mut adapter, mut out) = (McpServer::new(None), Out::default());
    let mut turn = spec(None);
    turn.input = vec![text("one"), text("two\nthree")];
    let config = json!({"model_reasoning_effort": "high", "sandbox_workspace_write.network_access": true});
    turn.spec.config = config.as_object().cloned().unwrap();
    adapter.ask(AskId(1), Ask::StartTurn(turn), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
    let arguments = &sent["params"]["arguments"];
    assert_eq!(arguments["prompt"], "one\n\ntwo\nthree");
    assert_eq!(arguments["config"], json!({"model_reasoning_effort": "high"}));
    let mut out = Out::default();
    adapter.ask(AskId(2), self::turn(None), Instant::now(), &mut out);
    let sent: Value = serde_json::from_slice(&out.lines[0].bytes).unwrap();
    assert_eq!(sent["params"]["arguments"].get("config"), None);
}

#[test]
fn what_the_tools_cannot_say_is_not_asked() {
    let image = InputPart::LocalImage { path: "a.png".into() };
    let thread = ThreadId::parse("t1").unwrap();
    let asks = [
        Ask::StartTurn(TurnSpec { input: vec![text("p"), image], ..spec(None) }),
        Ask::StartTurn(TurnSpec { model: Some("m".into()), ..spec(None) }),
        Ask::StartTurn(TurnSpec { effort: Some("high".into()), ..spec(None) }),
        Ask::StartTurn(TurnSpec { output_schema: Some(json!({})), ..spec(None) }),
        Ask::Compact { thread: thread.clone() },
        Ask::DeleteThread { thread: thread.clone() },
        Ask::Steer {
            thread: thread.clone(),
            codex_turn: "1".into(),
            input: vec![text("p")],
            item: types::ItemId::fresh(),
        },
        Ask::Fork { thread: thread.clone(), spec: spec(None).spec },
        Ask::CleanTerminals { thread },
        Ask::Models,
        Ask::Limits,
    ];
    for ask in asks {
        let (mut adapter, mut out) = (McpServer::new(None), Out::default());
        adapter.ask(AskId(1), ask.clone(), Instant::now(), &mut out);
        assert!(out.lines.is_empty(), "{ask:?}");
        let answer = (Route::Ask(AskId(1)), What::Answer(AskId(1), Err(AskError::NotSupported)));
        assert_eq!(out.reports, [answer], "{ask:?}");
    }
    let can = McpServer::new(None).capabilities();
    assert!(can.interrupt && can.approvals_for_session);
    assert!(!can.compact && !can.delete && !can.turn_options && !can.steer && !can.fork && !can.clean_terminals);
}

#[test]
fn tokens_that_are_told_again_count_once() {
    let (mut adapter, mut out) = (McpServer::new(Some(Version(0, 98, 0))), Out::default());
    adapter.ask(AskId(1), turn(None), Instant::now(), &mut out);
    let configured = r#"{"jsonrpc":"2.0","method":"codex/event","params":{"_meta":{"requestId":1,"threadId":"t1"},"id":"0","msg":{"type":"session_configured"}}}"#;
    let used = |total: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"codex/event","params":{{"_meta":{{"requestId":1,"threadId":"t1"}},"id":"0","msg":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{total}}},"last_token_usage":{{"input_tokens":100}}}}}}}}}}"#
        )
    };
    let said = run(&mut adapter, &[configured, &used(100), &used(100), &used(200)]);
    assert_eq!(said.iter().filter(|what| matches!(what, What::Usage(usage) if usage.input_tokens == 100)).count(), 2);
}
