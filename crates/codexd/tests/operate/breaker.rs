//! A Codex that ends again and again is left alone for a while, and everybody is told why.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{eventually, fake_codex};
use types::Timestamp;

use crate::{
    fake_codex_rig::{Rig, lab, run, serving},
    wire::Call,
};

#[tokio::test]
async fn one_that_ends_again_and_again_is_tried_now_and_then_and_says_why() -> Result<()> {
    let (lab, fake) = (lab().await?, fake_codex()?);
    let codex = lab.dir.path().join("codex");
    let write = |fault: &str| -> Result<()> {
        std::fs::write(&codex, format!("#!/bin/sh\nFAKE_CODEX_FAULT={fault} exec '{}' \"$@\"\n", fake.display()))?;
        Ok(std::fs::set_permissions(&codex, std::fs::Permissions::from_mode(0o755))?)
    };
    write("exit-when-ready")?;
    let daemon = lab.boot(lab.command(&serving(&codex, &["--no-auth"])?)).await?;
    let rig = Rig { daemon, lab };
    let daemon = &rig.daemon;
    let agent = eventually("it to be given up", async || {
        let agent = daemon.agent().await.ok()?;
        (agent["status"] == "unavailable").then_some(agent)
    })
    .await
    .with_context(|| daemon.log())?;
    let error = agent["lastError"].as_str().context("no reason")?;
    for words in [
        "it ended with exit code 1",
        "it can't go on; fake-codex: so it ends",
        "so it went 8 times in",
        "it is tried again every 30 s, and at once by `codexd agent restart`",
    ] {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
    assert!(!error.contains(char::is_control), "{error:?}");
    let next: Timestamp = serde_json::from_value(agent["nextTryAt"].clone())?;
    assert!(agent["restarts"].as_u64().is_some_and(|restarts| restarts >= 8), "{agent}");

    // Everybody is told, and nobody waits.
    let refused = daemon.post("/v1/sessions", json!({"prompt": "SAY:x"})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("AGENT_UNAVAILABLE")), "{refused:?}");
    assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("so it ends")), "{refused:?}");
    assert_eq!(refused.body["retryable"], true);
    assert_eq!(Call::get("/readyz").send(&rig.tcp()).await?.status, 503);
    let ready = daemon.get("/readyz").await?;
    assert!(ready.body["detail"].as_str().is_some_and(|detail| detail.contains("so it went 8 times")), "{ready:?}");
    for command in [&["status"][..], &["agent", "show"]] {
        let (output, text) = run(rig.lab.command(command)).await?;
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("so it ends") && text.contains("next try") && text.contains("unavailable"), "{text}");
    }

    // Repaired, it need not be waited for.
    write("none")?;
    let (output, text) = run(rig.lab.command(&["agent", "restart", "--wait"])).await?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    let agent = daemon.agent().await?;
    let started: Timestamp = serde_json::from_value(agent["startedAt"].clone())?;
    assert!(started < next, "it was waited for until {next}: {agent}");
    assert!(agent["nextTryAt"].is_null(), "{agent}");
    assert_eq!(daemon.start("SAY:well").await?.1, "well");
    rig.assert_calm();
    rig.daemon.stop().await
}
