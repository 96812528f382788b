//! The double on the wire: what the adapters rely on, and what a crash leaves behind.
#![allow(clippy::expect_used, reason = "a test that cannot go on should say where")]

mod approvals;
mod compaction;
mod forks;
mod options;
mod record;
mod server;
mod steering;

use serde_json::{Value, json};

use crate::server::{Server, answer, methods, prompt};

#[test]
fn a_turn_has_the_measured_order() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let turn = server.turn(&thread, "hello");
    assert_eq!(
        methods(&turn),
        [
            "thread/started",
            "warning",
            "(reply)",
            "thread/status/changed",
            "turn/started",
            "item/started",
            "item/completed",
            "item/started",
            "item/agentMessage/delta",
            "item/completed",
            "thread/tokenUsage/updated",
            "account/rateLimits/updated",
            "thread/status/changed",
            "turn/completed",
        ]
    );
    assert_eq!(answer(&turn), "echo: hello");
    assert!(turn.iter().all(|message| message["jsonrpc"].is_null()));
}

#[test]
fn what_was_completed_survives_a_kill() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let (thread, unused) = (server.thread(), server.thread());
    server.turn(&thread, "one");
    server.request("turn/start", &prompt(&thread, "HANG"));
    server.until(|message| {
        message["method"] == "item/completed" && message["params"]["item"]["content"][0]["text"] == "HANG"
    });
    let mut second = Server::app(home.path(), &[]);
    let refused = second.ask("thread/resume", &json!({"threadId": thread}));
    assert_eq!(refused["error"]["message"], format!("thread {thread} already has an active writer"));
    server.kill();

    let mut server = Server::app(home.path(), &[]);
    let refused = server.ask("turn/start", &prompt(&thread, "x"));
    assert_eq!(refused["error"]["message"], format!("thread not found: {thread}"));
    let refused = server.ask("thread/resume", &json!({"threadId": unused}));
    assert_eq!(refused["error"]["message"], format!("no rollout found for thread id {unused}"));
    let resumed = server.ask("thread/resume", &json!({"threadId": thread, "approvalPolicy": "never"}));
    let turns = resumed["result"]["thread"]["turns"].as_array().expect("has turns");
    let statuses: Vec<&Value> = turns.iter().map(|turn| &turn["status"]).collect();
    assert_eq!(statuses, ["completed", "interrupted"]);
    let recalled = server.turn(&thread, "RECALL");
    assert_eq!(answer(&recalled), "user: one\nassistant: echo: one\nuser: HANG\ncount: 3");
}

#[test]
fn a_busy_turn_is_steered_and_an_interrupted_one_ends() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let first = server.ask("turn/start", &prompt(&thread, "HANG"));
    let second = server.ask("turn/start", &prompt(&thread, "HANG"));
    let id = &first["result"]["turn"]["id"];
    assert_eq!(*id, second["result"]["turn"]["id"]);
    let wrong = server.ask("turn/steer", &json!({"threadId": thread, "expectedTurnId": "x", "input": []}));
    assert_eq!(wrong["error"]["code"], -32600);
    server.ask("turn/interrupt", &json!({"threadId": thread, "turnId": id}));
    let ended = server.until(|message| message["method"] == "turn/completed").pop().expect("has ended");
    assert_eq!(ended["params"]["turn"]["status"], "interrupted");
    let idle = server.ask("turn/interrupt", &json!({"threadId": thread, "turnId": id}));
    assert_eq!(idle["error"]["message"], "no active turn to interrupt");
}

#[test]
fn an_approval_waits_for_its_answer() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[("FAKE_CODEX_FAULT", "approval")]);
    let thread = server.thread();
    server.request("turn/start", &prompt(&thread, "SAY:done"));
    let asked = server.until(|message| message["method"] == "item/commandExecution/requestApproval").pop();
    let id = &asked.expect("has asked")["id"];
    server.send(&json!({"id": id, "result": {"decision": "decline"}}));
    let turn = server.until(|message| message["method"] == "turn/completed");
    assert!(turn.iter().any(|message| message["params"]["item"]["status"] == "declined"));
    assert_eq!(answer(&turn), "done");
}

#[test]
fn a_fault_strikes_once_and_the_journal_tells_what_was_heard() {
    let home = tempfile::tempdir().expect("has a folder");
    let (once, log) = (home.path().join("once"), home.path().join("log"));
    let env = [
        ("FAKE_CODEX_FAULT", "exit-at-turn:user,overloaded:1"),
        ("FAKE_CODEX_FAULT_ONCE", once.to_str().expect("is text")),
        ("FAKE_CODEX_LOG", log.to_str().expect("is text")),
    ];
    let mut server = Server::app(home.path(), &env);
    assert_eq!(server.ask("thread/start", &json!({}))["error"]["code"], -32001);
    let thread = server.thread();
    server.request("turn/start", &prompt(&thread, "lost"));
    assert_eq!(server.child.wait().expect("ends").code(), Some(1));

    let mut server = Server::app(home.path(), &env);
    server.ask("model/list", &json!({}));
    server.ask("thread/resume", &json!({"threadId": thread}));
    assert_eq!(answer(&server.turn(&thread, "again")), "echo: again");
    let journal = std::fs::read_to_string(&log).expect("has a journal");
    let lines: Vec<Value> = journal.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines[0]["env"].as_array().is_some_and(|names| names.contains(&json!("CODEX_HOME"))));
    let turns = lines.iter().filter(|line| line["method"] == "turn/start").count();
    assert_eq!(turns, 2);
}

#[test]
fn the_removed_server_answers_last_and_forgets() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::start(home.path(), &["mcp-server"], &[("FAKE_CODEX_VERSION", "0.153.4")]);
    server.ask("initialize", &json!({"protocolVersion": "2025-06-18", "clientInfo": {"name": "t", "version": "1"}}));
    let id = server.request("tools/call", &json!({"name": "codex", "arguments": {"prompt": "hello"}}));
    let messages = server.until(|message| message["id"] == id);
    assert_eq!(messages[0]["params"]["msg"]["type"], "session_configured");
    assert_eq!(messages[messages.len() - 2]["params"]["msg"]["type"], "task_complete");
    assert_eq!(messages[messages.len() - 1]["result"]["structuredContent"]["content"], "echo: hello");
    let lost = json!({"name": "codex-reply", "arguments": {"prompt": "x", "threadId": "gone"}});
    let lost = server.ask("tools/call", &lost);
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(lost["result"]["content"][0]["text"], "Session not found for thread_id: gone");
}
