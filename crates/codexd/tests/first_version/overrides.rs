//! What a request may ask of its session: nothing that widens, unless the operator said so.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Lab, Reply};

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_keys, assert_refused, of_method, text},
    wire::Call,
};

/// A folder beside the project, so outside of it.
fn outside(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.project.with_file_name("outside");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

async fn start(rig: &Rig, overrides: &Value) -> Result<Reply> {
    let mut body = json!({"prompt": "SAY:ok"});
    for (key, value) in overrides.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    Call::json("/start", &body).ask(&rig.tcp()).await
}

/// What was ignored, sorted.
fn ignored(reply: &Reply) -> Vec<String> {
    let named = reply.body["ignoredOverrides"].as_array().into_iter().flatten();
    let mut named: Vec<String> = named.filter_map(|name| name.as_str()).map(str::to_owned).collect();
    named.sort();
    named
}

/// The policy of the last turn that Codex was asked for, and the folder of its thread: sandbox, approval policy, cwd.
///
/// What counts is what the turn says: a thread that is started with a writable sandbox would make Codex trust the folder, so that none
/// may be (facts/codex.md 2.11).
fn asked(rig: &Rig) -> Result<(String, String, String)> {
    let heard = rig.heard()?;
    let thread = of_method(&heard, "thread/start").pop().cloned().context("no thread was asked for")?;
    let turn = of_method(&heard, "turn/start").pop().cloned().context("no turn was asked for")?;
    assert_eq!(thread["sandbox"], "read-only", "this makes Codex trust the folder");
    Ok((sandbox_of(&turn), text(&turn, "approvalPolicy"), text(&thread, "cwd")))
}

/// The sandbox of a `turn/start`, as requests name it.
fn sandbox_of(turn: &Value) -> String {
    match turn["sandboxPolicy"]["type"].as_str() {
        Some("readOnly") => "read-only".to_owned(),
        Some("workspaceWrite") => "workspace-write".to_owned(),
        other => format!("{other:?}"),
    }
}

fn with(sandbox: &str, approval: &str, cwd: &Path) -> (String, String, String) {
    (sandbox.to_owned(), approval.to_owned(), cwd.to_string_lossy().into_owned())
}

async fn cwd_of(rig: &Rig, reply: &Reply) -> Result<String> {
    Ok(text(&rig.session(&text(&reply.body, "sessionId")).await?["meta"], "cwd"))
}

const ALL: [&str; 4] = ["--no-auth", "--allow-cwd-override", "--allow-sandbox-override", "--allow-approval-override"];

#[tokio::test]
async fn the_daemons_own_settings_hold_without_overrides() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let reply = start(&rig, &json!({})).await?;
    assert_keys(&reply.body, &["sessionId", "threadId", "content", "structuredContent"]);
    assert_eq!(asked(&rig)?, with("workspace-write", "on-request", &rig.lab.project));

    let flags = ["--no-auth", "--sandbox", "read-only", "--approval-policy", "untrusted", "--model", "our-model"];
    let rig = Rig::new(&flags).await?;
    start(&rig, &json!({})).await?;
    assert_eq!(asked(&rig)?, with("read-only", "untrusted", &rig.lab.project));
    assert_eq!(of_method(&rig.heard()?, "thread/start")[0]["model"], "our-model");
    Ok(())
}

#[tokio::test]
async fn without_flags_what_widens_is_ignored_and_named() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let outside = outside(&rig.lab)?;
    let inside = rig.lab.project.join("sub");
    std::fs::create_dir_all(&inside)?;
    for (overrides, names) in [
        (json!({"sandbox": "danger-full-access"}), &["sandbox"][..]),
        (json!({"approval_policy": "never"}), &["approval_policy"]),
        (json!({"cwd": outside}), &["cwd"]),
        (json!({"cwd": inside}), &["cwd"]),
        (json!({"cwd": "relative"}), &["cwd"]),
        (json!({"cwd": "/does/not/exist"}), &["cwd"]),
        (
            json!({"cwd": "/", "sandbox": "danger-full-access", "approval_policy": "never"}),
            &["approval_policy", "cwd", "sandbox"],
        ),
    ] {
        let reply = start(&rig, &overrides).await?;
        assert_answered(&reply, "ok");
        assert_keys(&reply.body, &["sessionId", "threadId", "content", "structuredContent", "ignoredOverrides"]);
        assert_eq!(ignored(&reply), names, "{overrides}");
        assert_eq!(asked(&rig)?, with("workspace-write", "on-request", &rig.lab.project), "{overrides}");
        assert_eq!(cwd_of(&rig, &reply).await?, rig.lab.project.to_string_lossy());
    }
    Ok(())
}

