//! The real Codex is killed in the middle of turns, alone, with its host, or with everything as when the machine dies. Each turn ends as
//! Codex's own record says, and what is told of its prompt is what Codex remembers: one with `delivery: yes` once, one with `no` not at all.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "the table of a run is for whoever started it")]

#[path = "common/real_codex_steps.rs"]
mod real_codex_steps;
#[path = "live/sse.rs"]
#[expect(dead_code, reason = "what a client makes of a stream is the matter of other tests")]
mod sse;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use real_codex_steps::{approve_all, is_step, parent, serve};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sse::Stream;
use testkit::{Daemon, Lab, eventually, wire};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// A turn with everything: a command, a question, an answer in many pieces.
const LONG: &str = "RUN:echo one; sleep 0.3\nESCALATE:echo two\nSLOW:40:10";

/// How often each step is tried; more than the usual by `CODEXD_TEST_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("CODEXD_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// So long after codexd has taken the prompt: around the reply to `turn/start`, `turn/started` and the prompt's own record, of which
    /// codexd tells nothing by itself.
    After(Duration),
    /// Right after codexd told this.
    Told(&'static str),
}

/// The moments of one round: those that nothing tells are a little later each time.
fn moments(round: u64) -> Vec<Moment> {
    let after = [0, 8, 16, 24, 40].map(|ms| Moment::After(Duration::from_millis(ms + round % 8)));
    let told = [
        "turn.delivered",
        "commandExecution",
        "approval.requested",
        "approval.resolved",
        "item.delta",
        "agentMessage",
        "turn.completed",
    ];
    after.into_iter().chain(told.map(Moment::Told)).collect()
}

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Codex,
    Host,
    Everything,
}

/// Listens until the step, or until the turn has ended.
async fn listen(daemon: &Daemon, stream: &mut Stream, step: &str) -> Result<()> {
    loop {
        let frame = stream.next().await?.context("the stream ended")?;
        if is_step(step, &frame) || ["turn.completed", "turn.failed", "turn.interrupted"].contains(&frame.name.as_str())
        {
            return Ok(());
        }
        if frame.name == "approval.requested" {
            approve_all(daemon).await?;
        }
    }
}

/// Kills these with -9, all at once.
fn kill(pids: &[u64]) -> Result<()> {
    let pids = pids.iter().map(u64::to_string);
    ensure!(std::process::Command::new("kill").arg("-9").args(pids).status()?.success());
    Ok(())
}

/// What runs with the `CODEX_HOME` of this machine.
fn processes(lab: &Lab) -> Vec<String> {
    let mark = format!("CODEX_HOME={}", lab.codex_home.display());
    let runs = |pid: &String| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(runs).collect()
}

/// A session, and what was told of each prompt of it.
#[derive(Default)]
struct Talk {
    session: Option<String>,
    told: Vec<(String, String)>,
}

impl Talk {
    /// Sends a prompt, kills whom it may concern at that moment, and waits for the end of the turn.
    async fn struck(
        &mut self,
        lab: &Lab,
        daemon: Daemon,
        victim: Victim,
        moment: Moment,
        tag: String,
    ) -> Result<Daemon> {
        let codex = daemon.agent().await?["pid"].as_u64().context("no pid")?;
        let host = parent(codex)?;
        let door = wire::Door::Tcp(daemon.url.trim_start_matches("http://").trim_end_matches('/').to_owned());
        let mut stream = Stream::open(&door, "/v1/events", None).await?;
        // Its own event: what is told from now on is live.
        stream.next().await?.context("the stream ended")?;
        let prompt = json!({"prompt": format!("{LONG}\nThis is {tag}.")});
        let made = match &self.session {
            Some(session) => daemon.post(&format!("/v1/sessions/{session}/turns"), prompt).await?.body,
            None => daemon.post("/v1/sessions", prompt).await?.body,
        };
        let id = made["turn"]["id"].as_str().with_context(|| format!("{made}"))?.to_owned();
        self.session = made["turn"]["sessionId"].as_str().map(str::to_owned);
        match moment {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::Told(step) => listen(&daemon, &mut stream, step).await?,
        }
        let daemon = match victim {
            Victim::Codex => kill(&[codex]).map(|()| daemon)?,
            Victim::Host => kill(&[host]).map(|()| daemon)?,
            Victim::Everything => {
                kill(&[u64::from(daemon.pid), host, codex])?;
                daemon.kill().await?;
                serve(lab).await?
            }
        };
        // A prompt that never left is given to the next Codex, which asks; after a crash of codexd it is held.
        let turn = eventually("the turn to end", async || {
            approve_all(&daemon).await.ok()?;
            let turn = daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body;
            if turn["held"] == true {
                let path = format!("/v1/sessions/{}/resume", turn["sessionId"].as_str()?);
                daemon.post(&path, json!({})).await.ok()?;
            }
            turn["endedAt"].is_string().then_some(turn)
        })
        .await
        .with_context(|| daemon.log())?;
        let (status, delivery) = (turn["status"].clone(), turn["delivery"].clone());
        let first = if self.told.is_empty() { "first" } else { "later" };
        let items: Vec<&str> =
            turn["items"].as_array().into_iter().flatten().filter_map(|i| i["kind"].as_str()).collect();
        println!("{victim:?} {first} {moment:?}: {status} {delivery} {items:?} {}", turn["error"]["message"]);
        let context = || format!("{victim:?} {moment:?}: {turn}\n{}", daemon.log());
        ensure!(delivery == "yes" || delivery == "no", "{}", context());
        match status.as_str() {
            Some("completed") => {
                ensure!(delivery == "yes" && turn["error"].is_null(), "{}", context());
                ensure!(
                    turn["answer"].as_str().map(|text| text.split_whitespace().count()) == Some(40),
                    "{}",
                    context()
                );
            }
            Some("interrupted") => {
                ensure!(turn["error"]["code"] == "AGENT_EXITED" && turn["error"]["retryable"] == true, "{}", context());
                ensure!(moment != Moment::Told("turn.completed"), "{}", context());
            }
            _ => anyhow::bail!(context()),
        }
        ensure!(!matches!(moment, Moment::Told(_)) || delivery == "yes", "{}", context());
        let still = |item: &&Value| item["status"] == "inProgress" && item["kind"] != "userMessage";
        ensure!(turn["items"].as_array().into_iter().flatten().find(still).is_none(), "{}", context());
        let open = daemon.get("/v1/approvals?status=pending").await?.body;
        ensure!(open["approvals"] == json!([]), "{open} {}", context());
        // What is sent from now on is not lost with it.
        eventually("another Codex", async || {
            let agent = daemon.agent().await.ok()?;
            (agent["status"] == "ready" && agent["pid"] != codex).then_some(())
        })
        .await?;
        self.told.push((tag, delivery.as_str().unwrap_or_default().to_owned()));
        Ok(daemon)
    }

