//! More input for a turn that runs.

use serde_json::{Value, json};

use crate::server::{Server, answer, methods, prompt};

fn steer(server: &mut Server, thread: &str, turn: &Value, text: &str) -> Value {
    let input = json!([{"type": "text", "text": text}]);
    server.ask("turn/steer", &json!({"threadId": thread, "expectedTurnId": turn, "input": input}))
}

#[test]
fn a_message_is_cut_and_the_turn_goes_on_with_the_input() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let started = server.ask("turn/start", &prompt(&thread, "SLOW:1000:20"));
    let id = &started["result"]["turn"]["id"];
    server.until(|message| message["method"] == "item/agentMessage/delta");
    let request = json!({"threadId": thread, "expectedTurnId": id, "input": [{"type": "text", "text": "SAY:other"}],
        "clientUserMessageId": "c1"});
    let steered = server.request("turn/steer", &request);
    let turn = server.until(|message| message["method"] == "turn/completed");
    let replied = turn.iter().position(|message| message["id"] == steered).expect("is answered");
    assert_eq!(turn[replied]["result"], json!({"turnId": id}));
    let turn = &turn[replied..];
    let heard: Vec<&Value> = turn.iter().filter(|message| message["params"]["item"]["type"] == "userMessage").collect();
    assert_eq!((heard.len(), &heard[1]["params"]["item"]["clientId"]), (2, &json!("c1")));
    assert_eq!(
        turn.iter().filter(|message| message["method"] == "item/completed").count(),
        2,
        "the cut one is not completed"
    );
    assert_eq!(answer(turn), "other");
    assert_eq!(
        answer(&server.turn(&thread, "RECALL")),
        "user: SLOW:1000:20\nuser: SAY:other\nassistant: other\ncount: 3"
    );
}

#[test]
fn input_for_no_turn_and_no_input_are_refused() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let refused = |answer: Value| answer["error"]["message"].as_str().expect("is refused").to_owned();
    assert_eq!(refused(steer(&mut server, &thread, &json!("x"), "y")), "no active turn to steer");
    let started = server.ask("turn/start", &prompt(&thread, "HANG"));
    let id = started["result"]["turn"]["id"].as_str().expect("has an id").to_owned();
    let other = format!("expected active turn id `x` but found `{id}`");
    assert_eq!(refused(steer(&mut server, &thread, &json!("x"), "y")), other);
    let empty = server.ask("turn/steer", &json!({"threadId": thread, "expectedTurnId": id, "input": []}));
    assert_eq!(refused(empty), "input must not be empty");
    let unknown = "01a205bd-5e67-70b0-a56a-cb0f644e33c6";
    assert_eq!(refused(steer(&mut server, unknown, &json!(id), "y")), format!("thread not found: {unknown}"));
}

#[test]
fn a_turn_that_waits_takes_the_input_after_the_answer_or_never() {
    for decision in ["accept", "cancel"] {
        let home = tempfile::tempdir().expect("has a folder");
        let mut server = Server::app(home.path(), &[("FAKE_CODEX_FAULT", "approval")]);
        let thread = server.thread();
        let started = server.ask("turn/start", &prompt(&thread, "one"));
        let asked = server.until(|message| message["method"] == "item/commandExecution/requestApproval");
        let question = &asked.last().expect("has asked")["id"];
        let steered = steer(&mut server, &thread, &started["result"]["turn"]["id"], "SAY:two");
        assert!(steered["result"]["turnId"].is_string());
        server.send(&json!({"id": question, "result": {"decision": decision}}));
        let turn = server.until(|message| message["method"] == "turn/completed");
        let items: Vec<&Value> = turn.iter().map(|message| &message["params"]["item"]["type"]).collect();
        let heard = items.iter().position(|kind| *kind == "userMessage");
        if decision == "accept" {
            let done = items.iter().position(|kind| *kind == "commandExecution").expect("is done");
            assert!(heard.is_some_and(|heard| done < heard), "{:?}", methods(&turn));
        } else {
            assert_eq!(heard, None);
        }
    }
}
