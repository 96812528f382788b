//! Hooks on a real daemon: told by a command and by a POST, again after a failure, after a crash, and never in the way.
#![cfg(unix)]

#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "hooks/receiver.rs"]
mod receiver;
#[path = "hooks/refused.rs"]
mod refused;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, eventually, wire};

use crate::{
    fake_codex_rig::{assert_calm, lab, serve},
    receiver::{Receiver, signature},
};

/// A hook that appends what it is told to a file, a line each.
fn noting(name: &str, on: &str, file: &Path) -> String {
    format!(
        "[[hooks]]\nname = '{name}'\non = {on}\ncommand = ['sh', '-c', 'env > \"$0.env\"; (cat; echo) >> \"$0\"', '{}']\n",
        file.display()
    )
}

/// A hook that posts.
fn posting(name: &str, on: &str, url: &str, secret: &Path) -> String {
    format!("[[hooks]]\nname = '{name}'\non = {on}\nurl = '{url}'\nsecret-file = '{}'\n", secret.display())
}

/// Writes the configuration; the flag that names it.
fn configure(lab: &Lab, config: &str) -> Result<String> {
    let file = lab.dir.path().join("codexd.toml");
    fs::write(&file, config)?;
    private(&file)?;
    Ok(format!("--config={}", file.display()))
}

fn private(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o600))?)
}

fn secret(lab: &Lab, text: &str) -> Result<PathBuf> {
    let file = lab.dir.path().join("secret");
    fs::write(&file, format!("{text}\n"))?;
    private(&file)?;
    Ok(file)
}

