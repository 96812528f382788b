//! The command line against a running daemon, as a script sees it: what it prints, where, and with which exit code.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::{Lab, fake_codex, real_codex};
use tokio::io::AsyncWriteExt as _;

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(lab: &Lab, args: &[&str], input: &str) -> Result<Ran> {
    let mut command = lab.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // A program that reads no input may be gone by now.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

#[tokio::test]
async fn without_a_daemon_it_says_how_to_start_one() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    for args in [&["start", "hello"][..], &["continue", "x", "hello"], &["sessions"], &["status"]] {
        let ran = run(&lab, args, "").await?;
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{args:?}");
        assert!(ran.err.contains("codexd serve"), "{args:?}: {}", ran.err);
    }
    assert!(!lab.store.exists(), "only a daemon makes a store");
    Ok(())
}

#[tokio::test]
async fn a_script_gets_the_answer_and_nothing_else() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let elsewhere = lab.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let mut start = lab.command(&["start", "SAY:the answer"]);
    let output = start.current_dir(&elsewhere).stdin(Stdio::null()).output().await?;
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"the answer\n"[..]));

    let listed: Value = serde_json::from_str(&run(&lab, &["sessions", "--json"], "").await?.out)?;
    let id = listed["sessions"][0]["sessionId"].as_str().context("no session")?.to_owned();
    let shown: Value = serde_json::from_str(&run(&lab, &["sessions", "show", &id, "--json"], "").await?.out)?;
    assert_eq!(
        shown["meta"]["cwd"],
        elsewhere.canonicalize()?.to_str().context("not UTF-8")?,
        "it runs where the caller stands"
    );

    let piped = run(&lab, &["continue", &id, "-"], "SAY:from a pipe\n").await?;
    assert_eq!((piped.code, piped.out.as_str()), (Some(0), "from a pipe\n"));
    let json: Value = serde_json::from_str(&run(&lab, &["continue", &id, "SAY:x", "--json"], "").await?.out)?;
    assert_eq!(
        (&json["sessionId"], &json["structuredContent"]["content"]),
        (&Value::from(id.as_str()), &Value::from("x"))
    );

    let found = run(&lab, &["sessions", "search", "ipe"], "").await?;
    assert!(found.code == Some(0) && found.out.contains(&id), "{}", found.out);
    let status = run(&lab, &["status"], "").await?;
    assert!(status.code == Some(0) && status.out.contains("ready"), "{}", status.out);
    daemon.stop().await
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    let cases: [(&[&str], i32, &str); 7] = [
        (&["start", "FAIL:500"], 4, "failed"),
        (&["start", ""], 2, "empty"),
        (&["start"], 2, "Usage"),
        (&["start", "x", "--cwd", "/no/such/folder"], 2, "/no/such/folder"),
        (&["start", "x", "--sandbox", "none"], 2, "none"),
        (&["continue", "nobody", "x"], 1, "nobody"),
        (&["serve", "--port", "0", "--token", ""], 64, "empty"),
    ];
    for (args, code, word) in cases {
        let ran = run(&lab, args, "").await?;
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
    daemon.stop().await
}

#[tokio::test]
async fn the_demo_holds_on_the_real_codex() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let ran = run(&lab, &["demo", "--json", "--codex-cmd", codex.to_str().context("not UTF-8")?], "").await?;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    let steps: Vec<Value> = ran.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(steps.len() >= 7, "{}", ran.out);
    Ok(())
}

#[tokio::test]
async fn it_installs_the_real_codex_where_it_then_finds_it() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let first = run(&lab, &["codex", "install"], "").await?;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let home: Vec<_> = fs::read_dir(lab.dir.path().join("home"))?.collect();
    assert!(home.is_empty(), "nothing is left in the home folder: {home:?}");
    let mut which = lab.command(&["codex", "which", "--json"]);
    let output = which.env("PATH", "").output().await?;
    let which: Value = serde_json::from_slice(&output.stdout)?;
    assert!(which["program"].as_str().is_some_and(|path| path.starts_with(&*lab.store.to_string_lossy())), "{which}");
    assert_eq!(which["version"], "0.169.0");
    let again = run(&lab, &["codex", "install", "0.169.0"], "").await?;
    assert!(again.code == Some(0) && (again.out + &again.err).contains("already"), "{}", again.code.unwrap_or(-1));
    let wrong = run(&lab, &["codex", "install", "latest"], "").await?;
    assert!(wrong.code != Some(0) && wrong.err.contains("latest"), "{}", wrong.err);
    Ok(())
}
