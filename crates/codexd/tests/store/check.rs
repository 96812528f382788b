//! `codexd check`: what is wrong with a store is found, told and, where it can be, mended.

use anyhow::Result;
use serde_json::json;
use testkit::{Lab, fake_codex};

use crate::ran::{CODEXD, run};

#[tokio::test]
async fn what_is_wrong_is_told_and_mended_while_no_daemon_runs() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let none = run(&lab, &["check"]).await?;
    assert!(none.code == Some(1) && none.err.contains("there is no store"), "{none:?}");
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let (session, _) = daemon.start("SAY:in the shed").await?;
    let live = run(&lab, &["check"]).await?;
    assert!(live.code == Some(0) && live.out.contains("is sound") && live.err.contains("daemon"), "{live:?}");
    let refused = run(&lab, &["check", "--repair"]).await?;
    assert!(refused.code == Some(1) && refused.err.contains("belongs to another codexd"), "{refused:?}");
    daemon.stop().await?;
    assert_eq!(run(&lab, &["check", "--json"]).await?.json()?["ok"], true);

    let store = rusqlite::Connection::open(lab.store.join("store.db"))?;
    store.execute_batch(
        "UPDATE sessions SET turn_count = 7; INSERT INTO messages_fts (messages_fts, rowid, text) \
         SELECT 'delete', n, text || char(10, 10) FROM items WHERE text IS NOT NULL",
    )?;
    drop(store);
    let told = run(&lab, &["check"]).await?;
    assert!(told.code == Some(1) && told.out.contains(&session) && told.out.contains("--repair"), "{told:?}");
    let mended = run(&lab, &["check", "--repair", "--json"]).await?;
    let seen = mended.json()?;
    assert_eq!((mended.code, &seen["ok"]), (Some(0), &json!(true)), "{seen}");
    let names: Vec<&str> =
        seen["problems"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["turnCount", "searchIndex"]);
    let well = run(&lab, &["check"]).await?;
    assert!(well.code == Some(0) && well.out.contains("is sound"), "{well:?}");
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let found = run(&lab, &["sessions", "search", "shed"]).await?.good()?;
    assert!(found.contains(&session), "{found}");
    daemon.stop().await
}

#[tokio::test]
async fn a_turn_that_a_killed_daemon_left_is_no_damage() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let made = daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?.body;
    let path = format!("/v1/turns/{}", made["turn"]["id"].as_str().unwrap_or_default());
    testkit::eventually("the turn to run", async || {
        (daemon.get(&path).await.ok()?.body["status"] == "running").then_some(())
    })
    .await?;
    daemon.kill().await?;
    let told = run(&lab, &["check"]).await?;
    assert!(told.code == Some(0) && told.err.contains("the next start settles them"), "{told:?}");
    Ok(())
}
