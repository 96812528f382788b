//! Looking at turns, waiting for them, asking the same again.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Daemon, Lab, eventually};
use tokio::{io::AsyncReadExt as _, process::Child};

use crate::{
    approvals::pending,
    ran::{end, ids_of, rig, run, signal, spawn, started},
};

#[tokio::test]
async fn an_answer_is_read_in_pages() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (_, turn) = started(&lab, "BIG:20000").await?;
    let whole = run(&lab, &["turn", "show", &turn]).await?.good()?;
    let whole = whole.trim_end_matches('\n');
    assert!(whole.len() == 20_000 && whole.ends_with("END"), "{}", whole.len());

    let first = run(&lab, &["turn", "show", &turn, "--limit", "8000"]).await?;
    assert_eq!(first.out.strip_suffix('\n'), Some(&whole[..8000]), "a page has one newline behind it");
    assert!(first.err.contains("characters 0 to 8000 of 20000; go on with --from 8000"), "{}", first.err);
    let second = run(&lab, &["turn", "show", &turn, "--from", "8000", "--limit", "8000", "--json"]).await?;
    let told = second.json()?;
    assert_eq!(told["answer"].as_str(), Some(&whole[8000..16_000]));
    assert_eq!((&told["answerFrom"], &told["answerChars"]), (&json!(8000), &json!(20_000)));
    let last = run(&lab, &["turn", "wait", &turn, "--from", "16000"]).await?;
    assert_eq!((last.out.strip_suffix('\n'), last.code), (Some(&whole[16_000..]), Some(0)));
    let end = run(&lab, &["turn", "show", &turn, "--tail", "3"]).await?;
    assert_eq!(end.out, "END\n");
    assert!(end.err.contains("characters 19997 to 20000 of 20000"), "{}", end.err);
    let started = run(&lab, &["start", "BIG:100", "--limit", "10"]).await?;
    assert!(started.out.len() == 11 && started.err.contains("codexd turn show"), "{started:?}");
    daemon.stop().await
}

#[tokio::test]
async fn when_the_time_is_over_the_turn_goes_on() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let ran = run(&lab, &["start", "HANG", "--timeout", "1s"]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(6), ""), "{ran:?}");
    let (_, turn) = ran.ids()?;
    assert!(ran.err.contains(&format!("codexd turn wait {turn}")), "{}", ran.err);
    let still = run(&lab, &["turn", "wait", &turn, "--timeout", "1"]).await?;
    assert_eq!(still.code, Some(6), "{still:?}");
    let unknown = run(&lab, &["turn", "wait", "nope"]).await?;
    assert!(unknown.code == Some(1) && !unknown.err.contains("come back"), "{unknown:?}");
    let (_, turn) = run(&lab, &["start", "SLOW:20:20", "--detach"]).await?.ids()?;
    let waited = run(&lab, &["turn", "wait", &turn, "--timeout", "60s"]).await?;
    assert!(waited.code == Some(0) && waited.out.ends_with("19 20\n"), "{waited:?}");

    let ran = run(&lab, &["start", "HANG", "--timeout", "1", "--json"]).await?;
    assert_eq!((ran.code, ran.json()?["status"].as_str()), (Some(6), Some("running")));
    daemon.stop().await
}

/// Starts a turn that never ends by itself and waits until it runs, and the command knows of it; its ids come with it.
async fn hanging(lab: &Lab, daemon: &Daemon, more: &[&str]) -> Result<(Child, u32, (String, String))> {
    let mut child = spawn(lab.command(&[&["start", "HANG"][..], more].concat()))?;
    let pid = child.id().context("gone")?;
    let stderr = child.stderr.as_mut().context("no stderr")?;
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stderr.read_u8().await?);
    }
    let ids = ids_of(String::from_utf8(line)?.trim()).context("no ids")?;
    eventually("the turn", async || {
        // A session with a turn that only waits is at work as well.
        let turn = daemon.get(&format!("/v1/turns/{}", ids.1)).await.ok()?.body;
        (turn["status"] == "running").then_some(())
    })
    .await?;
    Ok((child, pid, ids))
}

