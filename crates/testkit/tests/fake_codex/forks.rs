//! Threads that remember another one.

use serde_json::{Value, json};

use crate::server::{Server, answer, methods, prompt};

fn fork(server: &mut Server, thread: &str) -> Value {
    server
        .ask("thread/fork", &json!({"threadId": thread, "cwd": "/", "sandbox": "read-only", "approvalPolicy": "never"}))
}

fn id(forked: &Value) -> String {
    forked["result"]["thread"]["id"].as_str().expect("has an id").to_owned()
}

#[test]
fn a_fork_remembers_all_and_the_original_nothing_of_it() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    server.turn(&thread, "one");
    let forked = fork(&mut server, &thread);
    let told = server.until(|message| message["method"] == "thread/started");
    assert_eq!((methods(&told), &told[0]["params"]["thread"]["turns"]), (vec!["thread/started"], &json!([])));
    let copy = id(&forked);
    assert_ne!(copy, thread);
    assert_eq!(forked["result"]["thread"]["forkedFromId"], thread);
    assert_eq!(forked["result"]["sandbox"]["type"], "readOnly");
    let past = "user: one\nassistant: echo: one\ncount: 2";
    assert_eq!(answer(&server.turn(&copy, "RECALL")), past);
    assert_eq!(answer(&server.turn(&thread, "RECALL")), past);
}

#[test]
fn a_fork_is_made_of_any_thread_by_any_process_and_is_there_for_good() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    server.turn(&thread, "one");
    server.request("turn/start", &prompt(&thread, "HANG"));
    server.until(|message| message["method"] == "item/completed" && message["params"]["item"]["type"] == "userMessage");
    let busy = "user: one\nassistant: echo: one\nuser: HANG\ncount: 3";
    let copy = id(&fork(&mut server, &thread));
    assert_eq!(answer(&server.turn(&copy, "RECALL")), busy);

    let mut other = Server::app(home.path(), &[]);
    let elsewhere = id(&fork(&mut other, &thread));
    let missing = other.ask("turn/start", &prompt(&thread, "x"));
    assert_eq!(missing["error"]["message"], format!("thread not found: {thread}"), "the original is not loaded by it");
    other.kill();
    let mut other = Server::app(home.path(), &[]);
    assert!(other.ask("thread/resume", &json!({"threadId": elsewhere}))["result"].is_object());
    assert_eq!(answer(&other.turn(&elsewhere, "RECALL")), busy);

    let unused = server.thread();
    let refused = fork(&mut server, &unused);
    assert_eq!(refused["error"]["message"], format!("no rollout found for thread id {unused}"));
    let misspelt = server.ask("thread/fork", &json!({"threadId": unused, "sandbox": "read-only", "cwdd": "/"}));
    assert_eq!(misspelt["error"]["code"], -32600);
}

#[test]
fn a_fork_has_the_model_that_it_is_given_and_not_that_of_a_turn() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let mut turn = prompt(&thread, "one");
    turn["model"] = json!("other");
    server.ask("turn/start", &turn);
    server.until(|message| message["method"] == "turn/completed");
    assert_eq!(fork(&mut server, &thread)["result"]["model"], "fake-model");
    let named = server.ask("thread/fork", &json!({"threadId": thread, "model": "named"}));
    assert_eq!(named["result"]["model"], "named");
}
