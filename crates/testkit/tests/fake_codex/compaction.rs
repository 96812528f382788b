//! Compactions and removed threads.

use serde_json::{Value, json};

use crate::server::{Server, answer, methods, prompt};

/// Asks for a compaction and waits for its end.
fn compact(server: &mut Server, thread: &str) -> Vec<Value> {
    server.request("thread/compact/start", &json!({"threadId": thread}));
    server.until(|message| message["method"] == "turn/completed")
}

fn status(turn: &[Value]) -> &Value {
    &turn.last().expect("has an end")["params"]["turn"]["status"]
}

fn inputs(turn: &[Value]) -> Vec<(u64, u64)> {
    let tokens = |message: &Value, which: &str| message["params"]["tokenUsage"][which]["inputTokens"].as_u64();
    turn.iter().filter_map(|message| Some((tokens(message, "total")?, tokens(message, "last")?))).collect()
}

#[test]
fn a_compaction_has_the_measured_order_and_leaves_the_user_s_words() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    server.turn(&thread, "one");
    let turn = compact(&mut server, &thread);
    assert_eq!(
        methods(&turn),
        [
            "(reply)",
            "thread/status/changed",
            "turn/started",
            "item/started",
            "thread/tokenUsage/updated",
            "thread/tokenUsage/updated",
            "account/rateLimits/updated",
            "thread/tokenUsage/updated",
            "item/completed",
            "thread/status/changed",
            "turn/completed",
        ]
    );
    assert_eq!(turn[0]["result"], json!({}));
    assert_eq!(turn[3]["params"]["item"]["type"], "contextCompaction");
    assert_eq!(turn[3]["params"]["item"]["id"], turn[8]["params"]["item"]["id"]);
    assert_eq!(inputs(&turn), [(100, 100), (200, 100), (200, 0)]);
    assert_eq!(status(&turn), "completed");
    let recalled = "user: one\nsummary: summary of 2 messages\ncount: 2";
    assert_eq!(answer(&server.turn(&thread, "RECALL")), recalled);
    server.kill();
    let mut server = Server::app(home.path(), &[]);
    server.ask("thread/resume", &json!({"threadId": thread}));
    let again = answer(&server.turn(&thread, "RECALL")).to_owned();
    assert!(again.starts_with("user: one\nsummary: summary of 2 messages\nuser: RECALL\n"), "{again}");
}

#[test]
fn a_new_thread_is_compacted_too_and_an_unloaded_one_is_not() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let turn = compact(&mut server, &thread);
    assert_eq!((inputs(&turn), status(&turn)), (vec![(100, 100), (100, 0)], &json!("completed")));
    let unknown = "01a205bd-5e67-70b0-a56a-cb0f644e33c6";
    let refused = server.ask("thread/compact/start", &json!({"threadId": unknown}));
    assert_eq!(refused["error"]["message"], format!("thread not found: {unknown}"));
}

#[test]
fn a_compaction_fails_as_it_is_told() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    server.turn(&thread, "one\nCOMPACT:FAIL:500");
    let turn = compact(&mut server, &thread);
    assert_eq!(status(&turn), "failed");
    let error = &turn.last().expect("has an end")["params"]["turn"]["error"];
    assert_eq!(error["codexErrorInfo"], "internalServerError");
    assert!(!methods(&turn).contains(&"item/completed"));
    assert_eq!(answer(&server.turn(&thread, "after it")), "echo: after it");
}

#[test]
fn a_compaction_stops_the_turn_that_runs_and_takes_no_input() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    server.turn(&thread, "COMPACT:HANG");
    server.request("turn/start", &prompt(&thread, "HANG"));
    let stopped = compact(&mut server, &thread);
    assert_eq!(status(&stopped), "interrupted");
    let started = server.until(|message| message["method"] == "turn/started").pop().expect("goes on");
    let refused = server.ask("turn/start", &prompt(&thread, "too early"));
    assert_eq!(refused["error"]["code"], -32603);
    let turn = &started["params"]["turn"]["id"];
    server.ask("turn/interrupt", &json!({"threadId": thread, "turnId": turn}));
    let ended = server.until(|message| message["method"] == "turn/completed");
    assert_eq!(status(&ended), "interrupted");
    assert_eq!(ended.last().expect("has an end")["params"]["turn"]["id"], *turn);
}

#[test]
fn a_removed_thread_is_gone_for_good() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let (used, unused, busy) = (server.thread(), server.thread(), server.thread());
    server.turn(&used, "one");
    server.request("turn/start", &prompt(&busy, "HANG"));
    server.until(|message| message["params"]["item"]["type"] == "userMessage");
    let mut other = Server::app(home.path(), &[]);
    let refused = other.ask("thread/delete", &json!({"threadId": used}));
    assert_eq!(refused["error"]["message"], format!("thread {used} already has an active writer"));

    for (thread, told) in [
        (&used, &["(reply)", "thread/status/changed", "thread/deleted"][..]),
        (&unused, &["(reply)", "thread/status/changed", "thread/deleted"]),
        (&busy, &["(reply)", "thread/status/changed", "turn/completed", "thread/status/changed", "thread/deleted"]),
    ] {
        let id = server.request("thread/delete", &json!({"threadId": thread}));
        server.until(|message| message["id"] == id && message["result"] == json!({}));
        let after = server.until(|message| message["method"] == "thread/deleted");
        assert_eq!(methods(&after), told[1..]);
        let gone = format!("no rollout found for thread id {thread}");
        for method in ["thread/resume", "thread/delete"] {
            assert_eq!(server.ask(method, &json!({"threadId": thread}))["error"]["message"], gone);
        }
        let missing = server.ask("turn/start", &prompt(thread, "x"));
        assert_eq!(missing["error"]["message"], format!("thread not found: {thread}"));
    }
    // One that is not loaded.
    let thread = server.thread();
    server.turn(&thread, "one");
    server.kill();
    let mut server = Server::app(home.path(), &[]);
    assert_eq!(server.ask("thread/delete", &json!({"threadId": thread}))["result"], json!({}));
    assert!(server.ask("thread/resume", &json!({"threadId": thread}))["error"].is_object());
}
