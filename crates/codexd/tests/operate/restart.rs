//! Codex is started anew because somebody wants it: when its turns have ended, or at once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use client::{EventQuery, Told};
use serde_json::{Value, json};
use testkit::{Daemon, eventually};
use types::EventId;

use crate::{
    fake_codex_rig::{Rig, run, serve},
    turns::{begin, codex, ended, running},
};

async fn drain(daemon: &Daemon, drain: bool) -> Result<Value> {
    let reply = daemon.post("/v1/agent/restart", json!({ "drain": drain })).await?;
    assert_eq!(reply.status, 202, "{reply:?}");
    Ok(reply.body)
}

/// Another Codex takes turns.
async fn another(daemon: &Daemon, than: u64) -> Result<Value> {
    eventually("another Codex", async || {
        let agent = daemon.agent().await.ok()?;
        (agent["status"] == "ready" && agent["pid"] != than).then_some(agent)
    })
    .await
    .with_context(|| daemon.log())
}

/// Whether an event of this name comes, behind all that were.
async fn happened(daemon: &Daemon, name: &str) -> Result<()> {
    let which = EventQuery {
        after: Some(EventId(0)),
        patience: Duration::from_secs(30),
        was_there: true,
        ..EventQuery::default()
    };
    let mut events = daemon.client.events(which);
    loop {
        if let Told::Event(event) = events.next().await?
            && event.name == name
        {
            return Ok(());
        }
    }
}

