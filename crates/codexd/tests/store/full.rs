//! A disk that fills under a daemon, and has room again.
//!
//! The daemon's own limit of file sizes is lowered to what its log has now, from outside: from then on each write to it fails, as on a
//! full disk, and in places in the middle. Nothing else on the machine notices, and no rights are needed. What Codex says meanwhile is
//! under control: it is stopped until the disk is full.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, heard, of_method},
    ran::run,
    sse::{Client, Stream},
    wire::Call,
};

/// However slow the machine: a refusal does not take that long, and something that hangs does.
const AT_ONCE: Duration = Duration::from_secs(20);

fn pid(number: u64) -> Result<Pid> {
    Pid::from_raw(i32::try_from(number)?).context("no pid")
}

/// Little is logged, so that the log fits under the limit.
async fn rig() -> Result<Rig> {
    Rig::with(&["--no-auth"], &[("CODEXD_LOG", "warn")]).await
}

fn fill(rig: &Rig) -> Result<()> {
    let log = std::fs::metadata(rig.lab.store.join("store.db-wal"))?.len();
    ensure!(log > 16 * 1024, "the daemon's own log must fit below: {log}");
    limit(rig, Some(log))
}

fn limit(rig: &Rig, bytes: Option<u64>) -> Result<()> {
    let limits = Rlimit { current: bytes, maximum: None };
    prlimit(Some(pid(u64::from(rig.daemon.pid))?), Resource::Fsize, limits)?;
    Ok(())
}

async fn codex(rig: &Rig, signal: Signal) -> Result<()> {
    let number = rig.daemon.agent().await?["pid"].as_u64().context("no Codex")?;
    Ok(kill_process(pid(number)?, signal)?)
}

/// A session whose thread Codex has loaded.
async fn session(rig: &Rig) -> Result<String> {
    let made = rig.daemon.post("/v1/sessions?wait=60", json!({"prompt": "SAY:hello"})).await?;
    ensure!(made.body["turn"]["answer"] == "hello", "{made:?}");
    Ok(made.body["session"]["id"].as_str().context("no id")?.to_owned())
}

/// A turn that Codex has been given, and that it says nothing of yet; then the disk is full and Codex speaks.
async fn full_under(rig: &Rig, session: &str, prompt: &str) -> Result<String> {
    codex(rig, Signal::STOP).await?;
    let made = rig.daemon.post(&format!("/v1/sessions/{session}/turns"), json!({"prompt": prompt})).await?;
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    eventually("Codex to be asked", async || {
        let turn = rig.daemon.get(&format!("/v1/turns/{turn}")).await.ok()?.body;
        (turn["status"] == "running").then_some(())
    })
    .await?;
    fill(rig)?;
    codex(rig, Signal::CONT).await?;
    eventually("a disk that is full", async || {
        let ready = rig.daemon.get("/readyz").await.ok()?;
        (ready.status == 503 && ready.body["code"] == "STORE_FULL").then_some(())
    })
    .await?;
    Ok(turn)
}

async fn ended(rig: &Rig, turn: &str) -> Result<Value> {
    eventually("the end of the turn", async || {
        let turn = rig.daemon.get(&format!("/v1/turns/{turn}?wait=60")).await.ok()?.body;
        (turn["status"] != "running").then_some(turn)
    })
    .await
    .with_context(|| rig.daemon.log())
}

/// Asserts that a call is refused, soon, because nothing can be stored.
async fn refused(rig: &Rig, call: &Call) -> Result<()> {
    let answer = timeout(AT_ONCE, call.send(&rig.tcp())).await.context("it hangs")??;
    let body: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!((answer.status, body["code"].as_str()), (503, Some("STORE_FULL")), "{body}");
    assert_eq!(answer.header("content-type"), ["application/problem+json"]);
    assert_eq!(body["retryable"], true, "{body}");
    Ok(())
}

