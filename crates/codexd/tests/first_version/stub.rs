//! A stub that only speaks `codex mcp-server`: the same routes, and a conversation that the bridge has to keep itself.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::fake_codex;
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_keys, lab, of_method, serving, text},
    wire::Call,
};

/// One that tells a version which had an MCP server.
const STUB: [(&str, &str); 2] = [("FAKE_CODEX_FAULT", "mcp-only"), ("FAKE_CODEX_VERSION", "0.153.4")];

/// The tool calls that the stub was asked for, from the n-th on: name and arguments.
fn calls(rig: &Rig, from: usize) -> Result<Vec<(String, Value)>> {
    let heard = rig.heard()?;
    let calls = of_method(&heard, "tools/call").into_iter().skip(from);
    Ok(calls.map(|params| (text(params, "name"), params["arguments"].clone())).collect())
}

#[tokio::test]
async fn its_sessions_go_on_after_a_restart() -> Result<()> {
    let rig = Rig::with(&["--no-auth"], &STUB).await?;
    let agent = rig.daemon.agent().await?;
    assert_eq!(agent["status"], "ready");
    assert!(text(&agent, "backend").contains("mcp"), "{agent}");

    let reply = Call::json("/start", &json!({"prompt": "alpha"})).ask(&rig.tcp()).await?;
    assert_answered(&reply, "echo: alpha");
    assert_keys(&reply.body, &["sessionId", "threadId", "content", "structuredContent"]);
    let (session, former) = (text(&reply.body, "sessionId"), text(&reply.body, "threadId"));
    assert_eq!(rig.daemon.go_on(&session, "beta").await?, "echo: beta");
    assert_eq!(
        rig.daemon.go_on(&session, "RECALL").await?,
        "user: alpha\nassistant: echo: alpha\nuser: beta\nassistant: echo: beta\ncount: 4"
    );
    assert_eq!(text(&rig.session(&session).await?, "threadId"), former);
    let names: Vec<String> = calls(&rig, 0)?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["codex", "codex-reply", "codex-reply"]);

    // The stub forgets its threads when it ends; the bridge does not.
    let rig = rig.restarted(&["--no-auth"], &STUB, |_| {}).await?;
    rig.daemon.go_on(&session, "gamma\nRECALL").await?;
    let shown = rig.session(&session).await?;
    assert_eq!(shown["resumed"]["how"], "replayed", "{shown}");
    let current = text(&shown, "threadId");
    assert_ne!(current, former);
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(8));
    let told: Vec<(String, Value)> = calls(&rig, 3)?.into_iter().filter(|(name, _)| name == "codex").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told[0].1.to_string();
    for (said, times) in [("echo: alpha", 2), ("echo: beta", 2), ("gamma", 1)] {
        // Once as it was answered, and once inside the answer to RECALL.
        assert_eq!(told.matches(said).count(), times, "{said}: {told}");
    }

    // From here on the thread is there, and nothing is told again.
    let reply = Call::json("/reply", &json!({"threadId": former, "prompt": "SAY:more"})).ask(&rig.tcp()).await?;
    assert_answered(&reply, "more");
    assert_eq!((text(&reply.body, "sessionId"), text(&reply.body, "threadId")), (session, current));
    let last = calls(&rig, 0)?.pop();
    assert!(
        last.as_ref().is_some_and(|(name, arguments)| name == "codex-reply" && arguments["prompt"] == "SAY:more"),
        "{last:?}"
    );
    rig.assert_calm();
    Ok(())
}

