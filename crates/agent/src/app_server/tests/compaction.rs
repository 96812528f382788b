//! What a compaction says, and that tokens are counted once.

use super::*;

const REPLY: &str = r#"{"id":3,"result":{}}"#;

/// An adapter that has asked for a compaction of `t1`, and has resumed or made it before.
fn asked(version: Version, new: bool) -> AppServer {
    let (mut adapter, mut out) = (AppServer::new(Some(version)), Out::default());
    let thread = ThreadId::parse("t1").unwrap();
    let open = if new { Ask::StartThread(spec()) } else { Ask::ResumeThread { thread: thread.clone(), spec: spec() } };
    adapter.ask(AskId(1), open, Instant::now(), &mut out);
    let opened = br#"{"id":1,"result":{"thread":{"id":"t1"},"model":"m","reasoningEffort":null,"approvalPolicy":"on-request","sandbox":{"type":"readOnly"}}}"#;
    adapter.line(1, opened, Instant::now(), &mut out);
    out.lines.clear();
    adapter.ask(AskId(3), Ask::Compact { thread }, Instant::now(), &mut out);
    let sent = json!({"id": 3, "method": "thread/compact/start", "params": {"threadId": "t1"}});
    assert_eq!(super::sent(&out), [sent]);
    adapter
}

fn hear(adapter: &mut AppServer, lines: &[&str]) -> Vec<What> {
    let mut out = Out::default();
    for line in lines {
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    }
    out.reports.into_iter().map(|(_, what)| what).collect()
}

fn tokens(said: &[What]) -> Vec<u64> {
    let input = |what: &What| if let What::Usage(usage) = what { Some(usage.input_tokens) } else { None };
    said.iter().filter_map(input).collect()
}

#[test]
fn a_compaction_as_0_169_tells_it() {
    let mut adapter = asked(Version(0, 169, 0), false);
    let said = hear(
        &mut adapter,
        &[
            r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"old","tokenUsage":{"total":{"totalTokens":43628,"inputTokens":43600,"cachedInputTokens":43591,"cacheWriteInputTokens":0,"outputTokens":28,"reasoningOutputTokens":0},"last":{"totalTokens":11053,"inputTokens":11037,"cachedInputTokens":11035,"cacheWriteInputTokens":0,"outputTokens":16,"reasoningOutputTokens":0},"modelContextWindow":258400}},"emittedAtMs":1}"#,
            REPLY,
            r#"{"method":"turn/started","params":{"threadId":"t1","turn":{"id":"u1","rootTurnId":"u1","items":[],"itemsView":"notLoaded","status":"inProgress","error":null,"startedAt":1,"completedAt":null,"durationMs":null}},"emittedAtMs":1}"#,
            r#"{"method":"item/started","params":{"item":{"type":"contextCompaction","id":"c1","startedAtMs":1,"completedAtMs":null},"threadId":"t1","turnId":"u1","startedAtMs":1},"emittedAtMs":1}"#,
            r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"u1","tokenUsage":{"total":{"totalTokens":43628,"inputTokens":43600,"cachedInputTokens":43591,"cacheWriteInputTokens":0,"outputTokens":28,"reasoningOutputTokens":0},"last":{"totalTokens":11053,"inputTokens":11037,"cachedInputTokens":11035,"cacheWriteInputTokens":0,"outputTokens":16,"reasoningOutputTokens":0},"modelContextWindow":258400}},"emittedAtMs":1}"#,
            r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"u1","tokenUsage":{"total":{"totalTokens":50660,"inputTokens":50626,"cachedInputTokens":50510,"cacheWriteInputTokens":0,"outputTokens":34,"reasoningOutputTokens":0},"last":{"totalTokens":7032,"inputTokens":7026,"cachedInputTokens":6919,"cacheWriteInputTokens":0,"outputTokens":6,"reasoningOutputTokens":0},"modelContextWindow":258400}},"emittedAtMs":1}"#,
            r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"u1","tokenUsage":{"total":{"totalTokens":50660,"inputTokens":50626,"cachedInputTokens":50510,"cacheWriteInputTokens":0,"outputTokens":34,"reasoningOutputTokens":0},"last":{"totalTokens":6955,"inputTokens":0,"cachedInputTokens":0,"cacheWriteInputTokens":0,"outputTokens":0,"reasoningOutputTokens":0},"modelContextWindow":258400}},"emittedAtMs":1}"#,
            r#"{"method":"item/completed","params":{"item":{"type":"contextCompaction","id":"c1","startedAtMs":1,"completedAtMs":2},"threadId":"t1","turnId":"u1","contentTokenCount":null,"completedAtMs":2},"emittedAtMs":2}"#,
            r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"u1","rootTurnId":"u1","items":[],"itemsView":"notLoaded","status":"completed","error":null,"startedAt":1,"completedAt":2,"durationMs":24}},"emittedAtMs":2}"#,
        ],
    );
    assert_eq!(said[0], What::Answer(AskId(3), Ok(Answer::Done)));
    assert_eq!(said[1], What::TurnStarted { codex_turn: "u1".into() });
    assert!(matches!(&said[2], What::ItemStarted { codex_id, .. } if codex_id == "c1"));
    assert_eq!(tokens(&said), [7026]);
    assert!(matches!(&said[4], What::ItemCompleted { codex_id, .. } if codex_id == "c1"));
    let end = What::TurnEnded { codex_turn: Some("u1".into()), outcome: Outcome::Completed, last_message: None };
    assert_eq!(said[5..], [end]);
}

