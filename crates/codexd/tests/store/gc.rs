//! `codexd gc`: old sessions go, through the daemon or without one, and their text with them.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, eventually, fake_codex};

use crate::ran::{CODEXD, run};

/// Lets a session be one of long ago.
fn age(lab: &Lab, id: &str) -> Result<()> {
    let store = rusqlite::Connection::open(lab.store.join("store.db"))?;
    store.busy_timeout(std::time::Duration::from_secs(5))?;
    let changed = store.execute("UPDATE sessions SET updated_at = updated_at - 86400000 * 100 WHERE id = ?1", [id])?;
    anyhow::ensure!(changed == 1);
    Ok(())
}

async fn session(daemon: &Daemon, prompt: &str, archived: bool) -> Result<String> {
    let (id, _) = daemon.start(prompt).await?;
    if archived {
        daemon.request("PATCH", &format!("/v1/sessions/{id}"), Some(&json!({"archived": true}))).await?;
    }
    Ok(id)
}

async fn there(daemon: &Daemon, id: &str) -> Result<bool> {
    Ok(daemon.get(&format!("/v1/sessions/{id}")).await?.status == 200)
}

/// Whether the store's files have this in them.
fn holds(lab: &Lab, text: &str) -> Result<bool> {
    for name in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(lab.store.join(name)).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::test]
async fn old_archived_sessions_go_through_the_daemon_and_others_stay() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let old = session(&daemon, "SAY:zebra-quince-81", true).await?;
    let idle = session(&daemon, "SAY:old and not archived", false).await?;
    let fresh = session(&daemon, "SAY:archived just now", true).await?;
    age(&lab, &old)?;
    age(&lab, &idle)?;

    let nobody = run(&lab, &["gc", "--older-than", "90d"]).await?;
    assert!(nobody.code == Some(2) && nobody.err.contains("--yes"), "{nobody:?}");
    let looked = run(&lab, &["gc", "--older-than", "90d", "--dry-run"]).await?;
    assert!(looked.code == Some(0) && looked.out.contains(&old) && !looked.out.contains(&fresh), "{looked:?}");
    assert!(there(&daemon, &old).await? && holds(&lab, "zebra-quince-81")?);
    let done = run(&lab, &["gc", "--older-than", "90d", "--yes", "--json"]).await?;
    assert_eq!((done.code, &done.json()?["deleted"]), (Some(0), &json!([old])), "{done:?}");
    assert!(!there(&daemon, &old).await? && there(&daemon, &idle).await? && there(&daemon, &fresh).await?);
    eventually("its text to leave the files", async || (!holds(&lab, "zebra-quince-81").ok()?).then_some(())).await?;

    let done = run(&lab, &["gc", "--older-than", "90d", "--all-idle", "--yes"]).await?;
    assert!(done.code == Some(0) && done.err.contains("deleted 1 session"), "{done:?}");
    assert!(!there(&daemon, &idle).await? && there(&daemon, &fresh).await?);
    let status: Value = run(&lab, &["status", "--json"]).await?.json()?;
    assert_eq!(status["storeSize"]["sessions"], 1, "{status}");
    assert!(
        status["storeSize"]["bytes"].as_u64() > Some(4096) && status["diskFreeBytes"].as_u64() > Some(0),
        "{status}"
    );
    daemon.stop().await
}

#[tokio::test]
async fn a_session_with_work_stays_however_old_it_is() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let made = daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?.body;
    let busy = made["session"]["id"].as_str().context("no id")?.to_owned();
    let turn = format!("/v1/turns/{}", made["turn"]["id"].as_str().context("no turn")?);
    eventually("the turn to run", async || (daemon.get(&turn).await.ok()?.body["status"] == "running").then_some(()))
        .await?;
    age(&lab, &busy)?;
    let done = run(&lab, &["gc", "--older-than", "90d", "--all-idle", "--yes", "--json"]).await?;
    assert_eq!((done.code, &done.json()?["deleted"]), (Some(0), &json!([])), "{done:?}");
    assert!(there(&daemon, &busy).await?);
    daemon.kill().await
}

#[tokio::test]
async fn without_a_daemon_it_is_done_here_and_the_store_is_small_after() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let old = session(&daemon, "BIG:2000000", true).await?;
    let kept = session(&daemon, "SAY:kept", true).await?;
    age(&lab, &old)?;
    daemon.stop().await?;
    let large = std::fs::metadata(lab.store.join("store.db"))?.len();
    let done = run(&lab, &["gc", "--older-than", "90d", "--yes"]).await?;
    assert!(done.code == Some(0) && done.err.contains("deleted 1 session"), "{done:?}");
    let small = std::fs::metadata(lab.store.join("store.db"))?.len();
    assert!(large > 2_000_000 && small < large / 4, "{large} {small}");
    let nothing = run(&lab, &["gc", "--older-than", "90d", "--dry-run"]).await?;
    assert!(nothing.code == Some(0) && nothing.err.contains("nothing is that old"), "{nothing:?}");
    assert_eq!(run(&lab, &["check"]).await?.code, Some(0));
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    assert!(!there(&daemon, &old).await? && there(&daemon, &kept).await?);
    daemon.stop().await
}
