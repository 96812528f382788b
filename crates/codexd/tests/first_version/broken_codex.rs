//! A Codex that prints garbage, ends at once, hangs, or does not do as it was told: the daemon stays and says so.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Lab, eventually, fake_codex};
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, assert_refused, journal, lab, of_method, serving, text},
    wire::Call,
};

/// A daemon whose Codex need not become ready.
async fn boot(lab: Lab, codex: &Path, env: &[(&str, &str)]) -> Result<Rig> {
    let mut command = lab.command(&serving(codex, &["--no-auth"])?);
    command.env("FAKE_CODEX_LOG", journal(&lab)).envs(env.iter().copied());
    let daemon = lab.boot(command).await?;
    Ok(Rig { daemon, lab })
}

async fn boot_fault(fault: &str) -> Result<Rig> {
    // A stub tells a version that had an MCP server; that it need not is the theme of `stub`.
    let version = if fault.contains("mcp-only") { "0.153.4" } else { "0.169.0" };
    let env = [("FAKE_CODEX_FAULT", fault), ("FAKE_CODEX_VERSION", version)];
    boot(lab().await?, &fake_codex()?, &env).await
}

fn script(lab: &Lab, text: &str) -> Result<PathBuf> {
    let path = lab.dir.path().join("codex");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Asserts that the daemon is well and its Codex is not.
async fn assert_unavailable(rig: &Rig) -> Result<()> {
    let door = rig.tcp();
    eventually("it to be given up", async || {
        let agent = rig.daemon.agent().await.ok()?;
        assert_ne!(agent["status"], "ready", "{agent}");
        (agent["status"] == "unavailable" && agent["lastError"].is_string()).then_some(())
    })
    .await
    .with_context(|| rig.daemon.log())?;
    assert_eq!(Call::get("/healthz").send(&door).await?.status, 200);
    assert_eq!(Call::get("/readyz").send(&door).await?.status, 503);
    let health = Call::get("/health").ask(&door).await?;
    assert_eq!((health.status, &health.body["ok"], &health.body["ready"]), (200, &json!(true), &json!(false)));
    for door in [rig.tcp(), rig.socket()] {
        let start = Call::json("/start", &json!({"prompt": "SAY:x"}));
        let reply = timeout(Duration::from_secs(45), start.ask(&door)).await.context("/start hangs")??;
        assert_refused(&reply, 503, "AGENT_UNAVAILABLE");
        assert!(text(&reply.body, "error").to_lowercase().contains("codex"), "what is wrong with what? {reply:?}");
    }
    // What needs no Codex works.
    assert_eq!(Call::get("/sessions").send(&door).await?.status, 200);
    let reply = Call::get("/sessions/nope").ask(&door).await?;
    assert_refused(&reply, 404, "NO_SESSION");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn one_that_ends_at_once() -> Result<()> {
    let rig = boot_fault("exit-at-start").await?;
    assert_unavailable(&rig).await?;
    rig.daemon.stop().await
}

/// The same answer as later, whether it is given up already or still being tried: what has no Codex is no turn that failed.
#[tokio::test]
async fn one_that_is_still_being_tried() -> Result<()> {
    for _ in 0..3 {
        let rig = boot_fault("exit-at-start").await?;
        let mut replies = Vec::new();
        for _ in 0..4 {
            replies.push(rig.daemon.post("/start", json!({"prompt": "SAY:x"})).await?);
        }
        for reply in replies {
            assert_refused(&reply, 503, "AGENT_UNAVAILABLE");
        }
    }
    Ok(())
}

/// They wait for the same deadlines, so all at once.
#[tokio::test]
async fn those_that_hang() -> Result<()> {
    tokio::try_join!(
        hangs_at_initialize(),
        hangs_at_version(),
        stub_hangs_at_version(),
        hangs_at_everything("printf '\\377\\376\\000'; exec sleep 1000"),
        hangs_at_everything("exec cat"),
    )?;
    Ok(())
}

async fn hangs_at_everything(program: &str) -> Result<()> {
    assert_unavailable_with(program).await?.daemon.stop().await
}

async fn hangs_at_initialize() -> Result<()> {
    let rig = boot_fault("hang-at-initialize").await?;
    assert_eq!(Call::get("/readyz").send(&rig.tcp()).await?.status, 503, "before any deadline");
    assert_unavailable(&rig).await?;
    rig.daemon.stop().await
}

/// It works after the deadline.
async fn hangs_at_version() -> Result<()> {
    let rig = boot_fault("hang-at-version").await?;
    assert_eq!(Call::get("/readyz").send(&rig.tcp()).await?.status, 503, "before the deadline");
    // Told to wait or made to wait, but not for long.
    let start = Call::json("/start", &json!({"prompt": "SAY:early"}));
    let reply = timeout(Duration::from_secs(60), start.ask(&rig.tcp())).await.context("/start hangs")??;
    if reply.status != 200 {
        assert_refused(&reply, 503, "AGENT_UNAVAILABLE");
    }
    rig.daemon.ready().await?;
    assert_eq!(rig.daemon.start("SAY:ready").await?.1, "ready");
    rig.assert_calm();
    Ok(())
}

/// It works after the deadline.
async fn stub_hangs_at_version() -> Result<()> {
    let rig = boot_fault("hang-at-version,mcp-only").await?;
    rig.daemon.ready().await?;
    assert_eq!(rig.daemon.start("SAY:ready").await?.1, "ready");
    assert!(text(&rig.daemon.agent().await?, "backend").contains("mcp"));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn one_that_mixes_garbage_in_is_understood() -> Result<()> {
    for fault in ["garbage", "garbage,mcp-only"] {
        let rig = boot_fault(fault).await?;
        rig.daemon.ready().await?;
        let (session, answer) = rig.daemon.start("SAY:clear").await?;
        assert_eq!((answer.as_str(), rig.daemon.go_on(&session, "SAY:still").await?.as_str()), ("clear", "still"));
        rig.assert_calm();
    }
    Ok(())
}

async fn assert_unavailable_with(program: &str) -> Result<Rig> {
    let lab = lab().await?;
    let codex = script(&lab, program)?;
    let rig = boot(lab, &codex, &[]).await?;
    assert_unavailable(&rig).await.with_context(|| program.to_owned())?;
    Ok(rig)
}

#[tokio::test]
async fn one_that_is_no_codex_at_all() -> Result<()> {
    for program in ["echo garbage; exit 0", "echo garbage >&2; exit 3", "printf '\\377\\376\\000'", "kill -9 $$"] {
        assert_unavailable_with(program).await?.daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_that_never_stops_talking() -> Result<()> {
    for program in ["exec yes garbage", "exec tr '\\0' x < /dev/zero"] {
        let rig = assert_unavailable_with(program).await?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", rig.daemon.pid))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse()?;
        assert!(peak < 400_000, "{program}: {peak} kB");
        rig.daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_not_there() -> Result<()> {
    let lab = lab().await?;
    let nowhere = lab.dir.path().join("no-such-codex");
    let mut command = lab.command(&serving(&nowhere, &["--no-auth"])?);
    let hint = "no-such-codex";
    // Neither a daemon that says so nor one that does not start would be wrong.
    if let Ok(daemon) = lab.boot(command).await {
        let rig = Rig { daemon, lab };
        assert_unavailable(&rig).await?;
        let reply = rig.daemon.post("/start", json!({"prompt": "x"})).await?;
        assert!(text(&reply.body, "error").contains(hint) || rig.daemon.log().contains(hint), "{reply:?}");
    } else {
        command = lab.command(&serving(&nowhere, &["--no-auth"])?);
        let (output, text) = crate::fake_codex_rig::run(command).await?;
        assert!(!output.status.success() && text.contains(hint) && !text.contains("panicked"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn none_found() -> Result<()> {
    let lab = lab().await?;
    let empty = lab.dir.path().join("empty");
    std::fs::create_dir_all(&empty)?;
    let command = || {
        let mut command = lab.command(&["serve", "--port", "0", "--no-auth"]);
        command.env("PATH", &empty);
        command
    };
    let what_to_do = "codex install";
    if let Ok(daemon) = lab.boot(command()).await {
        let rig = Rig { daemon, lab };
        assert_unavailable(&rig).await?;
        let reply = rig.daemon.post("/start", json!({"prompt": "x"})).await?;
        assert!(text(&reply.body, "error").contains(what_to_do), "what to do? {reply:?}");
        assert!(rig.daemon.log().contains(what_to_do), "what to do? {}", rig.daemon.log());
    } else {
        let (output, text) = crate::fake_codex_rig::run(command()).await?;
        assert!(!output.status.success() && text.contains(what_to_do) && !text.contains("panicked"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn one_that_dies_in_a_turn() -> Result<()> {
    for (stage, stub) in [("request", ""), ("started", ""), ("user", ""), ("request", ",mcp-only")] {
        let lab = lab().await?;
        let once = lab.dir.path().join("struck");
        let fault = format!("exit-at-turn:{stage}{stub}");
        let env = [
            ("FAKE_CODEX_FAULT", fault.as_str()),
            ("FAKE_CODEX_FAULT_ONCE", once.to_str().context("not UTF-8")?),
            ("FAKE_CODEX_VERSION", if stub.is_empty() { "0.169.0" } else { "0.153.4" }),
        ];
        let rig = boot(lab, &fake_codex()?, &env).await?;
        rig.daemon.ready().await?;
        let reply = rig.daemon.post("/start", json!({"prompt": "alpha"})).await?;
        // The contract says what the turn becomes, not with which status the first version tells it.
        assert!(
            (reply.status == 200 && reply.body["isError"] == true) || (500..600).contains(&reply.status),
            "{fault}: {reply:?}"
        );
        let session = text(&reply.body, "sessionId");
        rig.daemon.ready().await?;
        assert_eq!(rig.daemon.go_on(&session, "SAY:on").await?, "on", "{fault}");
        let heard = rig.heard()?;
        let prompts = [of_method(&heard, "turn/start"), of_method(&heard, "tools/call")].concat();
        let alphas = prompts
            .iter()
            .filter(|params| params["input"][0]["text"] == "alpha" || params["arguments"]["prompt"] == "alpha")
            .count();
        assert_eq!(alphas, 1, "given to Codex at most once: {fault}");
        rig.assert_calm();
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_overloaded_is_asked_again() -> Result<()> {
    let rig = boot_fault("overloaded:3").await?;
    rig.daemon.ready().await?;
    assert_eq!(rig.daemon.start("SAY:at last").await?.1, "at last");
    Ok(())
}

#[tokio::test]
async fn one_that_widens_its_policy_is_not_worked_with() -> Result<()> {
    let rig = boot_fault("wider").await?;
    rig.daemon.ready().await?;
    let reply = rig.daemon.post("/start", json!({"prompt": "SAY:wide"})).await?;
    assert_eq!((reply.status, &reply.body["isError"]), (200, &json!(true)), "{reply:?}");
    let reason = text(&reply.body["content"][0], "text");
    let said = reason.to_lowercase();
    assert!(["policy", "sandbox", "wide", "danger", "never"].iter().any(|word| said.contains(word)), "{reason}");
    assert_eq!(of_method(&rig.heard()?, "turn/start").len(), 0, "the prompt was given to it");
    rig.assert_calm();
    Ok(())
}
