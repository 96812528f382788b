//! Starting and continuing.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::Lab;

use crate::ran::{CODEXD, rig, run, run_with, started};

#[tokio::test]
async fn without_a_daemon_it_says_how_to_start_one() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    for args in [
        &["start", "hello"][..],
        &["continue", "x", "hello"],
        &["continue", "--last", "hello"],
        &["sessions"],
        &["sessions", "delete", "x", "--yes"],
        &["turn", "wait", "x"],
        &["status"],
    ] {
        let ran = run(&lab, args).await?;
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{args:?}");
        assert!(ran.err.contains("codexd serve"), "{args:?}: {}", ran.err);
    }
    assert!(!lab.store.exists(), "only a daemon makes a store");
    Ok(())
}

#[tokio::test]
async fn a_script_gets_the_answer_and_nothing_else() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let elsewhere = lab.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let mut start = lab.command(&["start", "SAY:the", "answer"]);
    let output = start.current_dir(&elsewhere).stdin(Stdio::null()).output().await?;
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"the answer\n"[..]));
    let told = String::from_utf8(output.stderr)?;
    assert!(told.starts_with("session ") && told.contains(" turn "), "the ids come first: {told}");

    let listed = run(&lab, &["sessions", "--json"]).await?.json()?;
    let session = &listed["sessions"][0];
    let cwd = elsewhere.canonicalize()?;
    assert_eq!(session["cwd"], cwd.to_str().context("not UTF-8")?, "it runs where the caller stands");
    let id = session["id"].as_str().context("no id")?;

    let piped = run_with(&lab, &["continue", id, "-"], "SAY:from a pipe\n").await?;
    assert_eq!((piped.code, piped.out.as_str()), (Some(0), "from a pipe\n"));
    let turn = run(&lab, &["continue", id, "SAY:x", "--json"]).await?.json()?;
    assert_eq!((&turn["sessionId"], &turn["answer"], &turn["status"]), (&json!(id), &json!("x"), &json!("completed")));
    assert_eq!((&turn["answerFrom"], &turn["answerChars"], &turn["origin"]), (&json!(0), &json!(1), &json!("cli")));
    assert_eq!(turn.get("items"), None, "items are for `turn show --items`");
    daemon.stop().await
}

#[tokio::test]
async fn what_a_session_is_to_be_is_said_at_its_start() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let folder = lab.project.join("below");
    fs::create_dir(&folder)?;
    let flags = ["--cwd", "below", "--title", "A title", "--model", "gpt-x", "--sandbox", "read-only"];
    let more = ["--approval-policy", "untrusted", "--label", "team=blue", "--label", "n=1", "--effort", "low"];
    let args = [&["start", "hello"][..], &flags, &more].concat();
    let (session, _) = run(&lab, &args).await?.ids()?;
    let told = run(&lab, &["sessions", "show", &session, "--json"]).await?.json()?;
    let expected = json!({
        "title": "A title", "model": "gpt-x", "sandbox": "read-only", "approvalPolicy": "untrusted",
        "labels": {"team": "blue", "n": "1"}, "cwd": folder.canonicalize()?,
    });
    for (name, value) in expected.as_object().context("no object")? {
        assert_eq!(&told[name], value, "{name}");
    }
    let ours = run(&lab, &["sessions", "list", "--label", "team=blue", "--json"]).await?.json()?;
    assert_eq!(ours["sessions"].as_array().map(Vec::len), Some(1));
    let others = run(&lab, &["sessions", "--label", "team=red"]).await?;
    assert_eq!((others.code, others.out.as_str()), (Some(0), ""));
    daemon.stop().await
}

#[tokio::test]
async fn with_detach_both_ids_are_printed_and_nobody_waits() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let ran = run(&lab, &["start", "--detach", "HANG"]).await?;
    assert_eq!(ran.code, Some(0));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("session ") && lines[1].starts_with("turn "), "{ran:?}");
    let (session, turn) = ran.ids()?;

    let queued = run(&lab, &["continue", &session, "SAY:later", "--detach", "--json"]).await?.json()?;
    assert_eq!((&queued["turn"]["sessionId"], &queued["turn"]["status"]), (&json!(session), &json!("queued")));
    let later = queued["turn"]["id"].as_str().context("no turn")?;
    let shown = run(&lab, &["turn", "show", later]).await?;
    assert_eq!((shown.code, shown.out.as_str()), (Some(6), ""));
    assert!(shown.err.contains("queued, number 1") && shown.err.contains("codexd turn wait"), "{}", shown.err);
    let shown = run(&lab, &["turn", "show", &turn, "--json"]).await?;
    assert_eq!((shown.code, shown.json()?["status"].as_str()), (Some(6), Some("running")));

    let refused = run(&lab, &["continue", &session, "x", "--on-busy", "reject", "--json"]).await?;
    assert_eq!((refused.code, refused.json()?["code"].as_str()), (Some(1), Some("TURN_ACTIVE")));
    daemon.stop().await
}

