//! Flags that no other theme has, and the environment names of all.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::fake_codex;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused, lab, of_method, run, serving, tcp, text},
    wire::Call,
};

#[tokio::test]
async fn the_folder_of_sessions() -> Result<()> {
    let lab = lab().await?;
    let other = lab.project.with_file_name("other");
    std::fs::create_dir_all(&other)?;
    let daemon =
        crate::fake_codex_rig::serve(&lab, &["--no-auth", "--cwd", other.to_str().context("not UTF-8")?], &[]).await?;
    let rig = Rig { daemon, lab };
    let reply = Call::json("/start", &json!({"prompt": "SAY:x"})).ask(&rig.tcp()).await?;
    let session = rig.session(&text(&reply.body, "sessionId")).await?;
    assert_eq!(session["meta"]["cwd"], json!(other));
    assert_eq!(of_method(&rig.heard()?, "thread/start")[0]["cwd"], json!(other));
    Ok(())
}

#[tokio::test]
async fn a_store_dir_that_is_made() -> Result<()> {
    let mut lab = lab().await?;
    lab.store = lab.dir.path().canonicalize()?.join("deep/er/store");
    let store = lab.store.to_str().context("not UTF-8")?.to_owned();
    let codex = fake_codex()?;
    let mut command = lab.command(&serving(&codex, &["--store-dir", &store])?);
    command.env_remove("CODEXD_STORE_DIR");
    let daemon = lab.boot(command).await?;
    daemon.ready().await?;
    assert_eq!(daemon.start("SAY:x").await?.1, "x");
    assert!(lab.store.join("daemon.json").is_file());
    Ok(())
}

#[tokio::test]
async fn the_store_dir_of_the_user() -> Result<()> {
    for xdg in [true, false] {
        let mut lab = lab().await?;
        let base = lab.dir.path().canonicalize()?;
        let state = if xdg { base.join("state") } else { base.join("home/.local/state") };
        lab.store = state.join("codex-mcp-bridge");
        let codex = fake_codex()?;
        let mut command = lab.command(&serving(&codex, &[])?);
        command.env_remove("CODEXD_STORE_DIR");
        if xdg {
            command.env("XDG_STATE_HOME", &state);
        }
        if !cfg!(target_os = "macos") {
            let daemon = lab.boot(command).await?;
            assert_eq!(daemon.get("/healthz").await?.status, 200);
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_flag_has_an_environment_name() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let other = lab.project.with_file_name("other");
    std::fs::create_dir_all(&other)?;
    let mut command = lab.command(&["serve"]);
    command.env("CODEXD_HOST", "127.0.0.2").env("CODEXD_PORT", "0").env("CODEXD_CODEX_CMD", &codex);
    command.env("CODEXD_CWD", &other).env("CODEXD_MAX_BODY_BYTES", "1KiB").env("CODEXD_TOKEN", "sesame");
    command.env("CODEXD_SANDBOX", "read-only").env("CODEXD_APPROVAL_POLICY", "untrusted").env("CODEXD_MODEL", "m");
    command.env("CODEXD_ALLOW_CWD_OVERRIDE", "true").env("CODEXD_ALLOW_SANDBOX_OVERRIDE", "true");
    command.env("CODEXD_ALLOW_APPROVAL_OVERRIDE", "true").env("CODEXD_MAX_INJECT_CHARS", "5000");
    command.env("CODEXD_ALLOW_HOST", "box.example").env("CODEXD_ALLOW_ORIGIN", "https://ui.example");
    command.env("CODEXD_MAX_CONNECTIONS", "50").env("FAKE_CODEX_LOG", crate::fake_codex_rig::journal(&lab));
    let daemon = lab.boot(command).await?;
    daemon.ready().await?;
    let rig = Rig { daemon, lab };
    assert!(rig.daemon.url.starts_with("http://127.0.0.2:"), "{}", rig.daemon.url);
    let door = tcp(&rig.daemon);
    let start = async |body| Call::json("/start", &body).token("sesame").ask(&door).await;
    assert_answered(&start(json!({"prompt": "SAY:x"})).await?, "x");
    let heard = rig.heard()?;
    let asked = of_method(&heard, "thread/start")[0];
    let turn = of_method(&heard, "turn/start")[0];
    assert_eq!((&turn["sandboxPolicy"]["type"], &turn["approvalPolicy"]), (&json!("readOnly"), &json!("untrusted")));
    assert_eq!((&asked["model"], &asked["cwd"]), (&json!("m"), &json!(other)));
    let wide = json!({"prompt": "SAY:x", "sandbox": "workspace-write", "approval_policy": "on-request", "cwd": other});
    let reply = start(wide).await?;
    assert_eq!((reply.status, reply.body.get("ignoredOverrides")), (200, None), "{reply:?}");
    assert_refused(&start(json!({"prompt": "x".repeat(1024)})).await?, 413, "BODY_TOO_LARGE");
    assert_eq!(Call::get("/health").host("box.example").send(&door).await?.status, 200);
    assert_eq!(Call::get("/health").origin("https://ui.example").send(&door).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_flag_wins_over_its_environment_name() -> Result<()> {
    let env = [("CODEXD_MODEL", "from-env"), ("CODEXD_MAX_BODY_BYTES", "10")];
    let rig = Rig::with(&["--no-auth", "--model", "from-flag", "--max-body-bytes", "1000"], &env).await?;
    rig.daemon.start("SAY:x").await?;
    assert_eq!(of_method(&rig.heard()?, "thread/start")[0]["model"], "from-flag");
    Ok(())
}

#[tokio::test]
async fn values_that_are_none_are_refused_at_start() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    for (flag, value) in [
        ("--sandbox", "none"),
        ("--sandbox", "workspace-read"),
        ("--approval-policy", "trusted"),
        ("--max-body-bytes", "lots"),
        ("--max-body-bytes", "-1"),
        ("--port", "70000"),
        ("--max-inject-chars", "x"),
        ("--cwd", "/does/not/exist"),
        ("--no-such-flag", "x"),
    ] {
        let (output, text) = run(lab.command(&serving(&codex, &[flag, value])?)).await?;
        assert!(!output.status.success(), "{flag} {value}: {text}");
        assert!(text.contains(flag) || text.contains(value), "{flag} {value}: {text}");
        assert!(!text.contains("panicked"), "{flag} {value}: {text}");
    }
    Ok(())
}
