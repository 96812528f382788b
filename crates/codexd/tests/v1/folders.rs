//! Two sessions at work in one folder.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::booted::Booted;

async fn begin(booted: &Booted, prompt: &str, sandbox: &str) -> Result<String> {
    let made = booted.daemon.post("/v1/sessions", json!({"prompt": prompt, "sandbox": sandbox})).await?;
    Ok(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
}

async fn turn(booted: &Booted, id: &str) -> Result<Value> {
    Ok(booted.daemon.get(&format!("/v1/turns/{id}?wait=60")).await?.body)
}

/// A turn that runs until it is interrupted.
async fn long(booted: &Booted, sandbox: &str) -> Result<String> {
    let id = begin(booted, "HANG", sandbox).await?;
    eventually("the turn to run", async || {
        (booted.daemon.get(&format!("/v1/turns/{id}")).await.ok()?.body["status"] == "running").then_some(())
    })
    .await?;
    Ok(id)
}

async fn stop(booted: &Booted, id: &str) -> Result<()> {
    booted.daemon.post(&format!("/v1/turns/{id}/interrupt"), json!({})).await?;
    turn(booted, id).await?;
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
    let booted = Booted::new(&[]).await?;
    for (first, second, told) in [
        ("workspace-write", "workspace-write", true),
        ("workspace-write", "read-only", true),
        ("read-only", "read-only", false),
    ] {
        let long = long(&booted, first).await?;
        let id = begin(&booted, "SAY:done", second).await?;
        let ended = turn(&booted, &id).await?;
        assert_eq!(ended["answer"], "done", "{ended}");
        assert_eq!(!warnings(&ended).is_empty(), told, "{first} {second}: {ended}");
        stop(&booted, &long).await?;
    }
    let alone = turn(&booted, &begin(&booted, "SAY:alone", "workspace-write").await?).await?;
    assert_eq!(warnings(&alone), Vec::<&str>::new(), "nobody is there any more");
    Ok(())
}

#[tokio::test]
async fn where_one_is_let_in_at_a_time_the_second_is_refused() -> Result<()> {
    let booted = Booted::new(&["--exclusive-cwd", "refuse"]).await?;
    let long = long(&booted, "workspace-write").await?;
    let refused = turn(&booted, &begin(&booted, "SAY:never", "workspace-write").await?).await?;
    assert_eq!((&refused["status"], &refused["delivery"]), (&json!("failed"), &json!("no")), "{refused}");
    assert!(refused["error"]["message"].as_str().is_some_and(|why| why.contains("--exclusive-cwd")), "{refused}");
    stop(&booted, &long).await?;
    let then = turn(&booted, &begin(&booted, "SAY:then", "workspace-write").await?).await?;
    assert_eq!(then["answer"], "then", "{then}");
    Ok(())
}

#[tokio::test]
async fn where_they_queue_each_waits_for_those_before_it_and_can_be_interrupted() -> Result<()> {
    let booted = Booted::new(&["--exclusive-cwd", "queue"]).await?;
    let long = long(&booted, "workspace-write").await?;
    let second = begin(&booted, "SAY:second", "workspace-write").await?;
    let third = begin(&booted, "SAY:third", "workspace-write").await?;
    let given_up = begin(&booted, "SAY:never", "workspace-write").await?;
    booted.daemon.post(&format!("/v1/turns/{given_up}/interrupt"), json!({})).await?;
    assert_eq!(turn(&booted, &given_up).await?["status"], "interrupted");
    for waiting in [&second, &third] {
        let now = booted.daemon.get(&format!("/v1/turns/{waiting}")).await?.body;
        assert_eq!((&now["status"], &now["delivery"]), (&json!("queued"), &json!("no")), "{now}");
    }
    stop(&booted, &long).await?;
    let (second, third) = (turn(&booted, &second).await?, turn(&booted, &third).await?);
    assert_eq!((&second["answer"], &third["answer"]), (&json!("second"), &json!("third")));
    assert!(third["startedAt"].as_str() >= second["endedAt"].as_str(), "{third} before the end of {second}");
    assert_eq!(warnings(&third), Vec::<&str>::new());
    Ok(())
}