fn lines(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_disk_that_fills_while_a_turn_runs_loses_nothing_and_hangs_nobody() -> Result<()> {
    let rig = rig().await?;
    let (session, other) = (session(&rig).await?, session(&rig).await?);
    let commands: Vec<String> = (0..30).map(|n| format!("echo {n}")).collect();
    let script: String = commands.iter().map(|command| format!("RUN:{command}\n")).collect();
    let turn = full_under(&rig, &session, &format!("{script}SAY:all of it")).await?;

    // What writes is refused, of this session and of others, and more than once.
    for _ in 0..3 {
        refused(&rig, &Call::json("/v1/sessions", &json!({"prompt": "SAY:new"}))).await?;
        for id in [&session, &other] {
            let turns = format!("/v1/sessions/{id}/turns");
            refused(&rig, &Call::json(&turns, &json!({"prompt": "SAY:more"}))).await?;
        }
        refused(&rig, &Call::json(&format!("/v1/turns/{turn}/interrupt"), &json!({}))).await?;
    }
    // What reads is answered.
    let sessions = rig.daemon.get("/v1/sessions").await?.body;
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(2), "nothing is half there: {sessions}");
    let reading = timeout(AT_ONCE, rig.daemon.get(&format!("/v1/turns/{turn}?wait=1"))).await??;
    assert_eq!((reading.status, &reading.body["status"]), (200, &json!("running")));
    let found = rig.daemon.get("/v1/search?q=hello").await?.body;
    assert_eq!(found["results"].as_array().map(Vec::len), Some(2), "{found}");
    let path = format!("/v1/sessions/{session}/events");
    let (mut stream, mut client) = (Stream::open(&rig.tcp(), &path, Some(0)).await?, Client::default());
    while client.names.last().is_none_or(|name| name != "turn.started") || client.names.len() < 8 {
        client.hear(&stream.next().await?.context("the stream ended")?);
    }
    let status = run(&rig.lab, &["status"]).await?;
    assert!(status.code == Some(1) && status.out.contains("problem"), "{status:?}");

    // There is room again, and nobody says so.
    limit(&rig, None)?;
    let turn = ended(&rig, &turn).await?;
    assert_eq!(
        (&turn["status"], &turn["answer"], &turn["delivery"]),
        (&json!("completed"), &json!("all of it"), &json!("yes"))
    );
    let items = turn["items"].as_array().context("no items")?;
    let ran: Vec<&str> = items.iter().filter_map(|item| item["command"].as_str()).collect();
    let commands: Vec<String> = commands.iter().map(|command| format!("/bin/bash -lc '{command}'")).collect();
    assert_eq!(ran, commands, "all, in order, once");
    assert!(items.iter().all(|item| item["status"] == "completed"), "{items:?}");
    // The stream that was open all the while has it all as well.
    while client.names.iter().filter(|name| *name == "turn.completed").count() < 2 {
        client.hear(&stream.next().await?.context("the stream ended")?);
    }
    let begun = client.names.iter().rposition(|name| name == "turn.queued").context("no second turn")?;
    let second = &client.names[begun..];
    let of = |name: &str| second.iter().filter(|known| *known == name).count();
    let completed = 1 + commands.len() + 1;
    assert_eq!((of("turn.started"), of("turn.delivered"), of("item.completed")), (1, 1, completed), "{second:?}");
    let more = rig.daemon.post(&format!("/v1/sessions/{other}/turns?wait=60"), json!({"prompt": "SAY:on"})).await?;
    assert_eq!(more.body["turn"]["answer"], "on", "{more:?}");
    assert_eq!(rig.daemon.get("/readyz").await?.status, 200);
    let given = of_method(&rig.heard()?, "turn/start").len();
    assert_eq!(given, 4, "what was refused was never given to Codex");
    let log = rig.daemon.log();
    let told = (lines(&log, "nothing can be stored now"), lines(&log, "can be written again"));
    assert_eq!(told, (1, 1), "said once: {log}");
    assert!(log.lines().count() < 20, "no flood: {log}");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_codex_that_says_much_waits_and_nobody_else_does() -> Result<()> {
    let rig = rig().await?;
    let (session, other) = (session(&rig).await?, session(&rig).await?);
    // More than all mailboxes hold together.
    let turn = full_under(&rig, &session, "SLOW:20000:0").await?;
    for _ in 0..20 {
        for id in [&session, &other] {
            let turns = format!("/v1/sessions/{id}/turns");
            refused(&rig, &Call::json(&turns, &json!({"prompt": "SAY:more"}))).await?;
        }
        tokio::task::yield_now().await;
    }
    let sent = lines(&std::fs::read_to_string(crate::fake_codex_rig::journal(&rig.lab))?, "turn/start");
    assert_eq!(sent, 3);
    limit(&rig, None)?;
    let turn = ended(&rig, &turn).await?;
    let expected: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    assert_eq!(turn["answer"], json!(expected.join(" ")));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn what_was_refused_can_be_asked_again_under_its_key() -> Result<()> {
    let rig = rig().await?;
    let session = session(&rig).await?;
    fill(&rig)?;
    let path = format!("/v1/sessions/{session}/turns?wait=60");
    let call = Call::json(&path, &json!({"prompt": "SAY:once"})).header("Idempotency-Key", "k1");
    for _ in 0..5 {
        refused(&rig, &call).await?;
    }
    refused(&rig, &Call::json("/v1/sessions", &json!({"prompt": "SAY:x"})).header("Idempotency-Key", "k2")).await?;
    let listed = rig.daemon.get("/v1/sessions").await?.body;
    assert_eq!(listed["sessions"][0]["turnCount"], 1, "{listed}");
    limit(&rig, None)?;
    for _ in 0..2 {
        let answer = call.ask(&rig.tcp()).await?;
        assert_eq!((answer.status, &answer.body["turn"]["answer"]), (200, &json!("once")), "{answer:?}");
    }
    assert_eq!(of_method(&rig.heard()?, "turn/start").len(), 2);
    Ok(())
}

#[tokio::test]
async fn it_stops_on_a_full_disk_and_the_next_start_has_what_was_not_stored() -> Result<()> {
    let rig = rig().await?;
    let session = session(&rig).await?;
    let turn = full_under(&rig, &session, "SAY:never stored").await?;
    let Rig { daemon, lab } = rig;
    daemon.stop().await?;
    assert!(!lab.store.join("daemon.json").exists(), "it stopped as it should");
    let daemon = crate::fake_codex_rig::serve(&lab, &[], &[]).await?;
    let turn = daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body;
    let told = (turn["status"].as_str(), turn["delivery"].as_str(), turn["answer"].as_str());
    assert_eq!(told, (Some("completed"), Some("yes"), Some("never stored")), "{turn}");
    let more = daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({"prompt": "SAY:on"})).await?;
    assert_eq!(more.body["turn"]["answer"], "on", "{more:?}");
    assert_eq!(of_method(&heard(&lab)?, "turn/start").len(), 3);
    Ok(())
}