#[tokio::test]
async fn the_last_session_is_that_of_this_folder_else_the_newest() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (mine, _) = started(&lab, "SAY:one").await?;
    let folder = lab.dir.path().join("elsewhere");
    fs::create_dir(&folder)?;
    let (other, _) = run(&lab, &["start", "SAY:two", "--cwd", folder.to_str().context("path")?]).await?.ids()?;
    let here = run(&lab, &["continue", "--last", "SAY:go", "on"]).await?;
    assert_eq!((here.out.as_str(), here.ids()?.0.as_str()), ("go on\n", mine.as_str()));
    assert!(here.err.contains("newest session of this folder"), "{}", here.err);

    let third = lab.dir.path().join("third");
    fs::create_dir(&third)?;
    started(&lab, "SAY:the newest is elsewhere").await?;
    run(&lab, &["continue", &other, "SAY:now it is this one"]).await?.good()?;
    let mut command = lab.command(&["continue", "--last", "RECALL"]);
    let output = command.current_dir(&third).stdin(Stdio::null()).output().await?;
    let told = String::from_utf8(output.stderr)?;
    assert!(told.contains("newest of all") && told.contains(&other), "{told}");
    assert!(String::from_utf8(output.stdout)?.contains("SAY:two"));
    daemon.stop().await
}

#[tokio::test]
async fn the_same_key_starts_nothing_twice() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let args = ["start", "SAY:once", "--idempotency-key", "k-1"];
    let first = run(&lab, &args).await?;
    let again = run(&lab, &args).await?;
    assert_eq!((first.ids()?, first.out), (again.ids()?, again.out));
    assert!(again.err.contains("no new turn"), "{}", again.err);
    let other = run(&lab, &["start", "SAY:other", "--idempotency-key", "k-1", "--json"]).await?;
    assert_eq!((other.code, other.json()?["code"].as_str()), (Some(1), Some("IDEMPOTENCY_MISMATCH")));
    let listed = run(&lab, &["sessions", "--json"]).await?.json()?;
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1));
    daemon.stop().await
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let cases: [(&[&str], i32, &str); 12] = [
        (&["start", "FAIL:400"], 4, "the turn failed"),
        (&["start", ""], 2, "empty"),
        (&["start"], 2, "`-`"),
        (&["start", "x", "--cwd", "/no/such/folder"], 2, "/no/such/folder"),
        (&["start", "x", "--sandbox", "none"], 2, "none"),
        (&["start", "x", "--sandbox", "danger-full-access"], 1, "danger-full-access"),
        (&["continue", "nobody", "x"], 1, "nobody"),
        (&["continue"], 2, "--last"),
        (&["turn", "show", "nothing"], 1, "nothing"),
        (&["turn", "show", "a/b"], 2, "a/b"),
        (&["no-such-command"], 2, "no-such-command"),
        (&["serve", "--port", "0", "--token", ""], 64, "empty"),
    ];
    for (args, code, word) in cases {
        let ran = run(&lab, args).await?;
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{args:?}: {}", ran.err);
    }
    let refused = run(&lab, &["continue", "nobody", "x", "--json"]).await?;
    let told = refused.json()?;
    assert_eq!((&told["code"], &told["status"]), (&json!("NO_SESSION"), &json!(404)));
    assert!(told["error"].as_str().is_some_and(|error| error.contains("nobody")), "{told}");
    let failed = run(&lab, &["start", "FAIL:400", "--json"]).await?;
    let turn: Value = failed.json()?;
    assert_eq!((failed.code, &turn["status"]), (Some(4), &json!("failed")));
    assert!(turn["error"]["message"].is_string() && failed.err.contains("the turn failed"), "{failed:?}");
    daemon.stop().await
}
