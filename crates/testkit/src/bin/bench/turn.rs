//! One turn: raw, and through codexd.

use std::{path::Path, time::Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use store::{Batch, NewEvent, NewSession, NewTurn, PendingAsk, Store, TurnChange, Write};
use testkit::{Lab, fake_codex, real_codex};
use types::{
    AgentId, ApprovalPolicy, EventName, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, Sandbox, Session,
    SessionId, Timestamp, TurnId, TurnStatus,
};

use crate::{
    raw::Raw,
    stats::{interval, median, ms},
};

/// After so many rounds every process is started afresh.
const BLOCK: usize = 40;
const FAKE_BLOCK: usize = 500;

/// Rounds that are not counted, at the start of each block.
const WARM_UP: usize = 3;

/// The real Codex: two raw processes, the second to see the noise, and codexd.
pub(crate) async fn real(codexd: &str, rounds: usize) -> Result<()> {
    let codex = real_codex()?;
    let times = rounds_of(codexd, &codex, rounds, BLOCK).await?;
    println!("\n### A turn on the real Codex ({rounds} rounds, fresh processes every {BLOCK})\n");
    table(&times);
    Ok(())
}

/// fake-codex, which answers at once: what is left is the bridge's own cost.
pub(crate) async fn fake(codexd: &str, rounds: usize) -> Result<()> {
    let times = rounds_of(codexd, &fake_codex()?, rounds, FAKE_BLOCK).await?;
    println!("\n### A turn on fake-codex ({rounds} rounds, fresh processes every {FAKE_BLOCK})\n");
    table(&times);
    let commits = commits().await?;
    println!(
        "\nWhere it goes: the two commits of such a turn take {commits:.2} ms by themselves (median of 500 pairs, each commit after a pause of 2 ms, the same disk)."
    );
    Ok(())
}

/// Milliseconds of each arm, a round each.
struct Times {
    raw: Vec<f64>,
    second: Vec<f64>,
    bridge: Vec<f64>,
}

fn table(times: &Times) {
    let differences = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    println!("| | median ms | paired difference to raw, median ms | 95 % interval |");
    println!("|---|---|---|---|");
    println!("| raw `app-server` | {:.2} | | |", median(&times.raw));
    for (name, arm) in
        [("a second raw process (the noise)", &times.second), ("through `codexd`, history durable", &times.bridge)]
    {
        let difference = differences(arm, &times.raw);
        let (low, high) = interval(&difference);
        println!("| {name} | {:.2} | {:+.2} | {low:+.2} .. {high:+.2} |", median(arm), median(&difference));
    }
}

async fn rounds_of(codexd: &str, codex: &Path, rounds: usize, block: usize) -> Result<Times> {
    let mut times = Times { raw: Vec::new(), second: Vec::new(), bridge: Vec::new() };
    while times.raw.len() < rounds {
        let lab = Lab::new(codexd).await?;
        let mut first = Raw::start(codex, &lab.codex_home, &lab.project).await?;
        let mut second = Raw::start(codex, &lab.codex_home, &lab.project).await?;
        let daemon = lab.serve_with(codex, &[], &[("CODEXD_LOG", "warn")]).await?;
        let (session, _) = daemon.start("hello").await?;
        first.turn("hello", &lab.project).await?;
        second.turn("hello", &lab.project).await?;
        for round in 0..block + WARM_UP {
            let mut took = [0.0; 3];
            for place in 0..3 {
                let arm = (round + place) % 3;
                let begin = Instant::now();
                match arm {
                    0 => drop(first.turn("hello", &lab.project).await?),
                    1 => drop(second.turn("hello", &lab.project).await?),
                    _ => drop(daemon.go_on(&session, "hello").await?),
                }
                took[arm] = ms(begin.elapsed());
            }
            if round >= WARM_UP {
                times.raw.push(took[0]);
                times.second.push(took[1]);
                times.bridge.push(took[2]);
            }
        }
        daemon.stop().await?;
    }
    Ok(times)
}

/// How long the two commits of a turn take on this disk, one after the other with a pause as Codex would make: the prompt and what
/// Codex is to be asked; the answer and the end.
async fn commits() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let session =
        Session::new(SessionId::fresh(), "/".into(), Sandbox::ReadOnly, ApprovalPolicy::OnRequest, Timestamp::now());
    let first = NewSession {
        session: session.clone(),
        principal: Principal::Local,
        origin: Origin::Http,
        developer_instructions: None,
    };
    store.commit(Batch { writes: vec![Write::CreateSession(Box::new(first))] }).await?;
    let mut took = Vec::new();
    for _ in 0..500 {
        let (turn, at) = (TurnId::fresh(), Timestamp::now());
        let new = NewTurn {
            id: turn.clone(),
            session: session.id.clone(),
            prompt_item: ItemId::fresh(),
            prompt: "hello".to_owned(),
            kind: types::TurnKind::Prompt,
            options: types::TurnOptions::default(),
            retry_of: None,
            principal: Principal::Local,
            origin: Origin::Http,
            created_at: at,
        };
        let event = |name| {
            let (session, turn) = (Some(session.id.clone()), Some(turn.clone()));
            Write::AddEvent(Box::new(NewEvent { name, at, session, turn, item: None, detail: None }))
        };
        let ask = store.next_ask();
        let pending = PendingAsk {
            thread: None,
            id: ask,
            agent: AgentId::fresh(),
            session: session.id.clone(),
            turn: Some(turn.clone()),
            meaning: "turn".to_owned(),
            at,
        };
        let begin = vec![
            Write::CreateTurn(Box::new(new)),
            event(EventName::TurnQueued),
            event(EventName::TurnStarted),
            Write::AddAsk(Box::new(pending)),
        ];
        let body = ItemBody::AgentMessage { text: "echo: hello".to_owned() };
        let item = Item { id: ItemId::fresh(), status: ItemStatus::Completed, at, body };
        let ended = TurnChange { status: Some(TurnStatus::Completed), ended_at: Some(at), ..TurnChange::default() };
        let end = vec![
            Write::SettleAsk(ask),
            Write::PutItem { session: session.id.clone(), turn: turn.clone(), item: Box::new(item), codex_id: None },
            event(EventName::ItemCompleted),
            Write::UpdateTurn { id: turn.clone(), change: Box::new(ended) },
            event(EventName::TurnCompleted),
        ];
        let mut both = 0.0;
        for writes in [begin, end] {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            let began = Instant::now();
            store.commit(Batch { writes }).await?;
            both += ms(began.elapsed());
        }
        took.push(both);
    }
    store.close().await;
    Ok(median(&took))
}

/// 64 sessions at once on fake-codex: what group commit is for.
pub(crate) async fn throughput(codexd: &str) -> Result<()> {
    const SESSIONS: usize = 64;
    const TURNS: usize = 100;
    let lab = Lab::new(codexd).await?;
    let daemon = lab.serve_with(&fake_codex()?, &[], &[("CODEXD_LOG", "warn")]).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(daemon.start("hello").await?.0);
    }
    let begin = Instant::now();
    let work = sessions.into_iter().map(|session| {
        let client = daemon.client.clone();
        tokio::spawn(async move {
            for _ in 0..TURNS {
                let body = json!({"sessionId": session, "prompt": "hello"}).to_string();
                let limit = std::time::Duration::from_secs(60);
                let (status, _) = client.request("POST".parse()?, "/continue", Some(body.into()), limit).await?;
                ensure!(status.as_u16() == 200);
            }
            Ok(())
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await??;
    }
    let rate = (SESSIONS * TURNS) as f64 / begin.elapsed().as_secs_f64();
    println!(
        "\n{SESSIONS} sessions at once on fake-codex: {rate:.0} turns/s, each with its history on disk (client, daemon and fake-codex share the machine)."
    );
    daemon.stop().await
}