#[tokio::test]
async fn narrowing_needs_no_flag() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let project = &rig.lab.project;
    for (overrides, asked_for) in [
        (json!({"sandbox": "read-only"}), with("read-only", "on-request", project)),
        (json!({"approval_policy": "untrusted"}), with("workspace-write", "untrusted", project)),
        (
            json!({"sandbox": "workspace-write", "approval_policy": "on-request"}),
            with("workspace-write", "on-request", project),
        ),
    ] {
        let reply = start(&rig, &overrides).await?;
        assert_answered(&reply, "ok");
        assert_eq!(reply.body.get("ignoredOverrides"), None, "{overrides}");
        assert_eq!(asked(&rig)?, asked_for);
    }
    // The model is nobody's permission.
    let reply = start(&rig, &json!({"model": "another"})).await?;
    assert_eq!(reply.body.get("ignoredOverrides"), None);
    assert_eq!(of_method(&rig.heard()?, "thread/start").last().map(|params| &params["model"]), Some(&json!("another")));
    assert_eq!(rig.session(&text(&reply.body, "sessionId")).await?["meta"]["model"], "another");
    Ok(())
}

#[tokio::test]
async fn with_flags_they_are_applied() -> Result<()> {
    let mut flags = ALL.to_vec();
    flags.extend(["--sandbox", "read-only", "--approval-policy", "untrusted"]);
    let rig = Rig::new(&flags).await?;
    let project = rig.lab.project.clone();
    let inside = project.join("sub/deeper");
    std::fs::create_dir_all(&inside)?;
    for (overrides, asked_for) in [
        (json!({"sandbox": "workspace-write"}), with("workspace-write", "untrusted", &project)),
        (json!({"approval_policy": "on-request"}), with("read-only", "on-request", &project)),
        (json!({"cwd": inside}), with("read-only", "untrusted", &inside)),
        (json!({"cwd": project}), with("read-only", "untrusted", &project)),
        (
            json!({"cwd": inside, "sandbox": "workspace-write", "approval_policy": "on-request"}),
            with("workspace-write", "on-request", &inside),
        ),
        // Never, where nothing can be written, is allowed.
        (json!({"approval_policy": "never"}), with("read-only", "never", &project)),
    ] {
        let reply = start(&rig, &overrides).await?;
        assert_answered(&reply, "ok");
        assert_eq!(reply.body.get("ignoredOverrides"), None, "{overrides}");
        assert_eq!(asked(&rig)?, asked_for, "{overrides}");
        assert_eq!(cwd_of(&rig, &reply).await?, asked_for.2);
    }
    Ok(())
}

