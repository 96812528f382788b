//! A server that was there before this adapter.

use std::time::Instant;

use types::{AskId, ItemBody, ThreadId};

use crate::{
    adapter::{Adapter as _, Out},
    domain::{AskError, AskKind, Outcome, PendingAsk, What},
    mcp_server::McpServer,
};

fn hears(adapter: &mut McpServer, seq: u64, line: &str) -> Vec<What> {
    let mut out = Out::default();
    adapter.line(seq, line.as_bytes(), Instant::now(), &mut out);
    out.reports.into_iter().map(|(_, what)| what).collect()
}

#[test]
fn a_turn_that_runs_goes_on_and_what_comes_again_means_the_same() {
    let mut out = Out::default();
    let ask = |id, what| PendingAsk { id: AskId(id), what, thread: ThreadId::parse("t1").ok() };
    let asks = vec![ask(7, AskKind::RunningTurn("7".to_owned())), ask(8, AskKind::StartTurn)];
    let mut adapter = McpServer::new(None);
    adapter.restore(asks, &["7".to_owned()].into(), Instant::now(), &mut out);
    let unheard = What::Answer(AskId(8), Err(AskError::Unsent));
    assert_eq!(out.reports.into_iter().map(|(_, what)| what).collect::<Vec<_>>(), [unheard]);

    let message =
        r#"{"method":"codex/event","params":{"_meta":{"requestId":7},"msg":{"type":"agent_message","message":"hi"}}}"#;
    let first = hears(&mut adapter, 40, message);
    let [What::ItemCompleted { codex_id, body: ItemBody::AgentMessage { .. }, .. }] = &first[..] else {
        panic!("{first:?}")
    };
    assert_eq!(codex_id, "message-40");
    assert_eq!(hears(&mut adapter, 40, message), first);

    let ended = hears(&mut adapter, 41, r#"{"id":7,"result":{"content":[{"type":"text","text":"hi"}]}}"#);
    let [What::TurnEnded { codex_turn: Some(turn), outcome: Outcome::Completed, last_message: Some(text) }] =
        &ended[..]
    else {
        panic!("{ended:?}")
    };
    assert_eq!((turn.as_str(), text.as_str()), ("7", "hi"));
}
