//! Stopping, as a service manager does it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Lab, eventually, fake_codex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{
    fake_codex_rig::{Rig, heard, lab, of_method, serving, tcp},
    wire::Call,
};

/// Whether a process is there and not only waiting to be reaped.
fn lives(pid: u64) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// All processes that the lab's Codex ran as.
fn codexes(lab: &Lab) -> Result<Vec<u64>> {
    Ok(heard(lab)?.iter().filter_map(|head| head["pid"].as_u64()).collect())
}

#[tokio::test]
async fn a_stop_is_clean() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    daemon.start("SAY:x").await?;
    let pid = daemon.agent().await?["pid"].as_u64().context("no pid")?;
    assert!(lives(pid));
    // It ends with status 0.
    daemon.stop().await?;
    assert!(!lab.store.join("daemon.json").exists(), "daemon.json is still there");
    for pid in codexes(&lab)? {
        eventually("Codex to be gone", async || (!lives(pid)).then_some(())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_it() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    let address = daemon.url.trim_start_matches("http://").to_owned();
    let silent = TcpStream::connect(&address).await?;
    let mut kept_alive = TcpStream::connect(&address).await?;
    kept_alive.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut some = [0_u8; 12];
    kept_alive.read_exact(&mut some).await?;
    assert_eq!(&some, b"HTTP/1.1 200");
    timeout(Duration::from_secs(10), daemon.stop()).await.context("it does not stop")??;
    assert!(!lab.store.join("daemon.json").exists());
    drop((silent, kept_alive));
    Ok(())
}

#[tokio::test]
async fn a_turn_under_way_does_not_keep_it() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    let (session, _) = daemon.start("alpha").await?;
    let door = tcp(&daemon);
    let body = json!({"sessionId": session, "prompt": "SLOW:150:100"});
    let caller = tokio::spawn(async move { Call::json("/continue", &body).ask(&door).await });
    let asked = |heard: &[serde_json::Value]| {
        of_method(heard, "turn/start").iter().filter(|turn| turn["input"][0]["text"] == "SLOW:150:100").count()
    };
    eventually("the turn to run", async || (asked(&heard(&lab).ok()?) == 1).then_some(())).await?;
    timeout(Duration::from_secs(40), daemon.stop()).await.context("it does not stop")??;
    assert!(!lab.store.join("daemon.json").exists());
    // The caller hears that it came to nothing, in one way or the other.
    let heard_by_caller = caller.await?;
    let good = heard_by_caller.as_ref().is_ok_and(|reply| reply.status == 200 && reply.body.get("isError").is_none());
    assert!(!good, "{heard_by_caller:?}");

    let daemon = crate::fake_codex_rig::serve(&lab, &["--no-auth"], &[]).await?;
    assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    assert_eq!(asked(&heard(&lab)?), 1, "given to Codex at most once");
    Ok(())
}

#[tokio::test]
async fn sigint_is_a_stop_too() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    let status = Command::new("kill").args(["-INT", &daemon.pid.to_string()]).status().await?;
    assert!(status.success());
    eventually("daemon.json to be gone", async || (!lab.store.join("daemon.json").exists()).then_some(())).await?;
    let pid = u64::from(daemon.pid);
    eventually("codexd to be gone", async || (!lives(pid)).then_some(())).await
}

#[tokio::test]
async fn a_broken_codex_does_not_keep_it() -> Result<()> {
    for fault in ["hang-at-version", "hang-at-initialize"] {
        let lab = lab().await?;
        let codex = fake_codex()?;
        let mut command = lab.command(&serving(&codex, &["--no-auth"])?);
        command.env("FAKE_CODEX_FAULT", fault);
        let daemon = lab.boot(command).await?;
        daemon.stop().await.context(fault)?;
        assert!(!lab.store.join("daemon.json").exists(), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_and_a_start_at_the_same_port() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("SAY:x").await?;
    let port = rig.daemon.url.rsplit(':').next().unwrap_or_default().to_owned();
    let door = rig.tcp();
    assert_eq!(Call::get("/sessions").send(&door).await?.status, 200);
    // A later flag wins over the harness's own `--port 0`, or the environment is asked.
    let Rig { daemon, lab } = rig;
    daemon.stop().await?;
    let codex = fake_codex()?;
    let args = ["serve", "--port", &port, "--no-auth", "--codex-cmd", codex.to_str().context("not UTF-8")?];
    let daemon = lab.boot(lab.command(&args)).await?;
    daemon.ready().await?;
    assert!(daemon.url.ends_with(&format!(":{port}")), "{}", daemon.url);
    let reply = Call::json("/continue", &json!({"sessionId": session, "prompt": "SAY:y"})).ask(&door).await?;
    crate::fake_codex_rig::assert_answered(&reply, "y");
    Ok(())
}
