//! Lines as the real Codex 0.169.0 wrote them, unless they say another version, and what they come out as.

use types::{ApprovalPolicy, InputPart, Sandbox, SessionId, TurnError, TurnId, Usage};

use super::*;
use crate::domain::{Applied, DeltaKind, Outcome, Route, ThreadSpec, TurnSpec, What};

mod approvals;
mod compaction;
mod forks;
mod options;
mod record;
mod restored;
mod steering;

fn spec() -> ThreadSpec {
    ThreadSpec {
        cwd: "/w".into(),
        model: None,
        sandbox: Sandbox::WorkspaceWrite,
        approval_policy: ApprovalPolicy::OnRequest,
        developer_instructions: None,
        config: serde_json::Map::new(),
    }
}

fn turn(thread: &ThreadId) -> TurnSpec {
    TurnSpec {
        thread: Some(thread.clone()),
        input: vec![InputPart::Text { text: "p".into() }],
        model: None,
        effort: None,
        output_schema: None,
        turn: TurnId::fresh(),
        spec: spec(),
    }
}

fn sent(out: &Out) -> Vec<Value> {
    out.lines.iter().map(|line| serde_json::from_slice(&line.bytes).unwrap()).collect()
}

fn said(lines: &[&str]) -> Vec<What> {
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 169, 0))), Out::default());
    for line in lines {
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    }
    out.reports.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn a_thread_never_starts_or_resumes_with_a_writable_sandbox() {
    for sandbox in [Sandbox::ReadOnly, Sandbox::WorkspaceWrite, Sandbox::DangerFullAccess] {
        let (mut adapter, mut out) = (AppServer::new(None), Out::default());
        let spec = ThreadSpec { sandbox, ..spec() };
        let thread = ThreadId::parse("t1").unwrap();
        adapter.ask(AskId(1), Ask::StartThread(spec.clone()), Instant::now(), &mut out);
        adapter.ask(
            AskId(2),
            Ask::ResumeThread { thread: thread.clone(), spec: spec.clone() },
            Instant::now(),
            &mut out,
        );
        let turn = TurnSpec { spec, ..turn(&thread) };
        adapter.ask(AskId(3), Ask::StartTurn(turn), Instant::now(), &mut out);
        let sent = sent(&out);
        assert_eq!(sent[0]["params"]["sandbox"], "read-only");
        assert_eq!(sent[1]["params"]["sandbox"], "read-only");
        assert_eq!(sent[2]["params"]["sandboxPolicy"], params::sandbox_policy(sandbox));
        for line in sent {
            assert_eq!(line["params"]["approvalPolicy"], "on-request");
            assert_eq!(line["params"]["cwd"], "/w");
        }
    }
}

#[test]
fn what_codex_applied_is_read_and_the_unknown_is_not_taken_for_narrow() {
    let reply = |sandbox: &str, policy: &str| {
        let (mut adapter, mut out) = (AppServer::new(None), Out::default());
        adapter.ask(AskId(7), Ask::StartThread(spec()), Instant::now(), &mut out);
        let line =
            format!(r#"{{"id":7,"result":{{"thread":{{"id":"t1"}},"approvalPolicy":{policy},"sandbox":{sandbox}}}}}"#);
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
        match out.reports.pop() {
            Some((_, What::Answer(AskId(7), Ok(Answer::Thread { applied: Some(applied), .. })))) => applied,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        reply(r#"{"type":"readOnly","networkAccess":false}"#, r#""on-request""#),
        Applied {
            sandbox: Ok(Sandbox::ReadOnly),
            network: false,
            approval_policy: Ok(ApprovalPolicy::OnRequest),
            model: None,
            effort: None
        }
    );
    assert!(reply(r#"{"type":"workspaceWrite","networkAccess":true}"#, r#""never""#).network);
    let unknown = reply(r#"{"type":"externalSandbox"}"#, r#"{"granular":{}}"#);
    assert!(unknown.sandbox.is_err() && unknown.approval_policy.is_err());
}

#[test]
fn one_turn_as_0_169_tells_it() {
    let said = said(&[
        r#"{"method":"turn/started","params":{"threadId":"t1","turn":{"id":"u1","items":[],"status":"inProgress","error":null}},"emittedAtMs":1}"#,
        r#"{"method":"item/completed","params":{"item":{"type":"userMessage","id":"m0","clientId":"c","content":[{"type":"text","text":"hello there","text_elements":[]}]},"threadId":"t1","turnId":"u1"}}"#,
        r#"{"method":"item/agentMessage/delta","params":{"threadId":"t1","turnId":"u1","itemId":"msg_1","delta":"echo: "}}"#,
        r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","moderation":null,"id":"msg_1","text":"echo: hello there"},"threadId":"t1","turnId":"u1"}}"#,
        r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"u1","tokenUsage":{"total":{"totalTokens":110,"inputTokens":100,"cachedInputTokens":40,"outputTokens":10,"reasoningOutputTokens":3},"last":{"totalTokens":110,"inputTokens":100,"cachedInputTokens":40,"outputTokens":10,"reasoningOutputTokens":3}}}}"#,
        r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"u1","items":[{"type":"agentMessage","id":"msg_1","text":"echo: hello there"}],"status":"completed","error":null}}}"#,
    ]);
    assert_eq!(said[0], What::TurnStarted { codex_turn: "u1".into() });
    assert!(
        matches!(&said[1], What::ItemCompleted { body: types::ItemBody::UserMessage { text, .. }, .. } if text == "hello there")
    );
    assert_eq!(said[2], What::ItemDelta { codex_id: "msg_1".into(), kind: DeltaKind::Text, text: "echo: ".into() });
    assert!(matches!(&said[3], What::ItemCompleted { body: types::ItemBody::AgentMessage { .. }, .. }));
    let usage = Usage { input_tokens: 100, cached_input_tokens: 40, output_tokens: 10, reasoning_tokens: 3 };
    assert_eq!(said[4], What::Usage(usage));
    assert_eq!(
        said[5],
        What::TurnEnded {
            codex_turn: Some("u1".into()),
            outcome: Outcome::Completed,
            last_message: Some("echo: hello there".into())
        }
    );
}

#[test]
fn what_is_not_known_is_kept_and_never_an_error() {
    let said = said(&[
        r#"{"method":"item/completed","params":{"item":{"type":"hologram","id":"h","beams":[1]},"threadId":"t1"}}"#,
        r#"{"method":"something/new","params":{"threadId":"t1"}}"#,
        "garbage",
        "",
        r#"{"id":99,"result":{}}"#,
        r#"{"id":"theirs","error":{"code":-1,"message":"x"}}"#,
        r#"[1,2]"#,
        r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"u1","status":"failed","error":{"message":"m"}}}}"#,
    ]);
    assert_eq!(said.len(), 2);
    assert!(
        matches!(&said[0], What::ItemCompleted { body: types::ItemBody::Other { raw }, .. } if raw["beams"][0] == 1)
    );
    let error = TurnError::new(TurnErrorCode::Other, "m");
    assert!(matches!(&said[1], What::TurnEnded { outcome: Outcome::Failed(it), .. } if *it == error));
}