    /// What Codex remembers is what was told.
    async fn is_remembered(&self, daemon: &Daemon) -> Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let recalled = daemon.go_on(session, "RECALL").await?;
        for (tag, delivery) in &self.told {
            let times = recalled.matches(&format!("This is {tag}.")).count();
            ensure!(
                times == usize::from(delivery == "yes"),
                "{tag} was told `{delivery}` and is there {times} times: {recalled}\n{}",
                daemon.log()
            );
        }
        Ok(())
    }
}

async fn dies_at_every_step(victim: Victim) -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let mut long = Talk::default();
    for round in 0..rounds() {
        for (place, moment) in moments(round).into_iter().enumerate() {
            // A new daemon each time: one whose Codex dies again and again soon gives up for a while.
            let daemon = serve(&lab).await?;
            let mut short = Talk::default();
            let daemon = short.struck(&lab, daemon, victim, moment, format!("first {round} {place}")).await?;
            short.is_remembered(&daemon).await?;
            if long.session.is_none() {
                long.session = Some(daemon.start("SAY:begin").await?.0);
                long.told.push(("begin".to_owned(), "no".to_owned()));
            }
            let daemon = long.struck(&lab, daemon, victim, moment, format!("later {round} {place}")).await?;
            daemon.stop().await?;
        }
    }
    let daemon = serve(&lab).await?;
    long.is_remembered(&daemon).await?;
    daemon.stop().await?;
    eventually("everything to be gone", async || processes(&lab).is_empty().then_some(())).await?;
    Ok(())
}

#[tokio::test]
async fn codex_is_killed_at_any_step_of_a_turn() -> Result<()> {
    dies_at_every_step(Victim::Codex).await
}

#[tokio::test]
async fn the_host_is_killed_at_any_step_of_a_turn() -> Result<()> {
    dies_at_every_step(Victim::Host).await
}

#[tokio::test]
async fn everything_is_killed_at_any_step_of_a_turn() -> Result<()> {
    dies_at_every_step(Victim::Everything).await
}

/// What was not delivered can be sent again, once, and what waited behind it was held meanwhile.
#[tokio::test]
async fn what_was_not_delivered_can_be_tried_again() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = serve(&lab).await?;
    let (session, _) = daemon.start("SAY:begin").await?;
    let path = format!("/v1/sessions/{session}/turns");
    // It stands still before it is asked, so it records nothing.
    let codex = i32::try_from(daemon.agent().await?["pid"].as_u64().context("no Codex")?)?;
    kill_process(Pid::from_raw(codex).context("no pid")?, Signal::STOP)?;
    let made = daemon.post(&path, json!({"prompt": "SLOW:50:20\nThis is lost."})).await?.body;
    let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
    eventually("Codex to be asked", async || {
        let turn = daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body;
        (turn["status"] == "running").then_some(())
    })
    .await?;
    let waits = daemon.post(&path, json!({"prompt": "SAY:waited"})).await?.body;
    let waits = waits["turn"]["id"].as_str().context("no turn")?.to_owned();
    daemon.kill_codex().await?;
    let turn = daemon.get(&format!("/v1/turns/{id}?wait=80")).await?.body;
    assert_eq!((&turn["status"], &turn["delivery"]), (&json!("interrupted"), &json!("no")), "{turn}");
    let held = daemon.get(&format!("/v1/turns/{waits}")).await?.body;
    assert_eq!((&held["status"], &held["held"]), (&json!("queued"), &json!(true)), "{held}");
    daemon.post(&format!("/v1/sessions/{session}/resume"), json!({})).await?;
    let waited = daemon.get(&format!("/v1/turns/{waits}?wait=80")).await?.body;
    assert_eq!(waited["status"], "completed", "{waited}");
    assert!(turn["error"]["message"].as_str().is_some_and(|text| text.contains("retry")), "{turn}");
    let again = daemon.post(&format!("/v1/turns/{id}/retry"), json!({})).await?;
    ensure!(again.status == 202, "{again:?}");
    let again = again.body["turn"]["id"].as_str().or(again.body["id"].as_str()).context("no turn")?.to_owned();
    let ended = daemon.get(&format!("/v1/turns/{again}?wait=80")).await?.body;
    assert_eq!((&ended["status"], &ended["delivery"]), (&json!("completed"), &json!("yes")), "{ended}");
    let recalled = daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled.matches("This is lost.").count(), 1, "{recalled}");
    assert!(recalled.contains("SAY:waited"), "what waited went on: {recalled}");
    daemon.stop().await
}