#[tokio::test]
async fn full_access_is_never_given() -> Result<()> {
    let rig = Rig::new(&ALL).await?;
    for door in [rig.tcp(), rig.socket()] {
        let body = json!({"prompt": "SAY:ok", "sandbox": "danger-full-access"});
        let reply = Call::json("/start", &body).ask(&door).await?;
        // Ignored and named, or refused: the contract allows both. It is not given.
        assert!(
            (reply.status == 200 && ignored(&reply) == ["sandbox"]) || (400..404).contains(&reply.status),
            "{reply:?}"
        );
    }
    let heard = Value::Array(rig.heard()?).to_string();
    assert!(!heard.contains("danger-full-access") && !heard.contains("dangerFullAccess"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn never_to_ask_with_a_writable_sandbox_has_a_flag_of_its_own() -> Result<()> {
    let body = json!({"approval_policy": "never", "sandbox": "workspace-write"});
    let rig = Rig::new(&ALL).await?;
    let reply = start(&rig, &body).await?;
    assert!(reply.status == 200 && !ignored(&reply).is_empty() || (400..404).contains(&reply.status), "{reply:?}");
    let heard = rig.heard()?;
    let given = of_method(&heard, "turn/start")
        .into_iter()
        .find(|turn| turn["approvalPolicy"] == "never" && sandbox_of(turn) == "workspace-write");
    assert_eq!(given, None);

    let mut flags = ALL.to_vec();
    flags.push("--allow-never");
    let rig = Rig::new(&flags).await?;
    let reply = start(&rig, &body).await?;
    assert_answered(&reply, "ok");
    assert_eq!(reply.body.get("ignoredOverrides"), None, "{reply:?}");
    assert_eq!(asked(&rig)?, with("workspace-write", "never", &rig.lab.project));
    Ok(())
}

#[tokio::test]
async fn folders_that_will_not_do() -> Result<()> {
    let rig = Rig::new(&ALL).await?;
    let project = rig.lab.project.clone();
    let outside = outside(&rig.lab)?;
    let file = project.join("file");
    std::fs::write(&file, "")?;
    let link = project.join("link");
    std::os::unix::fs::symlink(&outside, &link)?;
    let climbing = format!("{}/../outside", project.display());
    // Its name begins as the root's does, but it is not in it.
    let sibling = format!("{}-other", project.display());
    std::fs::create_dir_all(&sibling)?;
    for cwd in [
        json!("relative"),
        json!("."),
        json!("~"),
        json!(""),
        json!("/does/not/exist"),
        json!(project.join("missing")),
        json!(file),
        json!("/"),
        json!(outside),
        json!(link),
        json!(climbing),
        json!(sibling),
        json!("/tmp\u{0}x"),
    ] {
        let reply = start(&rig, &json!({"cwd": cwd})).await?;
        assert_eq!(reply.status, 400, "{cwd}: {reply:?}");
        let code = text(&reply.body, "code");
        assert!(["BAD_CWD", "CWD_FORBIDDEN", "BAD_REQUEST"].contains(&code.as_str()), "{cwd}: {code}");
        assert_refused(&reply, 400, &code);
    }
    let missing = start(&rig, &json!({"cwd": "/does/not/exist"})).await?;
    assert_refused(&missing, 400, "BAD_CWD");
    assert_eq!(rig.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    assert_eq!(of_method(&rig.heard()?, "thread/start").len(), 0);
    Ok(())
}

#[tokio::test]
async fn values_that_codex_never_had() -> Result<()> {
    for flags in [&["--no-auth"][..], &ALL] {
        let rig = Rig::new(flags).await?;
        for (field, values) in [
            ("sandbox", &["none", "workspace-read", "trusted", "", "Read-Only", "full", "read-only "][..]),
            ("approval_policy", &["none", "trusted", "workspace-read", "", "always", "NEVER"]),
        ] {
            for value in values {
                for door in [rig.tcp(), rig.socket()] {
                    let body = json!({"prompt": "SAY:x", field: value});
                    assert_refused(&Call::json("/start", &body).ask(&door).await?, 400, "BAD_REQUEST");
                }
            }
        }
        assert_eq!(rig.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    }
    Ok(())
}

#[tokio::test]
async fn the_user_at_the_machine_chooses_the_folder() -> Result<()> {
    let rig = Rig::new(&["--no-auth", "--sandbox", "read-only"]).await?;
    let outside = outside(&rig.lab)?;
    let body = json!({"prompt": "SAY:ok", "cwd": outside, "sandbox": "workspace-write"});
    let reply = rig.daemon.post("/start", body).await?;
    assert_answered(&reply, "ok");
    assert_eq!(reply.body.get("ignoredOverrides"), None, "{reply:?}");
    assert_eq!(cwd_of(&rig, &reply).await?, outside.to_string_lossy());
    assert_eq!(asked(&rig)?, with("workspace-write", "on-request", &outside));
    for cwd in ["relative", "/does/not/exist", ""] {
        let reply = rig.daemon.post("/start", json!({"prompt": "SAY:ok", "cwd": cwd})).await?;
        assert_eq!(reply.status, 400, "{cwd}: {reply:?}");
        assert!(reply.body["error"].is_string() && reply.body["code"].is_string(), "{reply:?}");
    }
    // And it stays the session's folder.
    let session = text(&reply.body, "sessionId");
    let rig = rig.restarted(&["--no-auth", "--sandbox", "read-only"], &[], |_| {}).await?;
    assert_eq!(rig.daemon.go_on(&session, "SAY:there").await?, "there");
    let heard = rig.heard()?;
    let resumed = of_method(&heard, "thread/resume").pop().cloned().context("nothing was resumed")?;
    assert_eq!(resumed["cwd"], json!(outside), "sent at every resume");
    let turn = of_method(&heard, "turn/start").pop().cloned().context("no turn was asked for")?;
    assert_eq!(
        (sandbox_of(&turn), text(&turn, "approvalPolicy")),
        ("workspace-write".to_owned(), "on-request".to_owned())
    );
    Ok(())
}
