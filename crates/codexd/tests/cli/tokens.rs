//! Tokens, with a daemon and without one.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};
use client::Client;
use serde_json::json;
use testkit::{Lab, fake_codex};

use crate::ran::{CODEXD, rig, run};

#[tokio::test]
async fn a_daemon_takes_a_new_token_at_once_and_a_revoked_one_no_more() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let made = run(&lab, &["token", "new", "ci", "--expires", "30d", "--max-sandbox", "read-only"]).await?;
    let token = made.out.trim_end();
    assert!(made.code == Some(0) && token.starts_with("cdx_") && token.len() == 47, "{made:?}");
    assert!(made.err.contains("read,run") && !made.err.contains(token), "{}", made.err);
    let client = Client::tcp(&daemon.url, Some(token))?;
    let policy = client.policy().await?;
    assert_eq!((policy.principal.as_str(), policy.sandbox.as_str()), ("token:ci", "read-only"));

    let listed = run(&lab, &["token", "list"]).await?.good()?;
    assert!(listed.contains("ci") && listed.contains("read-only") && !listed.contains(token), "{listed}");
    let twice = run(&lab, &["token", "new", "ci", "--json"]).await?;
    assert_eq!((twice.code, twice.json()?["code"].as_str()), (Some(1), Some("BAD_REQUEST")));
    assert!(
        listed.contains("LAST USED") && !listed.lines().any(|line| line.contains("ci ") && line.contains(" -  -")),
        "{listed}"
    );
    let rotated = run(&lab, &["token", "rotate", "ci", "--grace", "1h"]).await?;
    let other = rotated.out.trim_end();
    assert!(rotated.code == Some(0) && other.starts_with("cdx_") && other.len() == 47 && other != token, "{rotated:?}");
    assert!(rotated.err.contains("until") && !rotated.err.contains(other), "{}", rotated.err);
    let renewed = Client::tcp(&daemon.url, Some(other))?;
    assert!(client.policy().await.is_ok() && renewed.policy().await.is_ok());
    run(&lab, &["token", "rotate", "ci"]).await?.good()?;
    assert!(renewed.policy().await.is_err(), "without a grace it ends at once");
    run(&lab, &["token", "revoke", "ci"]).await?.good()?;
    assert!(client.policy().await.is_err());
    let gone = run(&lab, &["token", "revoke", "ci"]).await?;
    assert!(gone.code == Some(1) && gone.err.contains("ci"), "{gone:?}");
    daemon.stop().await
}

#[tokio::test]
async fn without_a_daemon_the_store_itself_is_written() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let none = run(&lab, &["token", "list"]).await?;
    assert!(none.code == Some(0) && none.err.contains("token new"), "{none:?}");
    assert!(!lab.store.exists(), "looking makes nothing");
    let root = lab.project.to_str().context("path")?;
    let args = ["token", "new", "later", "--scope", "read,approve", "--root", root, "--json"];
    let made = run(&lab, &args).await?.json()?;
    assert_eq!(made["grant"]["scopes"], json!(["read", "approve"]));
    let listed = run(&lab, &["token", "list", "--json"]).await?.json()?;
    assert_eq!(listed["tokens"][0]["name"], "later");
    let rotated = run(&lab, &["token", "rotate", "later", "--json"]).await?.json()?;
    assert!(rotated["grant"]["rotatedAt"].is_string() && rotated["token"] != made["token"], "{rotated}");
    let token = rotated["token"].as_str().context("no token")?;
    for (args, code) in [
        (&["token", "new", "later"][..], 1),
        (&["token", "rotate", "nobody"], 1),
        (&["token", "rotate", "later", "--grace", "31d"], 2),
        (&["token", "new", "a b"], 2),
        (&["token", "new", "x", "--expires", "9999999d"], 2),
        (&["token", "new", "x", "--expires", "99999999999999999999d"], 2),
        (&["token", "new", "x", "--root", "/no/such/folder"], 2),
        (&["token", "new", "x", "--scope", "all"], 2),
        (&["token", "revoke", "nobody"], 1),
    ] {
        let ran = run(&lab, args).await?;
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
    }

    let far = run(&lab, &["token", "new", "x", "--expires", "9999999d"]).await?;
    assert!(far.err.contains("more than 36500 days"), "{}", far.err);

    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let client = Client::tcp(&daemon.url, Some(token))?;
    assert_eq!(client.policy().await?.principal, "token:later");
    daemon.stop().await?;
    run(&lab, &["token", "revoke", "later"]).await?.good()?;
    let listed = run(&lab, &["token", "list", "--json"]).await?.json()?;
    assert_eq!(listed, json!({ "tokens": [] }));
    Ok(())
}

#[tokio::test]
async fn a_token_that_nobody_gets_is_revoked_again() -> Result<()> {
    let (lab, daemon) = rig().await?;
    for more in [&[][..], &["--json"]] {
        let mut command = lab.command(&[&["token", "new", "lost"], more].concat());
        command.stdout(fs::File::options().write(true).open("/dev/full")?).stderr(Stdio::piped());
        let output = command.spawn()?.wait_with_output().await?;
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && err.contains("revoked again"), "{err}");
        let listed = run(&lab, &["token", "list", "--json"]).await?.json()?;
        assert_eq!(listed, json!({ "tokens": [] }));
    }
    daemon.stop().await
}
