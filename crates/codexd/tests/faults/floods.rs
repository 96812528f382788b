//! Codex says more than anybody wants to hear, or hears less than it is told. What that costs is measured: by how much codexd and the
//! agent host grew at the most, and what of it was left.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::eventually;

use crate::{
    fake_codex_rig::{of_method, serve},
    processes::{Watched, host},
    struck::{SOON, STRIKE, Struck, assert_ended},
};

/// Much is said in a flood.
const FLOOD: Duration = Duration::from_secs(90);

/// The answer of a flood of so many deltas.
fn counted(most: usize) -> String {
    (1..=most).map(|n| format!("{n} ")).collect()
}

#[tokio::test]
async fn a_hundred_thousand_deltas() -> Result<()> {
    let struck = Struck::by("flood", &[]).await?;
    let (daemon, host) = (Watched::daemon(&struck.rig.daemon)?, Watched::host(&struck)?);
    let beside = struck.running(&struck.other, "SLOW:50:20").await?;
    let turn = struck.turn(&struck.session, STRIKE, FLOOD).await?;
    assert_eq!(turn["status"], "completed", "{}", turn["error"]);
    assert!(turn["answer"] == json!(counted(100_000)), "the answer is not whole");
    let beside = struck.ended(&beside, SOON).await?;
    assert_eq!(beside["answer"].as_str().map(|text| text.split(' ').count()), Some(50), "{beside}");
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    // The text itself has 600 kB; a note for each line that is not acknowledged yet; and what of 30 MB of lines is on its way.
    daemon.assert_bounded(80, 48).await?;
    host.assert_bounded(24, 16).await?;
    struck.stop().await
}

/// Nobody reads: the host keeps what Codex says, most of it in files, and the next daemon hears it all.
#[tokio::test]
async fn a_flood_while_there_is_no_daemon() -> Result<()> {
    const DELTAS: usize = 100_000;
    let struck = Struck::alone_for(&format!("flood:{DELTAS}"), &[], "30s").await?;
    let host_pid = host(&struck)?;
    let watched = Watched::host(&struck)?;
    // Only a Codex that is at it can be left alone with it.
    let codex = struck.rig.daemon.agent().await?["pid"].clone();
    let turn = struck.begin(&struck.session, STRIKE).await?;
    eventually("Codex to have the prompt", async || {
        let heard = struck.rig.heard().ok()?;
        of_method(&heard, "turn/start").iter().any(|turn| turn.to_string().contains(STRIKE)).then_some(())
    })
    .await?;
    let Struck { rig, session, other } = struck;
    let crate::fake_codex_rig::Rig { daemon, lab } = rig;
    daemon.kill().await?;
    let agents = lab.store.join("agents");
    eventually("the flood to have reached the files", async || {
        let folder = std::fs::read_dir(&agents).ok()?.flatten().next()?.path();
        let names = std::fs::read_dir(folder).ok()?.flatten();
        names.into_iter().any(|name| name.file_name().to_string_lossy().starts_with("lines-")).then_some(())
    })
    .await?;
    let daemon = serve(&lab, &[], &[("FAKE_CODEX_FAULT_IN", STRIKE), ("CODEXD_ORPHAN_GRACE", "5s")]).await?;
    let struck = Struck { rig: crate::fake_codex_rig::Rig { daemon, lab }, session, other };
    assert_eq!((host(&struck)?, &struck.rig.daemon.agent().await?["pid"]), (host_pid, &codex));
    let ours = Watched::daemon(&struck.rig.daemon)?;
    let turn = struck.ended(&turn, FLOOD).await?;
    assert_eq!(turn["status"], "completed", "{}", turn["error"]);
    assert!(turn["answer"] == json!(counted(DELTAS)), "the answer is not whole");
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    ours.assert_bounded(160, 96).await?;
    watched.assert_bounded(24, 16).await?;
    struck.stop().await
}

/// It is not read to its end: the host ends Codex, and itself.
#[tokio::test]
async fn a_line_of_seventy_megabytes() -> Result<()> {
    let struck = Struck::by("big-line:70000000", &[]).await?;
    let (daemon, before) = (Watched::daemon(&struck.rig.daemon)?, host(&struck)?);
    let beside = struck.running(&struck.other, "HANG").await?;
    let turn = struck.turn(&struck.session, STRIKE, FLOOD).await?;
    assert_ended(&turn, "interrupted", "AGENT_EXITED", &["Codex ended", "a line of more than 64 MiB"]);
    assert_eq!(turn["delivery"], "yes", "{turn}");
    let beside = struck.ended(&beside, SOON).await?;
    assert_ended(&beside, "interrupted", "AGENT_EXITED", &["a line of more than 64 MiB"]);
    struck.goes_on(&struck.other).await?;
    // Not RECALL: this Codex had recorded what it could not say.
    struck.answers(&struck.session).await?;
    assert!(!std::path::Path::new(&format!("/proc/{before}")).exists(), "the host went with its Codex");
    assert_ne!(host(&struck)?, before);
    // Nothing of the line came to codexd.
    daemon.assert_bounded(16, 16).await?;
    struck.stop().await
}

