//! Two sessions at work in one folder.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::fake_codex_rig::Rig;

async fn begin(rig: &Rig, prompt: &str, sandbox: &str) -> Result<String> {
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": prompt, "sandbox": sandbox})).await?;
    Ok(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
}

async fn turn(rig: &Rig, id: &str) -> Result<Value> {
    Ok(rig.daemon.get(&format!("/v1/turns/{id}?wait=60")).await?.body)
}

/// A turn that runs until it is interrupted.
async fn long(rig: &Rig, sandbox: &str) -> Result<String> {
    let id = begin(rig, "HANG", sandbox).await?;
    eventually("the turn to run", async || {
        (rig.daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body["status"] == "running").then_some(())
    })
    .await?;
    Ok(id)
}

async fn stop(rig: &Rig, id: &str) -> Result<()> {
    rig.daemon.post(&format!("/v1/turns/{id}/interrupt"), json!({})).await?;
    turn(rig, id).await?;
    Ok(())
}

fn warnings(turn: &Value) -> Vec<&str> {
    let items = turn["items"].as_array().map_or(&[][..], Vec::as_slice);
    let warnings = items.iter().filter(|item| item["kind"] == "warning").filter_map(|item| item["message"].as_str());
    // Codex has some of its own.
    warnings.filter(|message| message.contains("is at work in this folder")).collect()
}

#[tokio::test]
async fn the_second_session_in_a_folder_is_told_unless_both_only_read() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    for (first, second, told) in [
        ("workspace-write", "workspace-write", true),
        ("workspace-write", "read-only", true),
        ("read-only", "read-only", false),
    ] {
        let long = long(&rig, first).await?;
        let id = begin(&rig, "SAY:done", second).await?;
        let ended = turn(&rig, &id).await?;
        assert_eq!(ended["answer"], "done", "{ended}");
        assert_eq!(!warnings(&ended).is_empty(), told, "{first} {second}: {ended}");
        stop(&rig, &long).await?;
    }
    let alone = turn(&rig, &begin(&rig, "SAY:alone", "workspace-write").await?).await?;
    assert_eq!(warnings(&alone), Vec::<&str>::new(), "nobody is there any more");
    Ok(())
}

#[tokio::test]
async fn where_one_is_let_in_at_a_time_the_second_is_refused() -> Result<()> {
    let rig = Rig::new(&["--exclusive-cwd", "refuse"]).await?;
    let long = long(&rig, "workspace-write").await?;
    let refused = turn(&rig, &begin(&rig, "SAY:never", "workspace-write").await?).await?;
    assert_eq!((&refused["status"], &refused["delivery"]), (&json!("failed"), &json!("no")), "{refused}");
    assert!(refused["error"]["message"].as_str().is_some_and(|why| why.contains("--exclusive-cwd")), "{refused}");
    stop(&rig, &long).await?;
    let then = turn(&rig, &begin(&rig, "SAY:then", "workspace-write").await?).await?;
    assert_eq!(then["answer"], "then", "{then}");
    Ok(())
}

#[tokio::test]
async fn where_they_queue_each_waits_for_those_before_it_and_can_be_interrupted() -> Result<()> {
    let rig = Rig::new(&["--exclusive-cwd", "queue"]).await?;
    let long = long(&rig, "workspace-write").await?;
    let second = begin(&rig, "SAY:second", "workspace-write").await?;
    let third = begin(&rig, "SAY:third", "workspace-write").await?;
    let given_up = begin(&rig, "SAY:never", "workspace-write").await?;
    rig.daemon.post(&format!("/v1/turns/{given_up}/interrupt"), json!({})).await?;
    assert_eq!(turn(&rig, &given_up).await?["status"], "interrupted");
    for waiting in [&second, &third] {
        let now = rig.daemon.get(&format!("/v1/turns/{waiting}")).await?.body;
        assert_eq!((&now["status"], &now["delivery"]), (&json!("queued"), &json!("no")), "{now}");
    }
    stop(&rig, &long).await?;
    let (second, third) = (turn(&rig, &second).await?, turn(&rig, &third).await?);
    assert_eq!((&second["answer"], &third["answer"]), (&json!("second"), &json!("third")));
    assert!(third["startedAt"].as_str() >= second["endedAt"].as_str(), "{third} before the end of {second}");
    assert_eq!(warnings(&third), Vec::<&str>::new());
    Ok(())
}