#[test]
fn errors_of_requests_are_told_apart() {
    let ask = |error: &str| {
        let (mut adapter, mut out) = (AppServer::new(None), Out::default());
        let thread = ThreadId::parse(SessionId::fresh().as_str()).unwrap();
        adapter.ask(AskId(5), Ask::ResumeThread { thread, spec: spec() }, Instant::now(), &mut out);
        adapter.line(1, format!(r#"{{"error":{error},"id":5}}"#).as_bytes(), Instant::now(), &mut out);
        match out.reports.pop() {
            Some((_, What::Answer(_, Err(error)))) => error,
            other => panic!("{other:?}"),
        }
    };
    let text = |text: &str| ask(&json!({"code": -32600, "message": text}).to_string());
    assert_eq!(text("thread not found: 019a"), AskError::NotLoaded);
    assert!(matches!(text("no rollout found for thread id 019a"), AskError::NoRecord(_)));
    assert!(matches!(text("failed to load rollout: rollout at /x is empty"), AskError::NoRecord(_)));
    assert!(matches!(text("thread 019a already has an active writer"), AskError::Held(_)));
    assert!(matches!(text("session 019a is archived. Run ..."), AskError::Refused(_)));
    let no_method = "Invalid request: unknown variant `thread/delete`, expected one of `initialize`, `thread/start`, `thread/resume`";
    assert_eq!(text(no_method), AskError::NotSupported);
    let no_word =
        "Invalid request: unknown variant `bogus`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`";
    assert_eq!(text(no_word), AskError::Refused(no_word.into()));
    assert_eq!(
        ask(
            r#"{"code":-32602,"message":"x","data":{"input_error_code":"input_too_large","max_chars":1048576,"actual_chars":1048600}}"#
        ),
        AskError::TooLarge { max: 1_048_576, actual: 1_048_600 }
    );
}

#[test]
fn a_question_waits_for_its_reply_and_an_unknown_one_is_refused() {
    let (mut adapter, mut out) = (AppServer::new(None), Out::default());
    adapter.line(
        1,
        br#"{"method":"item/commandExecution/requestApproval","id":3,"params":{"threadId":"t1","turnId":"u","itemId":"call_1","reason":"why","command":"ls","cwd":"/w"}}"#,
        Instant::now(),
        &mut out,
    );
    assert!(out.lines.is_empty());
    let Some((_, What::Approval(approval))) = out.reports.pop() else { panic!("no approval") };
    assert_eq!((approval.kind, approval.command.as_deref()), (types::ApprovalKind::Command, Some("ls")));
    adapter.reply(approval.request, Reply::Decide(types::Decision::Decline), &mut out);
    assert_eq!(sent(&out), [json!({"id": 3, "result": {"decision": "decline"}})]);

    out.lines.clear();
    adapter.line(1, br#"{"method":"item/tool/call","id":"x4","params":{"threadId":"t1"}}"#, Instant::now(), &mut out);
    assert_eq!(sent(&out)[0]["id"], "x4");
    assert!(sent(&out)[0]["error"]["message"].is_string());
    assert!(matches!(out.reports.pop(), Some((_, What::Warning(_)))));
}
