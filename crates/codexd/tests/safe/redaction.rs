//! A token of ours that gets into a prompt, or into what a command prints, is kept nowhere, told to nobody, and not given to Codex.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Lab, real_codex};
use types::REDACTED;

use crate::{
    fake_codex_rig::lab,
    wire::{Call, Door},
};

/// Every file below a folder that has these bytes in it.
fn holding(folder: &Path, bytes: &[u8]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(holding(&path, bytes)?);
        } else if path.is_file() && std::fs::read(&path)?.windows(bytes.len()).any(|window| window == bytes) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Asserts that a text has the mark and not the token.
#[track_caller]
fn assert_clean(what: &str, text: &str, token: &str) {
    assert!(!text.contains(token), "{what} has the token: {text}");
    assert!(text.contains(REDACTED), "{what} has no mark: {text}");
}

async fn made(lab: &Lab, daemon: &testkit::Daemon) -> Result<String> {
    let made = daemon.post("/v1/tokens", json!({"name": "spilt", "scopes": ["read"]})).await?;
    let token = made.body["token"].as_str().context("no token")?.to_owned();
    std::fs::write(lab.project.join("notes.txt"), format!("the token is {token}, keep it\n"))?;
    Ok(token)
}

#[tokio::test]
async fn a_token_in_a_prompt_or_in_an_output_is_in_nothing_that_is_kept_or_told() -> Result<()> {
    let lab = lab().await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let token = made(&lab, &daemon).await?;
    let door = Door::Socket(lab.store.join("codexd.sock"));
    let watching = tokio::spawn(async move { Call::get("/v1/events?after=0").send(&door).await });
    let body = json!({
        "prompt": format!("RUN:cat notes.txt\nwith {token}"),
        "title": format!("of {token}"),
        "labels": {"key": "a", "other": token.clone()},
        "developerInstructions": format!("never tell {token}"),
    });
    let turn = daemon.post("/v1/sessions?wait=60", body).await?.body;
    assert_eq!(turn["turn"]["status"], "completed", "{turn}\n{}", daemon.log());
    assert_clean("the answer", turn["turn"]["answer"].as_str().unwrap_or_default(), &token);
    assert_clean("the prompt", turn["turn"]["prompt"].as_str().unwrap_or_default(), &token);
    assert_clean("the session", &turn["session"].to_string(), &token);
    let output = turn["turn"]["items"].as_array().into_iter().flatten().find(|item| item["kind"] == "commandExecution");
    let output = output.and_then(|item| item["output"].as_str()).context("no output")?;
    assert_eq!(output, format!("the token is {REDACTED}, keep it\n"));
    let id = turn["session"]["id"].as_str().context("no session")?.to_owned();
    for format in ["json", "markdown"] {
        let path = format!("/v1/sessions/{id}/transcript?format={format}");
        assert_clean(&path, &daemon.get(&path).await?.body.to_string(), &token);
    }
    // What Codex was told. (What its command printed it has of itself.)
    let first =
        lab.model.requests().into_iter().find(|request| request.prompt().contains("RUN:")).context("no request")?;
    assert_clean("what Codex was told", &first.body.to_string(), &token);

    // By the other routes.
    let old = daemon.post("/start", json!({"prompt": format!("SAY:{token}")})).await?.body;
    assert_clean("/start", &old.to_string(), &token);
    let added = json!({"prompt": format!("SAY:again {token}")});
    assert_clean(
        "a turn",
        &daemon.post(&format!("/v1/sessions/{id}/turns?wait=60"), added).await?.body.to_string(),
        &token,
    );
    let renamed = daemon.request("PATCH", &format!("/v1/sessions/{id}"), Some(&json!({"title": token}))).await?;
    assert_clean("a title", &renamed.body.to_string(), &token);

    // Refusals quote what was asked.
    for path in [format!("/v1/{token}"), format!("/v1/sessions?{token}=1"), format!("/v1/tokens/{token}/x")] {
        let refused = daemon.get(&path).await?;
        ensure!((400..500).contains(&refused.status), "{refused:?}");
        assert!(!refused.body.to_string().contains(&token), "{path}: {refused:?}");
    }
    let keyed = Call::json("/v1/sessions", &json!({"prompt": "SAY:x"})).header("Idempotency-Key", &token);
    let keyed = keyed.ask(&Door::Socket(lab.store.join("codexd.sock"))).await?;
    assert_eq!((keyed.status, &keyed.body["code"]), (400, &Value::from("BAD_REQUEST")), "{keyed:?}");

    // While it runs, with the log of what was just written, and when it has stopped.
    let held = holding(&lab.store, token.as_bytes())?;
    assert!(held.is_empty(), "{held:?} have the token");
    let log = daemon.log();
    daemon.stop().await?;
    let told = watching.await??.text();
    assert_clean("the events", &told, &token);
    assert!(!log.contains(&token), "the log has the token");
    let held = holding(&lab.store, token.as_bytes())?;
    assert!(held.is_empty(), "{held:?} have the token");
    // The mark is there, so that it was looked for in the right place.
    assert!(!holding(&lab.store, REDACTED.as_bytes())?.is_empty());
    Ok(())
}
