//! Taking over the first version's store, with a daemon and without one.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Lab, fake_codex};

use crate::ran::{CODEXD, run};

const ID: &str = "0123456789ab";

/// A store of the first version with one session and one file that is none.
fn old_store(lab: &Lab) -> Result<PathBuf> {
    let dir = lab.dir.path().join("old");
    fs::create_dir(&dir)?;
    let meta = json!({"title": "An old one", "titleLocked": false, "titleSource": "auto", "cwd": lab.project});
    let session = json!({
        "sessionId": ID, "createdAtMs": 1_700_000_000_000_i64, "updatedAtMs": 1_700_000_060_000_i64,
        "threadId": "thread-of-old", "meta": meta,
        "history": [
            {"role": "user", "text": "where is the ladder?", "tsMs": 1_700_000_000_000_i64},
            {"role": "assistant", "text": "in the shed", "tsMs": 1_700_000_060_000_i64},
        ],
    });
    fs::write(dir.join(format!("{ID}.json")), session.to_string())?;
    let index = json!({"sessions": {ID: {"createdAtMs": 1_700_000_000_000_i64, "updatedAtMs": 1_700_000_060_000_i64}}});
    fs::write(dir.join("sessions.json"), index.to_string())?;
    Ok(dir)
}

#[tokio::test]
async fn without_a_daemon_it_is_done_here_and_again_changes_nothing() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let dir = old_store(&lab)?;
    let path = dir.to_str().context("path")?;
    let first = run(&lab, &["import", path]).await?;
    assert!(first.code == Some(0) && first.out.contains("imported  1"), "{first:?}");
    fs::write(dir.join("ffffffffffff.json"), "{\"history\": [")?;
    let again = run(&lab, &["import", path, "--json"]).await?;
    let told = again.json()?;
    assert_eq!(again.code, Some(1), "something is damaged: {again:?}");
    assert_eq!((&told["imported"], &told["unchanged"]), (&json!(0), &json!(1)));
    assert_eq!(told["damaged"][0]["file"], "ffffffffffff.json");
    let named = run(&lab, &["import", path]).await?;
    assert!(named.code == Some(1) && named.err.contains("ffffffffffff.json"), "{named:?}");
    let wrong = run(&lab, &["import", "/no/such/folder"]).await?;
    assert_eq!(wrong.code, Some(2));
    let nothing = run(&lab, &["import", lab.project.to_str().context("path")?]).await?;
    assert!(nothing.code == Some(1) && nothing.err.contains("first version"), "{nothing:?}");

    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let answer = run(&lab, &["continue", ID, "RECALL"]).await?.good()?;
    assert!(answer.contains("in the shed"), "it goes on with what was said: {answer}");
    daemon.stop().await
}

#[tokio::test]
async fn a_daemon_does_it_while_it_runs() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let dir = old_store(&lab)?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let path = dir.to_str().context("path")?;
    let ran = run(&lab, &["import", path, "--json"]).await?;
    assert_eq!((ran.code, &ran.json()?["imported"]), (Some(0), &json!(1)), "{ran:?}");
    let shown = run(&lab, &["sessions", "show", ID]).await?.good()?;
    assert!(shown.contains("An old one") && shown.contains("in the shed"), "{shown}");
    let found = run(&lab, &["sessions", "search", "ladder"]).await?.good()?;
    assert!(found.contains(ID), "{found}");
    let nothing = run(&lab, &["import", lab.project.to_str().context("path")?]).await?;
    assert!(nothing.code == Some(1) && nothing.err.contains("first version"), "{nothing:?}");
    daemon.stop().await
}
