//! Backups of a store that a daemon writes, and their return.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, fake_codex};

use crate::{
    fake_codex_rig::tcp,
    ran::{CODEXD, run},
    sse::Stream,
};

async fn turn_ids(daemon: &Daemon) -> Result<BTreeSet<String>> {
    let (mut ids, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = daemon.get(&format!("/v1/sessions?limit=200&archived=all{cursor}")).await?.body;
        for session in page["sessions"].as_array().context("no list")? {
            let id = session["id"].as_str().context("no id")?;
            let turns = daemon.get(&format!("/v1/sessions/{id}/turns?limit=200")).await?.body;
            ids.extend(
                turns["turns"].as_array().into_iter().flatten().filter_map(|t| t["id"].as_str().map(str::to_owned)),
            );
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}

async fn acknowledged(daemon: &Daemon, n: usize) -> Result<String> {
    let made = daemon.post("/v1/sessions?wait=60", json!({"prompt": format!("SAY:answer {n}")})).await?;
    anyhow::ensure!(made.status == 201 && made.body["turn"]["status"] == "completed", "{made:?}");
    Ok(made.body["turn"]["id"].as_str().context("no turn")?.to_owned())
}

/// The epoch, and what a reader is told that comes with an event of somewhere else.
async fn reset(daemon: &Daemon, after: i64) -> Result<(Value, Option<Value>)> {
    let mut stream = Stream::open(&tcp(daemon), "/v1/events", Some(after)).await?;
    let connected = stream.next().await?.context("nothing")?;
    let epoch = connected.data["storeEpoch"].clone();
    if connected.data["lastId"].as_i64().context("no number")? >= after {
        return Ok((epoch, None));
    }
    let next = stream.next().await?.context("nothing")?;
    Ok((epoch, (next.name == "stream.reset").then_some(next.data)))
}

#[tokio::test]
async fn a_backup_is_made_beside_a_daemon_and_restored_into_a_new_one() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &["--no-auth"]).await?;
    let path = lab.dir.path().join("backup.db");
    let file = path.to_str().context("path")?;
    let mut before = BTreeSet::new();
    for n in 0..20 {
        before.insert(acknowledged(&daemon, n).await?);
    }
    let done = AtomicBool::new(false);
    let writing = async {
        let mut n = 20;
        while !done.load(Ordering::Relaxed) {
            acknowledged(&daemon, n).await?;
            n += 1;
        }
        anyhow::Ok(n)
    };
    let backing_up = async {
        // One after the other, until a turn was certainly taken meanwhile.
        let mut made = run(&lab, &["backup", file]).await?;
        for _ in 0..3 {
            made = run(&lab, &["backup", file, "--force", "--json"]).await?;
        }
        done.store(true, Ordering::Relaxed);
        anyhow::Ok(made)
    };
    let (written, made) = tokio::try_join!(writing, backing_up)?;
    assert!(written > 20, "nothing was written meanwhile");
    let told = made.json()?;
    assert_eq!((made.code, told["file"].as_str()), (Some(0), Some(file)), "{made:?}");
    assert!(told["turns"].as_u64() >= Some(20) && told["bytes"].as_u64() > Some(50_000), "{told}");
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    let again = run(&lab, &["backup", file]).await?;
    assert!(again.code == Some(1) && again.err.contains("--force"), "{again:?}");
    let (epoch, nothing) = reset(&daemon, 1).await?;
    assert_eq!(nothing, None);
    let last = daemon.get("/v1/sessions").await.map(|_| i64::MAX / 2)?;

    let refused = run(&lab, &["restore", file]).await?;
    assert!(refused.code == Some(1) && refused.err.contains("belongs to another codexd"), "{refused:?}");
    acknowledged(&daemon, 9_999).await?;
    let all = turn_ids(&daemon).await?;
    daemon.stop().await?;

    let restored = run(&lab, &["restore", file, "--json"]).await?;
    let kept = restored.json()?["kept"].as_str().context("nothing was kept")?.to_owned();
    assert!(restored.code == Some(0) && std::fs::metadata(&kept)?.len() > 50_000, "{restored:?}");
    let daemon = lab.serve(&fake_codex()?, &["--no-auth"]).await?;
    let there = turn_ids(&daemon).await?;
    assert!(before.is_subset(&there), "every turn that was acknowledged before");
    assert!(there.is_subset(&all) && there.len() < all.len(), "and nothing that came after");
    let (renewed, reset_to) = reset(&daemon, last).await?;
    assert_ne!(renewed, epoch);
    assert_eq!(reset_to.context("no stream.reset")?["storeEpoch"], renewed);
    acknowledged(&daemon, 10_000).await?;
    daemon.stop().await?;
    assert_eq!(run(&lab, &["check"]).await?.code, Some(0));

    // Without a daemon, and into a machine that has nothing yet.
    let second = lab.dir.path().join("second.db");
    let second = second.to_str().context("path")?;
    run(&lab, &["backup", second]).await?.good()?;
    let empty = Lab::new(CODEXD).await?;
    run(&empty, &["restore", second]).await?.good()?;
    let daemon = empty.serve(&fake_codex()?, &[]).await?;
    assert_eq!(turn_ids(&daemon).await?.len(), there.len() + 1);
    daemon.stop().await
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let nothing = run(&lab, &["backup", "x"]).await?;
    assert!(nothing.code == Some(1) && nothing.err.contains("there is no store"), "{nothing:?}");
    std::fs::write(lab.project.join("text"), "this is no store, however long it may be")?;
    let refused = run(&lab, &["restore", "text"]).await?;
    assert!(refused.code == Some(1) && refused.err.contains("not a store"), "{refused:?}");
    let missing = run(&lab, &["restore", "nowhere"]).await?;
    assert!(missing.code == Some(1) && missing.err.contains("no such file"), "{missing:?}");
    assert!(!lab.store.join("store.db").exists());
    Ok(())
}