/// What a program is, is what it answers, not what it calls itself: `--version`, then `initialize`, then `mcp-server`.
#[tokio::test]
async fn its_version_does_not_matter() -> Result<()> {
    let (removed, later, newest, oldest, none) = tokio::join!(
        calls_itself("0.154.0"),
        calls_itself("0.169.0"),
        calls_itself("9.9.9"),
        calls_itself("0.1.0"),
        calls_itself("stub"),
    );
    let tried = [removed, later, newest, oldest, none];
    let failed: Vec<String> = tried.into_iter().filter_map(|tried| Some(format!("{:#}", tried.err()?))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

async fn calls_itself(version: &str) -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let mut command = lab.command(&serving(&codex, &["--no-auth"])?);
    command.env("FAKE_CODEX_FAULT", "mcp-only").env("FAKE_CODEX_VERSION", version);
    let daemon = lab.boot(command).await?;
    timeout(Duration::from_secs(10), daemon.ready())
        .await
        .with_context(|| format!("version {version}: {}", daemon.log()))??;
    assert_eq!(daemon.start("SAY:x").await?.1, "x", "version {version}");
    Ok(())
}

/// A program that knows nothing but its one subcommand.
#[tokio::test]
async fn it_need_not_tell_a_version() -> Result<()> {
    for other in ["exit 1", "exit 0", "echo what; exit 2"] {
        let lab = lab().await?;
        let script = lab.dir.path().join("codex");
        let codex = fake_codex()?;
        let text =
            format!("#!/bin/sh\nif [ \"$1\" = mcp-server ]; then exec {} \"$@\"; fi\n{other}\n", codex.display());
        std::fs::write(&script, text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let mut command = lab.command(&serving(&script, &["--no-auth"])?);
        command.env("FAKE_CODEX_FAULT", "mcp-only");
        let daemon = lab.boot(command).await?;
        let ready = timeout(Duration::from_secs(20), daemon.ready()).await;
        ready.with_context(|| format!("{other}: {}", daemon.log()))??;
        assert_eq!(daemon.start("SAY:x").await?.1, "x", "{other}");
    }
    Ok(())
}

#[tokio::test]
async fn its_policy_is_sent() -> Result<()> {
    let rig = Rig::with(&["--no-auth", "--sandbox", "read-only", "--model", "our-model"], &STUB).await?;
    rig.daemon.start("SAY:x").await?;
    let (_, arguments) = calls(&rig, 0)?.remove(0);
    assert_eq!(arguments["sandbox"], "read-only", "{arguments}");
    assert_eq!(arguments["approval-policy"], "on-request", "{arguments}");
    assert_eq!(arguments["cwd"], json!(rig.lab.project), "{arguments}");
    assert_eq!(arguments["model"], "our-model", "{arguments}");
    Ok(())
}

#[tokio::test]
async fn what_is_told_again_has_a_budget() -> Result<()> {
    let flags = ["--no-auth", "--max-inject-chars", "600"];
    let rig = Rig::with(&flags, &STUB).await?;
    let said = |n: usize| format!("message-{n} {}", "試験🦀".repeat(30));
    let (session, _) = rig.daemon.start(&said(0)).await?;
    for n in 1..8 {
        rig.daemon.go_on(&session, &said(n)).await?;
    }
    let rig = rig.restarted(&flags, &STUB, |_| {}).await?;
    assert_eq!(rig.daemon.go_on(&session, "SAY:done").await?, "done");
    let told =
        calls(&rig, 8)?.into_iter().find(|(name, _)| name == "codex").map(|(_, arguments)| arguments.to_string());
    let told = told.unwrap_or_default();
    assert!(told.contains("message-7") && told.contains("SAY:done"), "the newest are kept: {told}");
    assert!(!told.contains("message-0") && !told.contains("message-3"), "the oldest are not: {told}");
    assert!(!told.contains('\u{fffd}'), "cut inside a character: {told}");
    // Cut between messages: whatever is told is told whole.
    let whole = "試験🦀".repeat(30);
    for n in (0..8).filter(|n| told.contains(&format!("message-{n} "))) {
        for piece in told.split(&format!("message-{n} ")).skip(1) {
            assert!(piece.starts_with(&whole), "message {n} was cut: {told}");
        }
    }
    assert_eq!(rig.session(&session).await?["history"].as_array().map(Vec::len), Some(18), "nothing is lost");
    Ok(())
}

#[tokio::test]
async fn its_failures_and_its_death_are_seen() -> Result<()> {
    let rig = Rig::with(&["--no-auth"], &STUB).await?;
    let reply = rig.daemon.post("/start", json!({"prompt": "FAIL:500"})).await?;
    assert_eq!((reply.status, &reply.body["isError"]), (200, &json!(true)), "{reply:?}");
    let session = text(&reply.body, "sessionId");
    assert_eq!(rig.daemon.go_on(&session, "SAY:on").await?, "on");
    let (other, _) = rig.daemon.start("alpha").await?;
    rig.daemon.kill_codex().await?;
    assert_eq!(rig.daemon.go_on(&other, "SAY:after").await?, "after");
    assert_eq!(rig.session(&other).await?["resumed"]["how"], "replayed");
    rig.assert_calm();
    Ok(())
}
