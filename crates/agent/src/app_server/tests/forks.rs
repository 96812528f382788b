//! Threads that remember another one.

use super::*;

fn fork(adapter: &mut AppServer, id: i64) -> Value {
    let mut out = Out::default();
    let ask = Ask::Fork { thread: ThreadId::parse("t1").unwrap(), spec: spec() };
    adapter.ask(AskId(id), ask, Instant::now(), &mut out);
    sent(&out).pop().unwrap()
}

fn hear(adapter: &mut AppServer, line: &str) -> Vec<(Route, What)> {
    let mut out = Out::default();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    out.reports
}

fn used(thread: &str, turn: &str, total: u64, last: u64) -> String {
    format!(
        r#"{{"method":"thread/tokenUsage/updated","params":{{"threadId":"{thread}","turnId":"{turn}","tokenUsage":{{"total":{{"totalTokens":{total},"inputTokens":{total}}},"last":{{"totalTokens":{last},"inputTokens":{last}}}}}}}}}"#
    )
}

const FORKED: &str = r#"{"id":2,"result":{"thread":{"id":"t2","forkedFromId":"t1","turns":[]},"model":"m","approvalPolicy":"on-request","sandbox":{"type":"readOnly","networkAccess":false},"reasoningEffort":null}}"#;

#[test]
fn a_fork_is_read_only_as_every_thread_that_is_opened() {
    for (version, turns) in [(Version(0, 169, 0), Some(true)), (Version(0, 98, 0), None)] {
        let mut adapter = AppServer::new(Some(version));
        let sent = fork(&mut adapter, 2);
        assert_eq!((&sent["method"], &sent["params"]["threadId"]), (&json!("thread/fork"), &json!("t1")));
        assert_eq!(sent["params"]["sandbox"], "read-only");
        assert_eq!(sent["params"]["approvalPolicy"], "on-request");
        assert_eq!(sent["params"].get("excludeTurns").and_then(Value::as_bool), turns);
        match hear(&mut adapter, FORKED).pop() {
            Some((_, What::Answer(AskId(2), Ok(Answer::Thread { thread: Some(thread), applied: Some(applied) })))) => {
                assert_eq!((thread.as_str(), applied.sandbox), ("t2", Ok(Sandbox::ReadOnly)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_thread_without_a_record_can_not_be_forked() {
    let mut adapter = AppServer::new(Some(Version(0, 169, 0)));
    fork(&mut adapter, 2);
    let said = hear(&mut adapter, r#"{"error":{"code":-32600,"message":"no rollout found for thread id t1"},"id":2}"#);
    assert!(matches!(&said[0].1, What::Answer(_, Err(AskError::NoRecord(_)))));
}

#[test]
fn the_first_request_of_a_fork_counts_and_its_past_does_not() {
    let started = r#"{"method":"turn/started","params":{"threadId":"t2","turn":{"id":"u9","status":"inProgress"}}}"#;
    let counts = |version, before: &[String], notes: &[String]| {
        let mut adapter = AppServer::new(Some(version));
        for line in before {
            hear(&mut adapter, line);
        }
        fork(&mut adapter, 2);
        hear(&mut adapter, FORKED);
        hear(&mut adapter, started);
        let said: Vec<_> = notes.iter().flat_map(|note| hear(&mut adapter, note)).collect();
        let tokens = |what: What| if let What::Usage(usage) = what { Some(usage.input_tokens) } else { None };
        said.into_iter().filter_map(|(_, what)| tokens(what)).collect::<Vec<_>>()
    };
    let new = Version(0, 169, 0);
    let request = [used("t2", "u9", 300, 100)];
    // The thread that it was made of is not loaded here; then, that it is.
    assert_eq!(counts(new, &[], &request), [100]);
    let loaded = [used("t1", "u1", 100, 100), used("t1", "u2", 200, 100)];
    assert_eq!(counts(new, &loaded, &request), [100]);
    // 0.98.0 repeats the past under the new turn.
    let repeated = [used("t2", "u9", 200, 100), used("t2", "u9", 300, 100)];
    assert_eq!(counts(Version(0, 98, 0), &[], &repeated), [100]);
    assert_eq!(counts(Version(0, 98, 0), &loaded, &repeated), [100]);
}
