//! Questions before a step, and what each decision does, in the measured order.

use serde_json::{Value, json};

use crate::server::{Server, answer, methods};

/// The prompt of a turn that may write in `/w` and asks for more.
fn may_ask(thread: &str, text: &str) -> Value {
    json!({"threadId": thread, "input": [{"type": "text", "text": text}], "cwd": "/w", "approvalPolicy": "on-request",
        "sandboxPolicy": {"type": "workspaceWrite"}})
}

fn thread(server: &mut Server) -> String {
    let started = server.ask("thread/start", &json!({"cwd": "/w", "sandbox": "read-only"}));
    started["result"]["thread"]["id"].as_str().expect("has an id").to_owned()
}

/// Begins the turn; everything up to the question, or to the end of a turn that does not ask.
fn begin(server: &mut Server, turn: &Value) -> Vec<Value> {
    server.request("turn/start", turn);
    server.until(|message| is_question(message) || message["method"] == "turn/completed")
}

fn is_question(message: &Value) -> bool {
    message["method"].is_string() && !message["id"].is_null()
}

/// Answers the question that stands at the end, and reads on to the end of the turn.
fn decide(server: &mut Server, asked: &[Value], decision: &str) -> Vec<Value> {
    let question = asked.last().filter(|message| is_question(message)).expect("has asked");
    server.send(&json!({"id": question["id"], "result": {"decision": decision}}));
    server.until(|message| message["method"] == "turn/completed")
}

/// What a turn tells without its tokens and its messages: methods, and the status of items.
fn steps(turn: &[Value]) -> Vec<String> {
    let of_step = |message: &&Value| {
        let method = message["method"].as_str().unwrap_or_default();
        let kind = message["params"]["item"]["type"].as_str();
        let told = ["oken", "account", "diff", "delta"].iter().any(|part| method.contains(part));
        !told && !matches!(kind, Some("agentMessage" | "userMessage"))
    };
    let told = |message: &Value| {
        let status =
            message["params"]["item"]["status"].as_str().or_else(|| message["params"]["turn"]["status"].as_str());
        format!("{} {}", message["method"].as_str().unwrap_or("(reply)"), status.unwrap_or("-"))
    };
    turn.iter().filter(of_step).map(told).collect()
}

const ESCALATE: &str = "ESCALATE:echo hi";
const OUTSIDE: &str = "PATCH:/elsewhere/p.txt:hello";

#[test]
fn a_question_tells_all_that_the_real_one_does() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = thread(&mut server);
    let asked = begin(&mut server, &may_ask(&thread, ESCALATE));
    let order = methods(&asked);
    assert_eq!(
        order[order.len() - 3..],
        ["thread/status/changed", "item/started", "item/commandExecution/requestApproval"]
    );
    let question = &asked.last().expect("has asked")["params"];
    assert_eq!(question["command"], "/bin/bash -lc 'echo hi'");
    assert_eq!(question["itemId"], asked[asked.len() - 2]["params"]["item"]["id"]);
    assert_eq!(question["reason"], "the fake model wants it");
    assert_eq!(question["proposedExecpolicyAmendment"], json!(["echo", "hi"]));
    decide(&mut server, &asked, "decline");

    let asked = begin(&mut server, &may_ask(&thread, OUTSIDE));
    let order = methods(&asked);
    assert_eq!(order[order.len() - 3..], ["item/started", "thread/status/changed", "item/fileChange/requestApproval"]);
    let question = &asked.last().expect("has asked")["params"];
    let names: Vec<&str> = question.as_object().expect("has fields").keys().map(String::as_str).collect();
    assert_eq!(names, ["grantRoot", "itemId", "reason", "startedAtMs", "threadId", "turnId"]);
    decide(&mut server, &asked, "decline");

    let mut untrusted = may_ask(&thread, "RUN:ls\nPATCH:in.txt:x");
    untrusted["approvalPolicy"] = json!("untrusted");
    let asked = begin(&mut server, &untrusted);
    assert!(asked.last().expect("has asked")["params"].get("reason").is_none());
}