#[tokio::test]
async fn whoever_stops_waiting_is_told_how_to_come_back() -> Result<()> {
    let (lab, daemon) = rig().await?;
    for (name, more) in [("HUP", &[][..]), ("TERM", &["--json"])] {
        let (child, pid, (session, turn)) = hanging(&lab, &daemon, more).await?;
        signal(name, pid).await?;
        let ran = end(child).await?;
        assert_eq!(ran.code, Some(5), "{ran:?}");
        assert!(ran.err.contains(&format!("codexd turn wait {turn}")), "{}", ran.err);
        if !more.is_empty() {
            assert_eq!(ran.json()?["turnId"], turn.as_str());
        }
        let still = run(&lab, &["turn", "show", &turn, "--json"]).await?;
        assert_eq!(still.json()?["status"], "running", "nobody ended the turn");
        run(&lab, &["sessions", "delete", &session, "--yes"]).await?.good()?;
    }
    daemon.stop().await
}

#[tokio::test]
async fn control_c_interrupts_the_turn() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (child, pid, _) = hanging(&lab, &daemon, &["--json"]).await?;
    signal("INT", pid).await?;
    let ran = end(child).await?;
    assert_eq!((ran.code, ran.json()?["status"].as_str()), (Some(5), Some("interrupted")), "{ran:?}");
    assert!(ran.err.contains("interrupting the turn"), "{}", ran.err);
    daemon.stop().await
}

#[tokio::test]
async fn control_c_without_a_daemon_leaves_at_once() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (child, pid, _) = hanging(&lab, &daemon, &[]).await?;
    daemon.kill().await?;
    signal("INT", pid).await?;
    let ran = end(child).await?;
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("could not be interrupted") && ran.err.contains("codexd turn wait"), "{}", ran.err);
    Ok(())
}

#[tokio::test]
async fn what_happened_in_a_turn_can_be_seen() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let ran = run(&lab, &["start", "REASON:thinking\nRUN:echo hi\nPATCH:new.txt:line\nSAY:done"]).await?;
    let (_, turn) = ran.ids()?;
    let shown = run(&lab, &["turn", "show", &turn, "--items"]).await?.good()?;
    for part in ["RUN:echo hi", "$ ", "echo hi", "new.txt", "thinking", "done", "completed"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let told = run(&lab, &["turn", "show", &turn, "--items", "--json"]).await?.json()?;
    let kinds: Vec<&str> =
        told["items"].as_array().context("no items")?.iter().filter_map(|item| item["kind"].as_str()).collect();
    assert!(kinds.contains(&"commandExecution") && kinds.contains(&"fileChange"), "{kinds:?}");
    let part = run(&lab, &["turn", "show", &turn, "--items", "--limit", "2"]).await?;
    assert!(part.out.contains("\ndo\n") && !part.out.contains("\ndone\n"), "{part:?}");
    assert!(part.out.contains("$ ") && part.err.contains("characters 0 to 2 of 4"), "the rest is whole: {part:?}");
    let plain = run(&lab, &["turn", "show", &turn]).await?;
    assert_eq!((plain.code, plain.out.as_str()), (Some(0), "done\n"));
    daemon.stop().await
}

#[tokio::test]
async fn what_codex_was_not_allowed_is_said() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, turn) = run(&lab, &["start", "ESCALATE:touch x", "--detach"]).await?.ids()?;
    run(&lab, &["approvals", "decline", &pending(&daemon, &session).await?]).await?.good()?;
    let ran = run(&lab, &["turn", "wait", &turn]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("one request of Codex was declined") && ran.err.contains("--items"), "{}", ran.err);
    let shown = run(&lab, &["sessions", "show", &session]).await?.good()?;
    assert!(shown.contains("one request of Codex was declined"), "{shown}");
    daemon.stop().await
}

#[tokio::test]
async fn a_turn_that_failed_is_asked_again() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let ran = run(&lab, &["start", "FAIL:429"]).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let (session, turn) = ran.ids()?;
    assert!(ran.err.contains(&format!("codexd turn retry {turn}")), "{}", ran.err);
    let refused = run(&lab, &["turn", "retry", &turn, "--json"]).await?;
    assert_eq!(refused.code, Some(1), "Codex has the prompt already: {refused:?}");
    assert_eq!(refused.json()?["code"], "TURN_ENDED");
    assert!(refused.err.contains(&format!("codexd turn retry {turn} --force")), "{}", refused.err);
    assert!(!(refused.err + &refused.out).contains("true}"), "the words of the API");
    let again = run(&lab, &["turn", "retry", &turn, "--force", "--json"]).await?;
    let told = again.json()?;
    assert_eq!((again.code, &told["retryOf"], &told["prompt"]), (Some(4), &json!(turn), &json!("FAIL:429")));
    assert_eq!(told["sessionId"], session.as_str());
    let detached = run(&lab, &["turn", "retry", &turn, "--force", "--detach"]).await?;
    assert_eq!((detached.code, detached.ids()?.0), (Some(0), session));
    daemon.stop().await
}