/// What a noting hook was told so far.
fn noted(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // A line that is being written is no line yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first that a noting hook was told of this event, about this turn.
async fn told(daemon: &Daemon, file: &Path, event: &str, turn: &Value) -> Result<Value> {
    eventually(event, async || noted(file).into_iter().find(|told| told["event"] == event && told["turnId"] == *turn))
        .await
        .with_context(|| daemon.log())
}

async fn begin(daemon: &Daemon, prompt: &str) -> Result<Value> {
    let made = daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?;
    assert_eq!(made.status, 201, "{made:?}");
    Ok(made.body["turn"]["id"].clone())
}

#[tokio::test]
async fn a_command_is_told_when_codex_asks_and_when_a_turn_ends() -> Result<()> {
    let lab = lab().await?;
    let heard = lab.dir.path().join("heard");
    let flag = configure(&lab, &noting("n", "['approval.requested', 'turn.completed', 'turn.failed']", &heard))?;
    let daemon = serve(&lab, &[&flag], &[("CODEXD_TOKEN", "sesame"), ("NOTIFY_SOCKET", "/nowhere")]).await?;

    let turn = begin(&daemon, "ESCALATE:touch x").await?;
    let asked = told(&daemon, &heard, "approval.requested", &turn).await?;
    assert_eq!((&asked["approval"]["status"], &asked["approval"]["kind"]), (&json!("pending"), &json!("command")));
    let approval = asked["approval"]["id"].as_str().context("no id")?;
    daemon.post(&format!("/v1/approvals/{approval}"), json!({"decision": "accept"})).await?;
    let completed = told(&daemon, &heard, "turn.completed", &turn).await?;
    assert_eq!(completed["turn"]["status"], "completed", "{completed}");
    assert_eq!(completed["sessionId"], asked["sessionId"]);
    assert!(completed["turn"].get("items").is_none_or(|items| items == &json!([])), "{completed}");
    assert!(completed["id"].as_i64() > asked["id"].as_i64(), "{completed}");
    assert!(completed["storeEpoch"].as_str().is_some_and(|epoch| epoch.len() > 8), "{completed}");
    assert!(completed["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{completed}");
    let failed = begin(&daemon, "FAIL:500").await?;
    let failed = told(&daemon, &heard, "turn.failed", &failed).await?;
    assert!(failed["turn"]["error"]["code"].is_string(), "{failed}");

    let others: Vec<Value> = noted(&heard).into_iter().filter(|told| told["event"] == "turn.started").collect();
    assert!(others.is_empty(), "only what was asked for: {others:?}");
    let env = fs::read_to_string(heard.with_extension("env"))?;
    assert!(env.contains("CODEXD_EVENT=turn.failed") && env.contains("CODEXD_STORE_DIR="), "{env}");
    assert!(!env.contains("sesame") && !env.contains("NOTIFY_SOCKET"), "{env}");
    assert_calm(&daemon);
    Ok(())
}

#[tokio::test]
async fn a_post_is_signed_and_comes_again_until_it_is_taken() -> Result<()> {
    let lab = lab().await?;
    let receiver = Receiver::start(&[500, 302, 204]).await?;
    let secret = secret(&lab, "open sesame")?;
    let url = format!("{}/a/path-with-a-secret?x=1", receiver.url());
    let flag = configure(&lab, &posting("p", "'turn.completed'", &url, &secret))?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let turn = begin(&daemon, "SAY:one").await?;
    let tries = receiver.wait_for(3).await.with_context(|| daemon.log())?;
    for (index, post) in tries.iter().enumerate() {
        assert_eq!(post.line, "POST /a/path-with-a-secret?x=1 HTTP/1.1");
        assert_eq!(post.header("content-type"), Some("application/json"));
        assert_eq!(post.header("x-codexd-event"), Some("turn.completed"));
        assert_eq!(post.header("x-codexd-attempt"), Some((index + 1).to_string().as_str()));
        assert_eq!(post.body, tries[0].body, "the same bytes, so that a receiver can tell that it has it");
        assert_eq!(post.header("x-codexd-signature"), Some(signature(b"open sesame", &post.body).as_str()));
    }
    let body: Value = serde_json::from_slice(&tries[0].body)?;
    assert_eq!((&body["turnId"], &body["turn"]["answer"]), (&turn, &json!("one")));
    assert_eq!(tries[0].header("x-codexd-event-id").map(str::parse), body["id"].as_i64().map(Ok));

    let next = begin(&daemon, "SAY:two").await?;
    let all = receiver.wait_for(4).await?;
    let body: Value = serde_json::from_slice(&all[3].body)?;
    assert_eq!(
        (&body["turnId"], all[3].header("x-codexd-attempt")),
        (&next, Some("1")),
        "the first was told and is over"
    );
    let log = daemon.log();
    assert!(log.contains("answered 500") && log.contains("redirects are not followed"), "{log}");
    assert!(!log.contains("sesame") && !log.contains("path-with-a-secret"), "{log}");
    assert_calm(&daemon);
    daemon.stop().await
}

#[tokio::test]
async fn one_that_never_answers_holds_up_no_turn_no_other_hook_and_no_stop() -> Result<()> {
    let lab = lab().await?;
    let (silent, heard) = (Receiver::silent().await?, lab.dir.path().join("heard"));
    let secret = secret(&lab, "x")?;
    let dead = format!("{}timeout = '5m'\n", posting("dead", "'*'", &silent.url(), &secret));
    let stuck = "[[hooks]]\nname = 'stuck'\non = '*'\ncommand = ['sleep', '1000']\ntimeout = '5m'\n";
    let flag = configure(&lab, &format!("{dead}{stuck}{}", noting("n", "'turn.completed'", &heard)))?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let mut turns = Vec::new();
    for number in 0..12 {
        let made = daemon.post("/v1/sessions?wait=60", json!({"prompt": format!("SAY:{number}")})).await?;
        assert_eq!(made.body["turn"]["answer"], number.to_string(), "{made:?}");
        turns.push(made.body["turn"]["id"].clone());
    }
    for turn in &turns {
        told(&daemon, &heard, "turn.completed", turn).await?;
    }
    let begun = silent.wait_for(4).await?.len();
    assert!(begun <= 4, "{begun} at once");
    assert_calm(&daemon);
    daemon.stop().await?;
    // It waited for none of them, or it would have given up waiting.
    let logs = fs::read_dir(lab.dir.path())?.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let text: String = logs.collect();
    assert!(text.contains("stopping; a second signal") && !text.contains("stopping took too long"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_a_crash_did_to_a_turn_is_told_by_the_next_daemon() -> Result<()> {
    let lab = lab().await?;
    let heard = lab.dir.path().join("heard");
    let flag = configure(&lab, &noting("n", "['turn.started', 'turn.interrupted']", &heard))?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let turn = begin(&daemon, "HANG").await?;
    told(&daemon, &heard, "turn.started", &turn).await?;
    daemon.crash().await?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let lost = told(&daemon, &heard, "turn.interrupted", &turn).await?;
    assert_eq!(lost["turn"]["status"], "interrupted", "{lost}");
    assert_calm(&daemon);
    Ok(())
}

#[tokio::test]
async fn what_was_not_taken_when_it_was_killed_is_told_by_the_next_daemon() -> Result<()> {
    let lab = lab().await?;
    let secret = secret(&lab, "x")?;
    let receiver = Receiver::start(&[200, 500, 500, 500, 500]).await?;
    let flag = configure(&lab, &posting("p", "'turn.completed'", &receiver.url(), &secret))?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let taken = begin(&daemon, "SAY:taken").await?;
    receiver.wait_for(1).await?;
    // The place up to which all was told is noted a moment after that.
    let place = lab.store.join("hooks/p.json");
    let before = |taken: &Value| -> Option<Value> {
        let id = noted_id(&receiver.seen().first()?.body)?;
        let kept: Value = serde_json::from_slice(&fs::read(&place).ok()?).ok()?;
        (kept["after"].as_i64()? >= id).then(|| taken.clone())
    };
    eventually("the place to be noted", async || before(&taken)).await?;
    let missed = begin(&daemon, "SAY:missed").await?;
    receiver.wait_for(2).await?;
    daemon.kill().await?;
    receiver.answer(&[]);
    let tries = receiver.seen().len();
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let all = receiver.wait_for(tries + 1).await.with_context(|| daemon.log())?;
    let again: Value = serde_json::from_slice(&all[tries].body)?;
    assert_eq!((&again["turnId"], all[tries].header("x-codexd-attempt")), (&missed, Some("1")));
    assert_eq!(noted_id(&all[tries].body), noted_id(&all[1].body), "the same event has the same number");
    Ok(())
}

fn noted_id(body: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(body).ok()?["id"].as_i64()
}

#[tokio::test]
async fn a_new_hook_is_told_what_happens_from_then_on() -> Result<()> {
    let lab = lab().await?;
    let heard = lab.dir.path().join("heard");
    let daemon = serve(&lab, &[], &[]).await?;
    daemon.start("SAY:before").await?;
    daemon.stop().await?;
    let flag = configure(&lab, &noting("n", "['session.created', 'turn.completed']", &heard))?;
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let turn = begin(&daemon, "SAY:after").await?;
    told(&daemon, &heard, "turn.completed", &turn).await?;
    let events: Vec<Value> = noted(&heard).iter().map(|told| told["event"].clone()).collect();
    assert_eq!(events, ["session.created", "turn.completed"], "in order, and nothing from before");
    daemon.stop().await?;
    // What was told is not told again.
    let daemon = serve(&lab, &[&flag], &[]).await?;
    let turn = begin(&daemon, "SAY:later").await?;
    told(&daemon, &heard, "turn.completed", &turn).await?;
    assert_eq!(noted(&heard).len(), 4);
    Ok(())
}
