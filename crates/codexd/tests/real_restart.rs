//! The daemon is killed in the middle of turns of the real Codex, and started again: the turns complete as if nothing had been.
#![cfg(unix)]

#[path = "common/real_codex_steps.rs"]
mod real_codex_steps;
#[path = "live/sse.rs"]
mod sse;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use real_codex_steps::{approve_all, is_step, parent, serve};
use serde_json::{Value, json};
use sse::{Client, Stream};
use testkit::{Daemon, Lab, eventually, fake_codex, real_codex, wire};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// A turn with everything: a command, a question, an answer in many pieces.
const LONG: &str = "RUN:echo one; sleep 0.3\nESCALATE:echo two\nSLOW:60:10";

/// How often each step is tried; more than the usual by `CODEXD_TEST_ROUNDS`.
fn rounds() -> u32 {
    std::env::var("CODEXD_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// The moments at which the daemon is killed: right after it told this.
const STEPS: [&str; 9] = [
    "turn.queued",
    "turn.started",
    "turn.delivered",
    "commandExecution",
    "approval.requested",
    "approval.resolved",
    "item.delta",
    "agentMessage",
    "turn.completed",
];

/// When the daemon is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Right after it told this.
    Told(&'static str),
    /// So long after the prompt was taken: in the middle of whatever it does then, which is most often a commit, because each thing that Codex
    /// says is one.
    After(Duration),
}

/// Each step in each round, and as many moments that have to do with nothing, spread over the length of a turn.
fn moments() -> Vec<Moment> {
    let told = STEPS.iter().flat_map(|step| (0..rounds()).map(|_| Moment::Told(step)));
    let count = rounds() * 9;
    let after = (0..count).map(|number| Moment::After(Duration::from_micros(u64::from(1_300_000 / count * number))));
    told.chain(after).collect()
}

/// So many prompts are given to one session, whose history Codex sends to the model each time.
const A_SESSION: usize = 30;

/// Codex remembers so many prompts of a session, each once.
async fn assert_remembers(daemon: &Daemon, session: &str, prompts: usize) -> Result<()> {
    let recalled = daemon.go_on(session, "RECALL").await?;
    assert_eq!(recalled.matches("This is ").count(), prompts, "each prompt once: {recalled}");
    Ok(())
}

fn door(daemon: &Daemon) -> wire::Door {
    wire::Door::Tcp(daemon.url.trim_start_matches("http://").trim_end_matches('/').to_owned())
}

/// Listens until the step, or until the turn has ended.
async fn listen(daemon: &Daemon, client: &mut Client, step: Option<&str>) -> Result<()> {
    let mut stream = Stream::open(&door(daemon), "/v1/events", Some(client.last())).await?;
    loop {
        let frame = stream.next().await?.context("the stream ended")?;
        client.hear(&frame);
        if step.is_some_and(|step| is_step(step, &frame)) {
            return Ok(());
        }
        if frame.name == "approval.requested" || frame.name == "approval.pending" {
            approve_all(daemon).await?;
        }
        if ["turn.completed", "turn.failed", "turn.interrupted"].contains(&frame.name.as_str()) {
            return Ok(());
        }
    }
}

async fn turn(daemon: &Daemon, id: &str) -> Result<Value> {
    let turn = daemon.get(&format!("/v1/turns/{id}?wait=60")).await?.body;
    ensure!(turn["endedAt"].is_string(), "{turn}\n{}", daemon.log());
    Ok(turn)
}

#[tokio::test]
async fn a_daemon_that_is_killed_at_any_step_of_a_turn_loses_nothing() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let mut daemon = serve(&lab).await?;
    let codex = daemon.agent().await?["pid"].clone();
    let (mut session, _) = daemon.start("SAY:begin").await?;
    let mut client = Client::default();
    let mut prompts = 0;
    for (number, moment) in moments().into_iter().enumerate() {
        if prompts == A_SESSION {
            assert_remembers(&daemon, &session, std::mem::take(&mut prompts)).await?;
            session = daemon.start("SAY:begin").await?.0;
        }
        let before = lab.model.request_count();
        let prompt = format!("{LONG}\nThis is {number}, {moment:?}");
        let path = format!("/v1/sessions/{session}/turns");
        let made = daemon.post(&path, json!({ "prompt": prompt })).await?.body;
        let id = made["turn"]["id"].as_str().with_context(|| format!("{made}"))?.to_owned();
        match moment {
            Moment::Told(step) => listen(&daemon, &mut client, Some(step)).await?,
            Moment::After(time) => {
                let answering = async {
                    loop {
                        approve_all(&daemon).await?;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                // That it is over is what is waited for.
                let _: Result<Result<()>, _> = tokio::time::timeout(time, answering).await;
            }
        }
        daemon.kill().await?;
        daemon = serve(&lab).await?;
        assert_eq!(daemon.agent().await?["pid"], codex, "{moment:?}: the same Codex goes on");
        // Nobody else answers what it asks.
        while daemon.get(&format!("/v1/turns/{id}")).await?.body["endedAt"].is_null() {
            approve_all(&daemon).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = turn(&daemon, &id).await?;
        assert_eq!(ended["status"], "completed", "{moment:?}: {ended}\n{}", daemon.log());
        assert_eq!(ended["delivery"], "yes", "{moment:?}: {ended}");
        let items = ended["items"].as_array().context("no items")?;
        let of_kind = |kind: &str| items.iter().filter(|item| item["kind"] == kind).count();
        assert_eq!(
            (of_kind("userMessage"), of_kind("commandExecution"), of_kind("agentMessage")),
            (1, 2, 1),
            "{moment:?}: {ended}"
        );
        assert!(items.iter().all(|item| item["status"] == "completed"), "{moment:?}: {ended}");
        let words = ended["answer"].as_str().map(|text| text.split_whitespace().count());
        assert_eq!(words, Some(60), "{moment:?}: {ended}");
        // Command, command, answer.
        assert_eq!(lab.model.request_count() - before, 3, "{moment:?}: each request to the model once");
        prompts += 1;
        if client.names.last().is_none_or(|name| name != "turn.completed") {
            listen(&daemon, &mut client, None).await?;
        }
    }
    // Whoever came back with the last id has what is told to one who was never away.
    let mut whole = Client::default();
    let mut stream = Stream::open(&door(&daemon), "/v1/events", Some(0)).await?;
    while whole.last() < client.last() {
        whole.hear(&stream.next().await?.context("the stream ended")?);
    }
    let without_agent = |client: &Client| -> Vec<(i64, String)> {
        client.events.iter().copied().zip(client.names.iter().cloned()).collect()
    };
    assert_eq!(without_agent(&client), without_agent(&whole));
    assert_remembers(&daemon, &session, prompts).await?;
    daemon.stop().await
}

/// A clean stop leaves running turns to the next daemon; one that is told to end its agents does not.
#[tokio::test]
async fn a_stop_leaves_a_running_turn_to_the_next_daemon() -> Result<()> {
    for (codex, fake) in [(real_codex()?, false), (fake_codex()?, true)] {
        let lab = Lab::new(CODEXD).await?;
        let daemon = lab.serve(&codex, &[]).await?;
        let made = daemon.post("/v1/sessions", json!({"prompt": "SLOW:100:10"})).await?.body;
        let (session, id) = (made["session"]["id"].as_str().unwrap_or(""), made["turn"]["id"].as_str().unwrap_or(""));
        let waiting = daemon.post(&format!("/v1/sessions/{session}/turns"), json!({"prompt": "SAY:later"})).await?.body;
        let waiting = waiting["turn"]["id"].as_str().context("no turn")?.to_owned();
        if !fake {
            lab.model.wait_for_requests(1).await;
        }
        eventually("the turn to run", async || {
            (daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body["delivery"] == "yes").then_some(())
        })
        .await?;
        daemon.stop().await?;
        let daemon = lab.serve(&codex, &[]).await?;
        assert_eq!(turn(&daemon, id).await?["status"], "completed", "{}", daemon.log());
        assert_eq!(turn(&daemon, &waiting).await?["answer"], "later", "what waited behind it runs");
        daemon.stop().await?;

        let daemon = lab.serve(&codex, &["--stop-agents"]).await?;
        let pid = daemon.agent().await?["pid"].clone();
        let path = format!("/v1/sessions/{session}/turns");
        let made = daemon.post(&path, json!({"prompt": "SLOW:4000:10"})).await?.body;
        let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
        daemon.stop().await?;
        let daemon = lab.serve(&codex, &[]).await?;
        assert_ne!(daemon.agent().await?["pid"], pid);
        assert_eq!(turn(&daemon, &id).await?["status"], "interrupted");
        daemon.stop().await?;
    }
    Ok(())
}

/// An interrupt that was taken, and an answer that was given, hold although the daemon died right after it had said so.
#[tokio::test]
async fn what_somebody_was_told_holds_over_a_crash() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let mut daemon = serve(&lab).await?;
    for _ in 0..rounds() {
        let made = daemon.post("/v1/sessions", json!({"prompt": "SLOW:4000:10"})).await?.body;
        let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
        let taken = daemon.post(&format!("/v1/turns/{id}/interrupt"), json!({})).await?;
        ensure!(taken.status == 202, "{taken:?}");
        daemon.kill().await?;
        daemon = serve(&lab).await?;
        assert_eq!(turn(&daemon, &id).await?["status"], "interrupted", "{}", daemon.log());

        let target = lab.dir.path().join("home").join(&id);
        let made =
            daemon.post("/v1/sessions", json!({"prompt": format!("ESCALATE:touch {}", target.display())})).await?.body;
        let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
        let approval = eventually("Codex to ask", async || {
            daemon.get("/v1/approvals?status=pending").await.ok()?.body["approvals"].as_array()?.first().cloned()
        })
        .await?;
        let path = format!("/v1/approvals/{}", approval["id"].as_str().context("no id")?);
        ensure!(daemon.post(&path, json!({"decision": "accept"})).await?.status == 200);
        daemon.kill().await?;
        daemon = serve(&lab).await?;
        let ended = turn(&daemon, &id).await?;
        assert_eq!((&ended["status"], target.exists()), (&json!("completed"), true), "{ended}\n{}", daemon.log());
    }
    daemon.stop().await
}

/// The host is killed with the daemon, or everything at once: turns end truthfully, sessions go on, nothing is left.
#[tokio::test]
async fn when_the_machine_dies_each_turn_ends_truthfully_and_nothing_is_left() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let mut daemon = serve(&lab).await?;
    let (session, _) = daemon.start("SAY:blue").await?;
    for all in [false, true] {
        let word = format!("{}", 20_000_000 + u64::from(daemon.pid) + u64::from(all));
        let path = format!("/v1/sessions/{session}/turns");
        let made = daemon.post(&path, json!({"prompt": format!("RUN:sleep {word}")})).await?.body;
        let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
        eventually("the command to run", async || is_running(&word).await.then_some(())).await?;
        let codex = daemon.agent().await?["pid"].as_u64().context("no pid")?;
        let host = parent(codex)?;
        let mut victims = vec![host];
        if all {
            victims.push(codex);
        }
        daemon.kill().await?;
        for victim in victims {
            ensure!(std::process::Command::new("kill").args(["-9", &victim.to_string()]).status()?.success());
        }
        daemon = serve(&lab).await?;
        let ended = turn(&daemon, &id).await?;
        assert_eq!(
            (&ended["status"], &ended["error"]["code"]),
            (&json!("interrupted"), &json!("AGENT_EXITED")),
            "{ended}"
        );
        eventually("the command to end", async || (!is_running(&word).await).then_some(())).await?;
        eventually("Codex to be gone", async || {
            let stat = std::fs::read_to_string(format!("/proc/{codex}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        })
        .await?;
        let recalled = daemon.go_on(&session, "RECALL").await?;
        assert!(recalled.contains("SAY:blue"), "{recalled}");
    }
    daemon.stop().await
}

async fn is_running(word: &str) -> bool {
    let listed = tokio::process::Command::new("ps").args(["-A", "-o", "args"]).output().await;
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().any(|line| line.trim_end() == format!("sleep {word}"))
}