async fn pending(daemon: &Daemon) -> Result<String> {
    eventually("a question", async || {
        let open = daemon.get("/v1/approvals?status=pending").await.ok()?.body;
        open["approvals"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_drain_waits_for_turns_and_their_questions_while_new_ones_wait_for_it() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let daemon = &rig.daemon;
    let (asks, _) = daemon.start("SAY:one").await?;
    let (other, _) = daemon.start("SAY:one").await?;
    let before = codex(daemon).await?;
    let first = running(daemon, &asks, "ESCALATE:echo two").await?;
    let question = pending(daemon).await?;
    let agent = drain(daemon, true).await?;
    assert_eq!((&agent["status"], &agent["pid"]), (&json!("restarting"), &json!(before)), "{agent}");
    assert_eq!((&agent["restart"]["by"], &agent["restart"]["drain"]), (&json!("local"), &json!(true)));
    assert_eq!(daemon.get("/readyz").await?.status, 503);

    // Nothing is refused: a session at rest, one at work, one that is not there yet, and the old routes.
    let waiting = begin(daemon, &other, "SAY:later").await?;
    let behind = begin(daemon, &asks, "SAY:behind").await?;
    let made = daemon.post("/v1/sessions", json!({"prompt": "SAY:new"})).await?;
    let made = format!("/v1/turns/{}", made.body["turn"]["id"].as_str().context("no turn")?);
    for turn in [&waiting, &behind, &made] {
        assert_eq!(daemon.get(turn).await?.body["status"], "queued", "{turn}");
    }
    assert_eq!(drain(daemon, true).await?["restart"], agent["restart"], "asked again");
    let ran = run(rig.lab.command(&["agent"])).await?;
    assert!(
        ran.0.status.code() == Some(1) && ran.1.contains("local asked for it, once its turns have ended"),
        "{ran:?}"
    );

    // The question can be answered.
    let answered = daemon.post(&format!("/v1/approvals/{question}"), json!({"decision": "accept"})).await?;
    assert_eq!(answered.status, 200, "{answered:?}");
    let first = ended(daemon, &first).await?;
    assert_eq!((&first["status"], &first["declined"]), (&json!("completed"), &json!([])), "{first}");
    for (turn, answer) in [(&waiting, "later"), (&behind, "behind"), (&made, "new")] {
        let turn = ended(daemon, turn).await?;
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!(answer)), "{turn}");
    }
    let agent = another(daemon, before).await?;
    assert_eq!((&agent["restart"], &agent["restarts"]), (&Value::Null, &json!(0)));
    happened(daemon, "agent.restarted").await?;

    // Those that waited were given to the other Codex, and to nobody else.
    let heard = rig.heard()?;
    let second = heard.iter().rposition(|line| line["env"].is_array()).context("no process")?;
    for words in ["SAY:later", "SAY:behind", "SAY:new"] {
        let given = |line: &&Value| line["method"] == "turn/start" && line.to_string().contains(words);
        assert_eq!((heard[..second].iter().find(given), heard.iter().filter(given).count()), (None, 1), "{words}");
    }
    rig.assert_calm();
    rig.daemon.stop().await
}

#[tokio::test]
async fn at_once_ends_what_runs_and_says_who_wanted_it() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let daemon = &rig.daemon;
    let (session, _) = daemon.start("SAY:one").await?;
    let before = codex(daemon).await?;
    let turn = running(daemon, &session, "HANG").await?;
    // A drain that is in the way of nothing, and then somebody in a hurry.
    assert_eq!(drain(daemon, true).await?["restart"]["drain"], true);
    let waiting = begin(daemon, &session, "SAY:two").await?;
    let (output, text) = run(rig.lab.command(&["agent", "restart", "--now", "--wait"])).await?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_ne!(codex(daemon).await?, before);
    let turn = ended(daemon, &turn).await?;
    assert_eq!((&turn["status"], &turn["error"]["code"]), (&json!("interrupted"), &json!("AGENT_EXITED")), "{turn}");
    let message = turn["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("local asked for a restart"), "{message}");
    // What waited behind a turn that was lost is held, as ever, until somebody asks for something.
    assert_eq!(daemon.get(&waiting).await?.body["status"], "queued");
    let recalled = daemon.go_on(&session, "RECALL").await?;
    assert!(recalled.contains("user: SAY:one") && recalled.contains("user: SAY:two"), "{recalled}");
    rig.assert_calm();
    rig.daemon.stop().await
}

/// A question that nobody answers holds a turn's own deadline up, but not this one.
#[tokio::test]
async fn a_drain_has_an_end_whatever_runs() -> Result<()> {
    let rig = Rig::new(&["--turn-timeout", "2s"]).await?;
    let daemon = &rig.daemon;
    let (session, _) = daemon.start("SAY:one").await?;
    let before = codex(daemon).await?;
    let turn = running(daemon, &session, "ESCALATE:echo two").await?;
    let question = pending(daemon).await?;
    drain(daemon, true).await?;
    let turn = ended(daemon, &turn).await?;
    assert_eq!((&turn["status"], &turn["error"]["code"]), (&json!("interrupted"), &json!("AGENT_EXITED")), "{turn}");
    let message = turn["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("local asked for a restart, and not all turns had ended within 2 s"), "{message}");
    another(daemon, before).await?;
    let question = daemon.get(&format!("/v1/approvals/{question}")).await?.body;
    assert_eq!(question["status"], "cancelled", "{question}");
    assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    rig.daemon.stop().await
}

#[tokio::test]
async fn a_codexd_that_is_killed_in_a_drain_leaves_nothing_waiting() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    let (session, _) = daemon.start("SAY:one").await?;
    let (other, _) = daemon.start("SAY:one").await?;
    let before = codex(&daemon).await?;
    let turn = running(&daemon, &session, "SLOW:200:50").await?;
    drain(&daemon, true).await?;
    let waiting = begin(&daemon, &other, "SAY:two").await?;
    assert_eq!(daemon.get(&waiting).await?.body["status"], "queued");
    daemon.kill().await?;
    let daemon = serve(&lab, &["--on-restart", "run"], &[]).await?;
    let agent = daemon.agent().await?;
    assert_eq!((&agent["pid"], &agent["restart"]), (&json!(before), &Value::Null), "the Codex that was there");
    for turn in [&waiting, &turn] {
        let turn = ended(&daemon, turn).await?;
        assert_eq!(turn["status"], "completed", "{turn}");
    }
    daemon.stop().await
}

#[tokio::test]
async fn a_codex_that_dies_in_a_drain_is_followed_by_another_one_and_by_no_third() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let daemon = &rig.daemon;
    let (session, _) = daemon.start("SAY:one").await?;
    let (other, _) = daemon.start("SAY:one").await?;
    let before = codex(daemon).await?;
    let turn = running(daemon, &session, "HANG").await?;
    drain(daemon, true).await?;
    let waiting = begin(daemon, &other, "SAY:two").await?;
    daemon.kill_codex().await?;
    assert_eq!(ended(daemon, &waiting).await?["status"], "completed");
    assert_eq!(ended(daemon, &turn).await?["error"]["code"], "AGENT_EXITED");
    let second = another(daemon, before).await?["pid"].clone();
    assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    assert_eq!(daemon.agent().await?["pid"], second);
    rig.daemon.stop().await
}

#[tokio::test]
async fn the_real_codex_is_drained() -> Result<()> {
    let lab = crate::fake_codex_rig::lab().await?;
    let daemon = lab.serve(&testkit::real_codex()?, &[]).await?;
    let (session, _) = daemon.start("SAY:one").await?;
    let (other, _) = daemon.start("SAY:first").await?;
    let before = codex(&daemon).await?;
    let turn = running(&daemon, &session, "SLOW:30:50").await?;
    assert_eq!(drain(&daemon, true).await?["status"], "restarting");
    let waiting = begin(&daemon, &other, "RECALL").await?;
    assert_eq!(daemon.get(&waiting).await?.body["status"], "queued");
    assert_eq!(ended(&daemon, &turn).await?["status"], "completed");
    let recalled = ended(&daemon, &waiting).await?;
    assert!(recalled["answer"].as_str().is_some_and(|answer| answer.contains("SAY:first")), "{recalled}");
    another(&daemon, before).await?;
    let recalled = daemon.go_on(&session, "RECALL").await?;
    assert!(recalled.contains("SLOW:30:50"), "{recalled}");
    daemon.stop().await
}
