//! Promises of this crate about bytes from outside, as functions that panic where one does not hold. `crates/fuzzed` says who calls them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is what a finding is")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::de::IgnoredAny;
use types::{ApprovalPolicy, AskId, InputPart, Sandbox, ThreadId, TurnId};

pub use crate::host::fuzzing::{host_frames, journal};
use crate::{
    Ask, ThreadSpec, TurnSpec,
    adapter::{Adapter, Out},
    app_server::AppServer,
    domain::What,
    mcp_server::McpServer,
    version::Version,
};

/// Whatever Codex writes, on either interface: each ask gets exactly one answer, and what goes to Codex is one JSON object a line.
pub fn codex_lines(data: &[u8]) {
    let adapters: [Box<dyn Adapter>; 2] =
        [Box::new(AppServer::new(Some(Version(0, 169, 0)))), Box::new(McpServer::new(Some(Version(0, 98, 0))))];
    for mut adapter in adapters {
        let (mut out, mut now) = (Out::default(), Instant::now());
        let asks = asks();
        let count = asks.len();
        for (id, ask) in (1..).zip(asks) {
            adapter.ask(AskId(id), ask, now, &mut out);
        }
        for (seq, line) in (1..).zip(data.split(|byte| *byte == b'\n')) {
            adapter.line(seq, line, now, &mut out);
            now += Duration::from_millis(1);
            adapter.tick(now, &mut out);
        }
        adapter.tick(now + Duration::from_secs(86_400), &mut out);
        adapter.gone(&mut out);
        let mut answers = BTreeMap::<i64, usize>::new();
        for (_, what) in &out.reports {
            if let What::Answer(id, _) = what {
                *answers.entry(id.0).or_default() += 1;
            }
        }
        for id in 1..=i64::try_from(count).unwrap() {
            assert_eq!(answers.get(&id), Some(&1), "ask {id}: {:?}", out.reports);
        }
        for line in &out.lines {
            assert!(!line.bytes.contains(&b'\n'), "{line:?}");
            // Not built as a value: that took an eighth of the time.
            let is_json = serde_json::from_slice::<IgnoredAny>(&line.bytes).is_ok();
            assert!(is_json && line.bytes.starts_with(b"{"), "{line:?}");
        }
    }
}

fn asks() -> Vec<Ask> {
    let thread = ThreadId::parse("t1").unwrap_or_else(|_| panic!("an id"));
    let spec = ThreadSpec {
        cwd: "/w".into(),
        model: None,
        sandbox: Sandbox::WorkspaceWrite,
        approval_policy: ApprovalPolicy::OnRequest,
        developer_instructions: None,
        config: serde_json::Map::new(),
    };
    let turn = TurnSpec {
        thread: Some(thread.clone()),
        input: vec![InputPart::Text { text: "p".into() }],
        model: None,
        effort: None,
        output_schema: None,
        turn: TurnId::fresh(),
        spec: spec.clone(),
    };
    vec![
        Ask::StartThread(spec.clone()),
        Ask::ResumeThread { thread: thread.clone(), spec },
        Ask::StartTurn(turn),
        Ask::Interrupt { thread, codex_turn: "u1".to_owned() },
    ]
}
