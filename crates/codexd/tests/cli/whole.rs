//! The daemon and the Codex that the commands are about.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Lab, fake_codex, real_codex};

use crate::{
    cut::Stub,
    ran::{CODEXD, rig, run},
};

#[tokio::test]
async fn status_tells_the_daemon_its_codex_and_what_one_may() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let status = run(&lab, &["status"]).await?.good()?;
    let store = lab.store.to_str().context("path")?;
    for part in ["ready", "0.169.0", "app-server", &daemon.url, store, "workspace-write", "on-request", "0 sessions"] {
        assert!(status.contains(part), "{part} is missing: {status}");
    }
    run(&lab, &["start", "HANG", "--detach"]).await?.good()?;
    let told = run(&lab, &["status", "--json"]).await?.json()?;
    assert_eq!((&told["agent"]["status"], &told["running"]), (&Value::from("ready"), &Value::from(1)));
    let one = run(&lab, &["status"]).await?.good()?;
    assert!(one.contains("1 session\n"), "{one}");
    assert_eq!(
        (told["policy"]["principal"].as_str(), told["daemon"]["pid"].as_u64()),
        (Some("local"), Some(daemon.pid.into()))
    );
    daemon.stop().await
}

#[tokio::test]
async fn status_is_no_success_while_codex_is_not_there() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = fake_codex()?;
    let mut command = lab.command(&["serve", "--port", "0", "--codex-cmd", codex.to_str().context("path")?]);
    command.env("FAKE_CODEX_FAULT", "exit-at-start").stdin(Stdio::null());
    let daemon = lab.boot(command).await?;
    let ran = run(&lab, &["status", "--json"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_ne!(ran.json()?["agent"]["status"], "ready");
    daemon.stop().await
}

#[tokio::test]
async fn status_is_no_success_while_the_store_takes_nothing() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let agent = json!({"status": "ready", "restarts": 0, "supported": {"from": "0", "to": "1"}});
    let policy = json!({"principal": "local", "scopes": [], "cwd": "/", "roots": [], "chooseCwd": true, "config": [], "sandbox": "read-only",
        "widestSandbox": "read-only", "approvalPolicy": "never", "widestApprovalPolicy": "never"});
    let full = json!({"title": "The store is full", "status": 507, "detail": "no room is left", "code": "STORE_FULL"});
    let _stub = Stub::new(&lab, move |_, request| {
        let (status, body) = match request.split_whitespace().nth(1) {
            Some("/v1/agent") => (200, &agent),
            Some("/v1/policy") => (200, &policy),
            Some("/readyz") => (507, &full),
            _ => return Some((200, json!({"sessions": []}).to_string())),
        };
        Some((status, body.to_string()))
    })
    .await?;
    let ran = run(&lab, &["status"]).await?;
    assert!(ran.code == Some(1) && ran.out.contains("no room is left") && ran.out.contains("ready"), "{ran:?}");
    let ran = run(&lab, &["status", "--json"]).await?;
    assert_eq!((ran.code, &ran.json()?["storeProblem"]), (Some(1), &json!("no room is left")));
    Ok(())
}

#[tokio::test]
async fn the_demo_holds_on_the_real_codex() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let ran = run(&lab, &["demo", "--json", "--codex-cmd", codex.to_str().context("not UTF-8")?]).await?;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    let steps: Vec<Value> = ran.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(steps.len() >= 7, "{}", ran.out);
    Ok(())
}

#[tokio::test]
async fn it_installs_the_real_codex_where_it_then_finds_it() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let first = run(&lab, &["codex", "install"]).await?;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let home: Vec<_> = fs::read_dir(lab.dir.path().join("home"))?.collect();
    assert!(home.is_empty(), "nothing is left in the home folder: {home:?}");
    let mut which = lab.command(&["codex", "which", "--json"]);
    let output = which.env("PATH", "").output().await?;
    let which: Value = serde_json::from_slice(&output.stdout)?;
    assert!(which["program"].as_str().is_some_and(|path| path.starts_with(&*lab.store.to_string_lossy())), "{which}");
    assert_eq!(which["version"], "0.169.0");
    let again = run(&lab, &["codex", "install", "0.169.0"]).await?;
    assert!(again.code == Some(0) && (again.out + &again.err).contains("already"), "{}", again.code.unwrap_or(-1));
    let wrong = run(&lab, &["codex", "install", "latest"]).await?;
    assert!(wrong.code != Some(0) && wrong.err.contains("latest"), "{}", wrong.err);
    Ok(())
}