#[test]
fn each_decision_does_what_was_measured() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let (resolved, status) = ("serverRequest/resolved -", "thread/status/changed -");
    let item = |status: &str| format!("item/completed {status}");
    let done = |status: &str| format!("turn/completed {status}");
    let rejected = "ran: exec_command failed: CreateProcess { message: \"Rejected(\\\"rejected by user\\\")\" }";
    for (prompt, decision, told, said) in [
        (
            ESCALATE,
            "accept",
            vec![resolved, status, &item("completed"), status, &done("completed")],
            "ran: fake output of echo hi",
        ),
        (ESCALATE, "decline", vec![resolved, &item("declined"), status, status, &done("completed")], rejected),
        (ESCALATE, "cancel", vec![resolved, &item("declined"), status, status, &done("interrupted")], ""),
        (OUTSIDE, "accept", vec![resolved, status, &item("completed"), status, &done("completed")], "patched"),
        (
            OUTSIDE,
            "decline",
            vec![resolved, status, &item("declined"), status, &done("completed")],
            "patch failed: patch rejected by user",
        ),
        (OUTSIDE, "cancel", vec![resolved, status, status, &done("interrupted")], ""),
    ] {
        let thread = thread(&mut server);
        let asked = begin(&mut server, &may_ask(&thread, prompt));
        let turn = decide(&mut server, &asked, decision);
        assert_eq!(steps(&turn), told, "{prompt} {decision}");
        assert_eq!(answer(&turn), said, "{prompt} {decision}");
    }
}

#[test]
fn an_approval_for_the_session_is_for_that_command_or_file_alone() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = thread(&mut server);
    for (prompt, other) in [(ESCALATE, "ESCALATE:echo ho"), (OUTSIDE, "PATCH:/elsewhere/q.txt:hello")] {
        let asked = begin(&mut server, &may_ask(&thread, prompt));
        decide(&mut server, &asked, "acceptForSession");
        let again = begin(&mut server, &may_ask(&thread, prompt));
        assert_eq!(again.last().expect("has an end")["params"]["turn"]["status"], "completed");
        let asked = begin(&mut server, &may_ask(&thread, other));
        decide(&mut server, &asked, "decline");
    }
    server.kill();
    let mut server = Server::app(home.path(), &[]);
    server.ask("thread/resume", &json!({"threadId": thread}));
    assert!(is_question(begin(&mut server, &may_ask(&thread, ESCALATE)).last().expect("goes on")));
}

#[test]
fn an_interrupt_ends_a_question_after_the_turn_and_a_late_answer_does_nothing() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = thread(&mut server);
    let asked = begin(&mut server, &may_ask(&thread, ESCALATE));
    let question = asked.last().expect("has asked");
    server.request("turn/interrupt", &json!({"threadId": thread, "turnId": question["params"]["turnId"]}));
    let turn = server.until(|message| message["method"] == "serverRequest/resolved");
    assert_eq!(methods(&turn), ["(reply)", "thread/status/changed", "turn/completed", "serverRequest/resolved"]);
    assert_eq!(turn[3]["params"]["requestId"], question["id"]);
    server.send(&json!({"id": question["id"], "result": {"decision": "accept"}}));
    assert_eq!(answer(&server.turn(&thread, "after it")), "echo: after it");
}

#[test]
fn nothing_is_asked_where_the_policy_is_never() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = thread(&mut server);
    for (prompt, said) in [
        (OUTSIDE, "patch failed: patch rejected: writing outside of the project; rejected by user approval settings"),
        (ESCALATE, "ran: approval policy is Never; reject command"),
    ] {
        let mut turn = may_ask(&thread, prompt);
        turn["approvalPolicy"] = json!("never");
        let turn = begin(&mut server, &turn);
        assert!(answer(&turn).starts_with(said), "{}", answer(&turn));
    }
    let inside = begin(&mut server, &may_ask(&thread, "PATCH:in.txt:x"));
    assert_eq!(answer(&inside), "patched");
}

