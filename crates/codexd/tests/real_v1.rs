//! What the v1 API adds, on the real Codex: only the model is scripted.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, real_codex};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// A picture of one red point.
const PNG: [u8; 69] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00, 0x0c, 0x49,
    0x44, 0x41, 0x54, 0x08, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0x00, 0x00, 0x03, 0x01, 0x01, 0x00, 0x18, 0xdd, 0x8d, 0xb0,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

async fn ask(daemon: &Daemon, session: &str, body: Value) -> Result<Value> {
    let reply = daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), body).await?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    Ok(reply.body["turn"].clone())
}

/// What the model was given with a turn, as its answer tells.
async fn given(daemon: &Daemon, session: &str, mut body: Value) -> Result<Value> {
    let text = body["input"][0]["text"].is_string();
    if !text {
        body["prompt"] = json!("OPTIONS");
    }
    let turn = ask(daemon, session, body).await?;
    let answer = turn["answer"].as_str().with_context(|| format!("{turn}"))?;
    serde_json::from_str(answer).with_context(|| answer.to_owned())
}

async fn session(daemon: &Daemon, body: Value) -> Result<String> {
    let made = daemon.post("/v1/sessions?wait=60", body).await?;
    Ok(made.body["session"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
}

#[tokio::test]
async fn a_turns_model_effort_schema_and_pictures_reach_the_model_and_its_model_holds_for_it_alone() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let daemon = lab.serve(&codex, &[]).await?;
    let id = session(&daemon, json!({"prompt": "SAY:hello", "config": {"model_reasoning_effort": "low"}})).await?;
    let plain = given(&daemon, &id, json!({})).await?;
    assert_eq!(plain["effort"], "low", "what the session says of Codex's configuration: {plain}");

    std::fs::write(lab.project.join("dot.png"), PNG)?;
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let input = json!([{"type": "text", "text": "OPTIONS"}, {"type": "localImage", "path": "dot.png"}]);
    let own = json!({"input": input, "model": "other-model", "effort": "high", "outputSchema": schema});
    let told = given(&daemon, &id, own).await?;
    assert_eq!(
        (&told["model"], &told["effort"], &told["schema"]),
        (&json!("other-model"), &json!("high"), &schema),
        "{told}"
    );
    assert_eq!(told["images"].as_array().map(Vec::len), Some(1), "{told}");
    assert!(told["images"][0].as_str().is_some_and(|url| url.starts_with("data:image/png;base64,")), "{told}");

    // The next turn is as the first, also when Codex was killed in between and reads its own record.
    daemon.kill_codex().await?;
    let after = given(&daemon, &id, json!({})).await?;
    assert_eq!(
        (&after["model"], &after["effort"], &after["schema"]),
        (&plain["model"], &json!("low"), &Value::Null),
        "{after}"
    );
    let shown = daemon.get(&format!("/v1/sessions/{id}")).await?.body;
    assert_eq!((shown.get("model"), &shown["resumed"]["how"]), (None, &json!("resumed")), "{shown}");

    let refused = daemon
        .post(
            &format!("/v1/sessions/{id}/turns"),
            json!({"input": [{"type": "text", "text": "x"}, {"type": "image", "url": "https://example.org/x.png"}]}),
        )
        .await?;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("NOT_SUPPORTED")), "{refused:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_compacted_conversation_goes_on_from_its_summary() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let daemon = lab.serve(&codex, &[]).await?;
    let id = session(&daemon, json!({"prompt": "my word is apple"})).await?;
    let compacted = daemon.post(&format!("/v1/sessions/{id}/compact?wait=60"), json!({})).await?;
    let turn = &compacted.body["turn"];
    let turn = if turn.is_object() { turn } else { &compacted.body };
    assert_eq!((&turn["status"], &turn["kind"]), (&json!("completed"), &json!("compact")), "{compacted:?}");
    assert_eq!(
        (&turn["items"][0]["kind"], &turn["items"][0]["status"]),
        (&json!("other"), &json!("completed")),
        "{turn}"
    );
    let recalled = ask(&daemon, &id, json!({"prompt": "RECALL"})).await?;
    let answer = recalled["answer"].as_str().unwrap_or_default();
    assert!(answer.contains("summary:"), "the model was given the summary: {answer}");
    let shown = daemon.get(&format!("/v1/sessions/{id}")).await?.body;
    assert_eq!(shown["turnCount"], 3);
    assert!(shown["usage"]["inputTokens"].as_u64().is_some_and(|tokens| tokens > 0), "{shown}");
    daemon.stop().await
}

#[tokio::test]
async fn a_session_is_deleted_with_codexs_own_record() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let daemon = lab.serve(&codex, &[]).await?;
    let kept = session(&daemon, json!({"prompt": "SAY:kept"})).await?;
    let first = session(&daemon, json!({"prompt": "SAY:one"})).await?;
    let hanging = daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?.body;
    let second = hanging["session"]["id"].as_str().context("no id")?.to_owned();
    lab.model.wait_for_requests(3).await;
    assert_eq!(rollouts(&lab), 3);
    for id in [&first, &second] {
        let gone = daemon.request("DELETE", &format!("/v1/sessions/{id}?thread=delete"), None).await?;
        assert_eq!(gone.status, 204, "{gone:?}");
    }
    assert_eq!(rollouts(&lab), 1, "only what was asked for");
    assert_eq!(ask(&daemon, &kept, json!({"prompt": "SAY:still here"})).await?["answer"], "still here");
    daemon.stop().await
}

fn rollouts(lab: &Lab) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(&lab.codex_home.join("sessions"))
}

#[tokio::test]
async fn codex_tells_its_models_and_that_there_are_no_limits_without_an_account() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let models = daemon.get("/v1/models").await?;
    let list = models.body["models"].as_array().with_context(|| format!("{models:?}"))?;
    assert!(list.len() > 2 && list.iter().filter(|model| model["default"] == true).count() == 1, "{models:?}");
    assert!(list.iter().all(|model| model["id"].is_string() && model["efforts"].is_array()), "{models:?}");
    let limits = daemon.get("/v1/limits").await?;
    assert_eq!((limits.status, &limits.body["code"]), (409, &json!("NOT_SUPPORTED")), "{limits:?}");
    assert!(limits.body["detail"].as_str().is_some_and(|text| text.contains("account")), "{limits:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_request_cannot_make_codex_run_or_trust_anything_by_its_configuration() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &["--allow-config", "tools"]).await?;
    let marker = lab.dir.path().join("ran");
    let command = json!({"command": "touch", "args": [marker]});
    for config in [
        json!({"mcp_servers": {"x": command}}),
        json!({"mcp_servers.x": command}),
        json!({"notify": ["touch", marker]}),
        json!({"projects": {lab.project.to_string_lossy(): {"trust_level": "trusted"}}}),
        json!({"sandbox_workspace_write": {"network_access": true}}),
    ] {
        let reply = daemon.post("/v1/sessions?wait=60", json!({"prompt": "SAY:x", "config": config})).await?;
        assert_eq!((reply.status, &reply.body["code"]), (403, &json!("CONFIG_FORBIDDEN")), "{config} {reply:?}");
    }
    let before = std::fs::read(lab.codex_home.join("config.toml"))?;
    let fine = session(&daemon, json!({"prompt": "SAY:x", "config": {"tools": {"view_image": true}}})).await?;
    assert!(!fine.is_empty() && !marker.exists());
    assert_eq!(std::fs::read(lab.codex_home.join("config.toml"))?, before, "byte for byte");
    daemon.stop().await
}
