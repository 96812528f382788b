//! What is on record of a turn that a death cut off, as measured on 0.153.4 and 0.169.0.

use serde_json::{Value, json};

use crate::server::{Server, answer, prompt};

/// A thread whose last turn was cut off at this step; and its record after a resume.
fn cut_off(step: &str, first: bool) -> (tempfile::TempDir, Server, String, Vec<Value>) {
    let home = tempfile::tempdir().expect("has a folder");
    let fault = format!("exit-at-turn:{step}");
    let mut server = Server::app(home.path(), &[("FAKE_CODEX_FAULT", &fault), ("FAKE_CODEX_FAULT_IN", "STRIKE")]);
    let thread = server.thread();
    if !first {
        server.turn(&thread, "one");
    }
    let mut turn = prompt(&thread, "SAY:x\nSTRIKE");
    turn["clientUserMessageId"] = json!("ours");
    server.request("turn/start", &turn);
    server.child.wait().expect("ends");
    let mut server = Server::app(home.path(), &[]);
    server.ask("thread/resume", &json!({"threadId": thread, "excludeTurns": true}));
    let turns = list(&mut server, &thread);
    (home, server, thread, turns)
}

fn list(server: &mut Server, thread: &str) -> Vec<Value> {
    let page = server.ask("thread/turns/list", &json!({"threadId": thread, "limit": 5, "itemsView": "full"}));
    page["result"]["data"].as_array().cloned().unwrap_or_default()
}

#[test]
fn the_record_shows_how_far_a_turn_came() {
    for (step, shown, items) in
        [("reply", false, 0), ("started", true, 0), ("user", true, 1), ("answer", true, 2), ("completed", true, 2)]
    {
        for first in [true, false] {
            let (_home, _server, _, turns) = cut_off(step, first);
            assert_eq!(turns.len(), usize::from(shown) + usize::from(!first), "{step}");
            let Some(last) = turns.first().filter(|_| shown) else { continue };
            assert_eq!(last["status"], if step == "completed" { "completed" } else { "interrupted" }, "{step}");
            let found = last["items"].as_array().expect("has items");
            assert_eq!(found.len(), items, "{step}");
            assert!(found.first().is_none_or(|prompt| prompt["clientId"] == "ours"), "{step}");
        }
    }
}

#[test]
fn what_is_remembered_without_a_record_can_be_taken_out() {
    let (home, mut server, thread, turns) = cut_off("heard", false);
    assert_eq!((turns.len(), &turns[0]["items"]), (2, &json!([])));
    assert!(answer(&server.turn(&thread, "RECALL")).contains("STRIKE"), "it is remembered");
    let wrong = server.ask("thread/revert", &json!({"threadId": thread, "beforeTurnId": "x"}));
    assert_eq!(wrong["error"]["message"], "turn not found: x");
    let params = json!({"threadId": thread, "beforeTurnId": turns[0]["id"]});
    assert!(server.ask("thread/revert", &params)["result"]["thread"].is_object());
    assert_eq!(list(&mut server, &thread).len(), 1);
    let left = "user: one\nassistant: echo: one\ncount: 2";
    assert_eq!(answer(&server.turn(&thread, "RECALL")), left);
    server.kill();
    let mut server = Server::app(home.path(), &[]);
    server.ask("thread/resume", &json!({"threadId": thread}));
    assert!(!answer(&server.turn(&thread, "RECALL")).contains("STRIKE"), "for good");
}

#[test]
fn turns_come_in_pages_with_as_much_of_them_as_is_asked_for() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    for text in ["one", "RUN:true", "three"] {
        server.turn(&thread, text);
    }
    let page = server.ask("thread/turns/list", &json!({"threadId": thread, "limit": 2}));
    let turns = page["result"]["data"].as_array().expect("has turns");
    let kinds = |turn: &Value| -> Vec<String> {
        let items = turn["items"].as_array().into_iter().flatten();
        items.filter_map(|item| item["type"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!((turns.len(), kinds(&turns[1])), (2, vec!["userMessage".to_owned(), "agentMessage".to_owned()]));
    let next = json!({"threadId": thread, "limit": 2, "cursor": page["result"]["nextCursor"]});
    let rest = server.ask("thread/turns/list", &next);
    assert_eq!(rest["result"]["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["result"]["nextCursor"], Value::Null);
    let all = json!({"threadId": thread, "turnId": turns[1]["id"], "limit": 2});
    let page = server.ask("thread/items/list", &all);
    assert_eq!(page["result"]["data"][1]["item"]["type"], "commandExecution");
    assert_eq!(page["result"]["nextCursor"], "2");
    let unknown = "01a21e1e-e532-7ea0-a5dc-81010a82d92f";
    let refused = server.ask("thread/turns/list", &json!({"threadId": unknown}));
    assert_eq!(refused["error"]["message"], format!("thread not loaded: {unknown}"));
}