#[test]
fn a_compaction_of_0_98_begins_with_its_item() {
    let item = r#"{"method":"item/started","params":{"item":{"type":"contextCompaction","id":"c1"},"threadId":"t1","turnId":"0"}}"#;
    let old = r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"0","tokenUsage":{"total":{"totalTokens":41961,"inputTokens":41823,"cachedInputTokens":41605,"outputTokens":138,"reasoningOutputTokens":0},"last":{"totalTokens":9186,"inputTokens":9068,"cachedInputTokens":9067,"outputTokens":118,"reasoningOutputTokens":0},"modelContextWindow":null}}}"#;
    let new = r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t1","turnId":"0","tokenUsage":{"total":{"totalTokens":51243,"inputTokens":51099,"cachedInputTokens":50775,"outputTokens":144,"reasoningOutputTokens":0},"last":{"totalTokens":9282,"inputTokens":9276,"cachedInputTokens":9170,"outputTokens":6,"reasoningOutputTokens":0},"modelContextWindow":null}}}"#;
    let end = r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"0","items":[],"status":"interrupted","error":null}}}"#;
    let begun = What::TurnStarted { codex_turn: "0".into() };

    let said = hear(&mut asked(Version(0, 98, 0), false), &[REPLY, item, old, new, end]);
    assert_eq!(said[1], begun);
    assert!(matches!(said[2], What::ItemStarted { .. }));
    assert_eq!(tokens(&said), [9276]);
    assert!(matches!(said.last(), Some(What::TurnEnded { outcome: Outcome::Interrupted, .. })));

    // Stopped before its first word.
    let said = hear(&mut asked(Version(0, 98, 0), false), &[REPLY, end, item]);
    assert_eq!(said[1], begun);
    assert!(matches!(said[2], What::TurnEnded { .. }));
    assert_eq!(said.iter().filter(|what| **what == begun).count(), 1);
}

#[test]
fn a_new_thread_s_first_request_counts_and_a_stopped_turn_s_repetition_does_not() {
    let note = |turn: &str, total: u64, last: u64| {
        let tokens = |n: u64| json!({"totalTokens": n, "inputTokens": n, "outputTokens": 0});
        json!({"method": "thread/tokenUsage/updated", "params": {"threadId": "t1", "turnId": turn,
            "tokenUsage": {"total": tokens(total), "last": tokens(last), "modelContextWindow": null}}})
        .to_string()
    };
    let mut adapter = asked(Version(0, 169, 0), true);
    let lines = [note("u1", 100, 100), note("u1", 100, 100), note("u2", 250, 150), note("u3", 250, 150)];
    let said = hear(&mut adapter, &lines.each_ref().map(String::as_str));
    assert_eq!(tokens(&said), [100, 150]);
    // The only request of a resumed thread is told with the resume, under its own turn.
    let mut adapter = asked(Version(0, 169, 0), false);
    let said = hear(&mut adapter, &[&note("old", 100, 100), &note("u1", 220, 120)]);
    assert_eq!(tokens(&said), [120]);
}
