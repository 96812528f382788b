//! What is only so on Windows: the pipe, that the command line goes by it, and the agent host. `cargo xtask wine` runs it where there is no Windows.

#![cfg(windows)]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Lab, eventually, fake_codex};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// What a command says on stdout.
async fn said(lab: &Lab, args: &[&str]) -> Result<String> {
    let output = lab.command(args).env_remove("CODEXD_LOG").output().await?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{args:?}: {}\n{stdout}\n{stderr}", output.status);
    Ok(stdout.trim().to_owned())
}

#[tokio::test]
async fn the_command_line_goes_by_the_pipe_and_needs_no_token() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    assert_eq!(said(&lab, &["--version"]).await?, format!("codexd {}", env!("CARGO_PKG_VERSION")));
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let file: Value = serde_json::from_slice(&std::fs::read(lab.store.join("daemon.json"))?)?;
    let socket = file["socket"].as_str().context("no socket")?.to_owned();
    assert!(socket.starts_with(r"\\.\pipe\codexd-"), "{socket}");
    assert!(file["processStart"].is_u64(), "{file}");

    let made: Value = serde_json::from_str(&said(&lab, &["start", "--json", "--detach", "SAY:one"]).await?)?;
    let session = made["session"]["id"].as_str().with_context(|| made.to_string())?.to_owned();
    assert_eq!(said(&lab, &["continue", &session, "SAY:two"]).await?, "two");
    assert!(said(&lab, &["status"]).await?.contains(&socket));
    assert!(said(&lab, &["sessions", "--json"]).await?.contains(&session));
    // By TCP nobody is let in without a token.
    let by_tcp = client_of(&daemon.url).agent().await;
    assert!(by_tcp.is_err_and(|error| error.to_string().contains("token")));

    said(&lab, &["stop"]).await?;
    let audit = std::fs::read_to_string(lab.store.join("audit.jsonl"))?;
    assert!(audit.contains(r#""transport":"socket","peer":"pipe, pid "#), "{audit}");
    assert!(!lab.store.join("daemon.json").exists());
    Ok(())
}

fn client_of(url: &str) -> client::Client {
    match client::Client::tcp(url, None) {
        Ok(client) => client,
        Err(error) => unreachable!("{error}"),
    }
}

#[tokio::test]
async fn many_come_at_once() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = daemon.client.clone();
        all.spawn(async move { client.agent().await.map(|reply| reply.value.pid) });
    }
    let pids = all.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(pids.iter().all(|pid| pid.is_some() && *pid == pids[0]), "{pids:?}");
    daemon.stop().await
}

/// A stream of events ends with the daemon, and a long answer comes whole.
#[tokio::test]
async fn a_long_answer_comes_whole() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let (_, answer) = daemon.start("BIG:2000000").await?;
    assert!(answer.len() >= 2_000_000, "{}", answer.len());
    daemon.stop().await
}

/// A daemon that was killed leaves the name of its pipe behind.
#[tokio::test]
async fn after_a_crash_nobody_is_there_and_the_next_one_is_found() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    daemon.kill().await?;
    let output = lab.command(&["status"]).output().await?;
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("codexd serve"), "{text}");
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    assert_eq!(daemon.start("SAY:again").await?.1, "again");
    daemon.stop().await
}

/// Codex and its turn are with the host, which is nobody's child any more.
#[tokio::test]
async fn a_turn_outlives_a_daemon_that_is_killed() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = fake_codex()?;
    let daemon = lab.serve(&codex, &[]).await?;
    let pid = daemon.agent().await?["pid"].clone();
    let made = daemon.post("/v1/sessions", json!({"prompt": "SLOW:40:50"})).await?.body;
    let id = made["turn"]["id"].as_str().context("no turn")?.to_owned();
    eventually("the turn to run", async || {
        (daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body["delivery"] == "yes").then_some(())
    })
    .await?;
    daemon.kill().await?;
    let daemon = lab.serve(&codex, &[]).await?;
    assert_eq!(daemon.agent().await?["pid"], pid, "{}", daemon.log());
    let turn = eventually("the turn to end", async || {
        let turn = daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body;
        (turn["status"] != "running" && turn["status"] != "queued").then_some(turn)
    })
    .await?;
    assert_eq!(turn["status"], "completed", "{turn}");
    let answer = turn["answer"].as_str().unwrap_or_default();
    assert!(answer.starts_with("1 2 3") && answer.ends_with("40"), "{answer}");
    daemon.stop().await?;
    assert_eq!(std::fs::read_dir(lab.store.join("agents"))?.count(), 0, "no host stays that has no turn");
    Ok(())
}