/// Long lines that are answers. What the allocator keeps of the first ones, some fifteen times a line, is used for the next.
#[tokio::test]
async fn lines_of_eight_megabytes() -> Result<()> {
    let struck = Struck::by("big-line:8000000", &[]).await?;
    let (daemon, host) = (Watched::daemon(&struck.rig.daemon)?, Watched::host(&struck)?);
    let beside = struck.running(&struck.other, "SLOW:50:20").await?;
    for _ in 0..4 {
        let turn = struck.turn(&struck.session, STRIKE, FLOOD).await?;
        assert_eq!(turn["status"], "completed", "{}", turn["error"]);
        assert_eq!(turn["answer"].as_str().map(str::len), Some(8_000_000));
        daemon.assert_bounded(224, 192).await?;
        host.assert_bounded(48, 24).await?;
    }
    assert_eq!(struck.ended(&beside, SOON).await?["status"], "completed");
    struck.goes_on(&struck.other).await?;
    // Not RECALL: that would answer with all of it.
    struck.answers(&struck.session).await?;
    struck.stop().await
}

#[tokio::test]
async fn sixty_megabytes_on_stderr() -> Result<()> {
    let struck = Struck::by("stderr-flood", &[]).await?;
    let (daemon, host) = (Watched::daemon(&struck.rig.daemon)?, Watched::host(&struck)?);
    let beside = struck.running(&struck.other, "SLOW:50:20").await?;
    let turn = struck.turn(&struck.session, &format!("SAY:x\n{STRIKE}"), FLOOD).await?;
    assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!("x")), "{turn}");
    assert_eq!(struck.ended(&beside, FLOOD).await?["status"], "completed");
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    daemon.assert_bounded(24, 24).await?;
    host.assert_bounded(12, 12).await?;
    let log = struck.rig.daemon.log();
    let flooded = log.matches("so it goes on and on").count() / 3;
    assert!(flooded > 0 && flooded < 2000, "the log has {flooded} of its lines");
    struck.stop().await
}

/// What it said at the very end is what the turn's error tells.
#[tokio::test]
async fn the_last_words_of_a_flood_on_stderr() -> Result<()> {
    let struck = Struck::by("stderr-flood:8000000,exit-at-turn:user", &[]).await?;
    let turn = struck.turn(&struck.session, &format!("SAY:x\n{STRIKE}"), SOON).await?;
    assert_ended(
        &turn,
        "interrupted",
        "AGENT_EXITED",
        &["Codex ended", "exit code 1", "its stderr", "fake-codex: the last of many words"],
    );
    let length = turn["error"]["message"].as_str().map(str::len).context("no message")?;
    assert!(length < 2_000, "{length} bytes");
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    struck.stop().await
}

/// Long prompts to a Codex that takes a kilobyte at a time: each has its answer, and nobody waits for ever.
#[tokio::test]
async fn a_codex_that_reads_slowly() -> Result<()> {
    let struck = Struck::by("slow-stdin:1", &[]).await?;
    let (daemon, host) = (Watched::daemon(&struck.rig.daemon)?, Watched::host(&struck)?);
    let long = "x".repeat(200_000);
    let mut turns = Vec::new();
    for number in 0..16 {
        let prompt = format!("SAY:{number}\n{long}");
        let made = struck.rig.daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?;
        turns.push(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned());
    }
    struck.goes_on(&struck.other).await?;
    for (number, turn) in turns.iter().enumerate() {
        let turn = struck.ended(turn, FLOOD).await?;
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!(number.to_string())));
    }
    struck.goes_on(&struck.session).await?;
    daemon.assert_bounded(64, 48).await?;
    host.assert_bounded(24, 16).await?;
    struck.stop().await
}

/// It reads nothing any more: what it was to hear is bounded, and the turns end by their deadline, not knowing whether they were heard.
#[tokio::test]
async fn long_prompts_to_a_codex_that_reads_nothing() -> Result<()> {
    let struck = Struck::by("hang-at-turn:user", &["--turn-timeout", "10s", "--interrupt-grace", "1s"]).await?;
    let (daemon, host) = (Watched::daemon(&struck.rig.daemon)?, Watched::host(&struck)?);
    struck.running(&struck.session, &format!("SAY:x\n{STRIKE}")).await?;
    let long = "x".repeat(200_000);
    let mut turns = Vec::new();
    for _ in 0..20 {
        let prompt = format!("SAY:x\n{long}");
        let made = struck.rig.daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?;
        turns.push(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned());
    }
    host.assert_bounded(24, 24).await?;
    for turn in &turns {
        let turn = struck.ended(turn, SOON).await?;
        let told = (turn["status"].as_str(), turn["error"]["code"].as_str());
        let ends = [(Some("interrupted"), Some("TURN_TIMEOUT")), (Some("completed"), None)];
        assert!(ends.contains(&told), "{}", turn["error"]);
    }
    // Turns that ended at one moment left it running for each other's sake; that it says nothing is found out soon after.
    eventually("another Codex", async || {
        let agent = struck.rig.daemon.agent().await.ok()?;
        (agent["restarts"].as_u64()? > 0 && agent["status"] == "ready").then_some(())
    })
    .await?;
    struck.goes_on(&struck.other).await?;
    struck.goes_on(&struck.session).await?;
    daemon.assert_bounded(96, 64).await?;
    struck.stop().await
}