#[test]
fn a_person_is_asked_and_what_was_replied_is_told() {
    for (fault, method, reply) in [
        ("ask-input", "item/tool/requestUserInput", json!({"answers": {"colour": {"answers": ["red"]}}})),
        ("ask-permissions", "item/permissions/requestApproval", json!({"permissions": {}, "scope": "turn"})),
        ("ask-elicitation", "mcpServer/elicitation/request", json!({"action": "accept", "content": {"count": 3}})),
    ] {
        let home = tempfile::tempdir().expect("has a folder");
        let mut server = Server::app(home.path(), &[("FAKE_CODEX_FAULT", fault)]);
        let thread = thread(&mut server);
        let asked = begin(&mut server, &may_ask(&thread, "hello"));
        let question = asked.last().expect("has asked");
        assert_eq!(question["method"], method);
        server.send(&json!({"id": question["id"], "result": reply}));
        let turn = server.until(|message| message["method"] == "turn/completed");
        assert_eq!(turn[0]["method"], "serverRequest/resolved");
        assert_eq!(answer(&turn), format!("{}: {reply}", &fault["ask-".len()..]));
    }
}

/// The old server; the first call of a thread with this prompt, up to its question or its answer.
fn call(server: &mut Server, tool: &str, arguments: &Value) -> Vec<Value> {
    let id = server.request("tools/call", &json!({"name": tool, "arguments": arguments}));
    server.until(|message| is_question(message) || message["id"] == id)
}

fn events(messages: &[Value]) -> Vec<&str> {
    let of_step = |kind: &&str| kind.contains("patch") || kind.contains("exec") || kind.contains("aborted");
    messages.iter().filter_map(|message| message["params"]["msg"]["type"].as_str()).filter(of_step).collect()
}

#[test]
fn the_removed_server_asks_for_commands_and_changes() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::start(home.path(), &["mcp-server"], &[("FAKE_CODEX_VERSION", "0.153.4")]);
    server.ask("initialize", &json!({"protocolVersion": "2025-06-18", "clientInfo": {"name": "t", "version": "1"}}));
    let first = |text: &str| json!({"prompt": text, "cwd": "/w", "sandbox": "workspace-write"});
    for (prompt, kind, granted, denied) in [
        (ESCALATE, "exec-approval", &["exec_command_begin", "exec_command_end"][..], &[][..]),
        (OUTSIDE, "patch-approval", &["patch_apply_end"], &["patch_apply_end"]),
    ] {
        for (decision, told) in [("approved", granted), ("approved_for_session", granted), ("denied", denied)] {
            let asked = call(&mut server, "codex", &first(prompt));
            let question = asked.last().expect("has asked");
            assert_eq!(question["params"]["codex_elicitation"], kind);
            server.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"decision": decision}}));
            let ended = server.until(|message| !message["result"].is_null());
            assert_eq!(events(&ended), told, "{prompt} {decision}");
            let reply = json!({"prompt": prompt, "threadId": question["params"]["threadId"]});
            let again = call(&mut server, "codex-reply", &reply);
            assert_eq!(is_question(again.last().expect("goes on")), decision != "approved_for_session");
        }
        let asked = call(&mut server, "codex", &first(prompt));
        let question = asked.last().expect("has asked");
        server.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"decision": "abort"}}));
        let aborted = server.until(|message| message["params"]["msg"]["type"] == "turn_aborted");
        assert_eq!(events(&aborted), ["turn_aborted"]);
        // Its call is never answered: what comes next is the answer to something else.
        let pong = server.request("ping", &json!({}));
        assert_eq!(server.until(|message| !message["result"].is_null())[0]["id"], pong);
    }
}
