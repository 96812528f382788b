//! Coming up: where it listens and says so, and what keeps it from it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::fake_codex;
use tokio::net::TcpListener;

use crate::{
    fake_codex_rig::{Rig, assert_keys, lab, run, serving, text},
    wire::{Call, Door},
};

#[tokio::test]
async fn a_free_port_is_printed_and_written_down() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let file: Value = serde_json::from_slice(&std::fs::read(rig.lab.store.join("daemon.json"))?)?;
    assert_keys(&file, &["pid", "processStart", "startedAt", "version", "http", "socket"]);
    assert_eq!(file["pid"], rig.daemon.pid);
    assert_eq!(text(&file, "socket"), rig.lab.store.join("codexd.sock").to_string_lossy());
    let at = text(&file, "startedAt");
    assert!(at.len() == 24 && at.ends_with('Z') && at.contains('T'), "{at}");
    let url = text(&file, "http");
    let port: u16 = url.strip_prefix("http://127.0.0.1:").context("not on loopback")?.parse()?;
    assert!(port > 0 && rig.daemon.log().contains(&format!("127.0.0.1:{port}")), "{}", rig.daemon.log());
    assert_eq!(Call::get("/healthz").send(&Door::Tcp(format!("127.0.0.1:{port}"))).await?.status, 200);
    let version = text(&file, "version");
    assert_eq!(text(&rig.daemon.get("/health").await?.body, "version"), version);
    Ok(())
}

#[tokio::test]
async fn a_store_has_one_daemon() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("SAY:first").await?;
    let codex = fake_codex()?;
    for skipped in [0, 1] {
        let (output, text) = run(rig.lab.command(&serving(&codex, &["--no-auth"])?[skipped..])).await?;
        assert!(!output.status.success(), "{text}");
        let pid = rig.daemon.pid.to_string();
        assert!(text.contains(&pid), "the pid of the first, {pid}, is not in: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    assert_eq!(rig.daemon.go_on(&session, "SAY:undisturbed").await?, "undisturbed");
    assert_eq!(Call::get("/healthz").send(&rig.tcp()).await?.status, 200);
    let file: Value = serde_json::from_slice(&std::fs::read(rig.lab.store.join("daemon.json"))?)?;
    assert_eq!(file["pid"], rig.daemon.pid);
    Ok(())
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_in_nobodys_way() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    let (session, _) = daemon.start("SAY:first").await?;
    daemon.kill().await?;
    assert!(lab.store.join("daemon.json").exists(), "a kill cannot tidy up");
    let daemon = crate::fake_codex_rig::serve(&lab, &["--no-auth"], &[]).await?;
    assert_eq!(daemon.go_on(&session, "SAY:again").await?, "again");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port().to_string();
    let lab = lab().await?;
    let codex = fake_codex()?;
    let codex = codex.to_str().context("not UTF-8")?;
    let (output, text) = run(lab.command(&["serve", "--codex-cmd", codex, "--port", &port])).await?;
    assert!(!output.status.success() && text.contains(&port), "{text}");
    assert!(text.contains("--port") || text.contains("in use"), "what to do? {text}");
    assert!(!text.contains("panicked") && !lab.store.join("daemon.json").exists(), "{text}");
    // With a free one it comes up: nothing was left behind.
    let daemon = crate::fake_codex_rig::serve(&lab, &[], &[]).await?;
    assert_eq!(daemon.start("SAY:up").await?.1, "up");
    Ok(())
}

#[tokio::test]
async fn a_store_dir_that_is_none() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let file = lab.dir.path().join("a-file");
    std::fs::write(&file, "mine")?;
    let below = file.join("store");
    for store in [&file, &below] {
        let store = store.to_str().context("not UTF-8")?;
        let (output, text) = run(lab.command(&serving(&codex, &["--store-dir", store])?)).await?;
        assert!(!output.status.success() && text.contains("a-file"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&file)?, "mine");
    Ok(())
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&[]).await?;
    daemon.start("SAY:kept").await?;
    daemon.stop().await?;
    let is_database =
        |path: &std::path::Path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
    let entries: Vec<_> = lab.store.read_dir()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let database = entries.iter().find(|path| is_database(path)).context("no database")?;
    // `user_version`, where the file format of SQLite has it.
    let mut bytes = std::fs::read(database)?;
    let version = bytes[60..64].to_vec();
    assert_ne!(version, [0; 4], "the store has no version");
    bytes[60..64].copy_from_slice(&[0, 1, 0, 0]);
    std::fs::write(database, &bytes)?;
    let codex = fake_codex()?;
    let (output, text) = run(lab.command(&serving(&codex, &[])?)).await?;
    assert!(!output.status.success() && text.contains("newer") && !text.contains("panicked"), "{text}");
    assert_eq!(std::fs::read(database)?[60..64], [0, 1, 0, 0], "it was changed");
    // Nothing is lost: with its own version back it opens again.
    bytes[60..64].copy_from_slice(&version);
    std::fs::write(database, &bytes)?;
    let daemon = crate::fake_codex_rig::serve(&lab, &[], &[]).await?;
    assert_eq!(daemon.get("/sessions").await?.body["sessions"][0]["title"], json!("SAY:kept"));
    Ok(())
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    for flags in [&["--host", "0.0.0.0"][..], &["--host", "0.0.0.0", "--no-auth"]] {
        let (output, text) = run(lab.command(&serving(&codex, flags)?)).await?;
        assert!(!output.status.success() && text.contains("token"), "{flags:?}: {text}");
    }
    Ok(())
}
