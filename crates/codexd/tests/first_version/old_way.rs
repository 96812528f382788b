//! Called as the first version was: no subcommand, its flags, its open door.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::fake_codex;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused, journal, lab, of_method, text},
    wire::Call,
};

/// All flags of the first version but the token.
async fn boot(more: &[&str], env: &[(&str, &str)]) -> Result<Rig> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let (codex, store) = (codex.to_str().context("not UTF-8")?, lab.store.to_str().context("not UTF-8")?.to_owned());
    let project = lab.project.to_str().context("not UTF-8")?.to_owned();
    let mut args = vec!["--host", "127.0.0.1", "--port", "0", "--cwd", &project, "--codex-cmd", codex];
    args.extend(["--store-dir", &store, "--max-inject-chars", "12000", "--max-body-bytes", "100000"]);
    args.extend(["--allow-cwd-override", "--allow-sandbox-override", "--allow-approval-override"]);
    args.extend(more);
    let mut command = lab.command(&args);
    command.env_remove("CODEXD_STORE_DIR").env("FAKE_CODEX_LOG", journal(&lab)).envs(env.iter().copied());
    let daemon = lab.boot(command).await?;
    daemon.ready().await?;
    Ok(Rig { daemon, lab })
}

#[tokio::test]
async fn it_is_open_and_warns() -> Result<()> {
    let rig = boot(&[], &[]).await?;
    let door = rig.tcp();
    let log = rig.daemon.log();
    assert!(log.contains("--token"), "it does not say how to have auth:\n{log}");
    assert_eq!(Call::get("/health").ask(&door).await?.body["authRequired"], false);

    let reply = Call::post("/start", r#"{"prompt": "SAY:hello"}"#).ask(&door).await?;
    assert_answered(&reply, "hello");
    let (session, thread) = (text(&reply.body, "sessionId"), text(&reply.body, "threadId"));
    let further = json!({"sessionId": session, "prompt": "SAY:two"}).to_string();
    assert_answered(&Call::post("/continue", further).ask(&door).await?, "two");
    let further = json!({"threadId": thread, "prompt": "SAY:three"}).to_string();
    assert_answered(&Call::post("/reply", further).ask(&door).await?, "three");
    let rename = json!({"sessionId": session, "title": "mine"}).to_string();
    assert_eq!(Call::post("/sessions/rename", rename).ask(&door).await?.body, json!({"ok": true}));
    let autoname = json!({"sessionId": session, "force": true}).to_string();
    assert_eq!(
        Call::post("/sessions/autoname", autoname).ask(&door).await?.body,
        json!({"ok": true, "title": "SAY:three"})
    );
    for path in ["/sessions", "/sessions/search?q=three", &format!("/sessions/{session}")] {
        assert_eq!(Call::get(path).send(&door).await?.status, 200, "{path}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn its_flags_have_their_effect() -> Result<()> {
    let rig = boot(&[], &[]).await?;
    let inside = rig.lab.project.join("sub");
    std::fs::create_dir_all(&inside)?;
    let body = json!({"prompt": "SAY:x", "cwd": inside, "sandbox": "read-only", "approval_policy": "never"});
    let reply = Call::json("/start", &body).ask(&rig.tcp()).await?;
    assert_answered(&reply, "x");
    assert_eq!(reply.body.get("ignoredOverrides"), None, "{reply:?}");
    let heard = rig.heard()?;
    let asked = of_method(&heard, "thread/start")[0];
    assert_eq!(asked["cwd"], json!(inside));
    let turn = of_method(&heard, "turn/start")[0];
    assert_eq!((&turn["sandboxPolicy"]["type"], &turn["approvalPolicy"]), (&json!("readOnly"), &json!("never")));
    let large = Call::post("/start", json!({"prompt": "x".repeat(100_000)}).to_string());
    assert_refused(&large.ask(&rig.tcp()).await?, 413, "BODY_TOO_LARGE");
    // The other checks are there, too.
    assert_refused(&Call::get("/sessions").host("evil.example").ask(&rig.tcp()).await?, 421, "BAD_HOST");
    assert_refused(&Call::get("/sessions").origin("http://evil.example").ask(&rig.tcp()).await?, 403, "BAD_ORIGIN");
    Ok(())
}

#[tokio::test]
async fn with_a_token_it_is_shut() -> Result<()> {
    for (flags, env) in [(&["--token", "sesame"][..], &[][..]), (&[], &[("CODEXD_TOKEN", "sesame")])] {
        let rig = boot(flags, env).await?;
        let door = rig.tcp();
        assert_eq!(Call::get("/health").ask(&door).await?.body["authRequired"], true);
        assert_refused(&Call::get("/sessions").ask(&door).await?, 401, "UNAUTHORIZED");
        assert_eq!(Call::get("/sessions").token("sesame").send(&door).await?.status, 200);
        assert!(!rig.daemon.log().contains("sesame"));
    }
    Ok(())
}

#[tokio::test]
async fn one_flag_is_enough() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let mut command = lab.command(&["--port=0"]);
    command.env("CODEXD_CODEX_CMD", &codex);
    let daemon = lab.boot(command).await?;
    daemon.ready().await?;
    let rig = Rig { daemon, lab };
    assert_answered(&Call::post("/start", r#"{"prompt": "SAY:x"}"#).ask(&rig.tcp()).await?, "x");
    Ok(())
}
