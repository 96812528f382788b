//! Check 3: who asks. Tokens given at start, and none.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::fake_codex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused, lab, run, serving, tcp},
    wire::{Call, Door},
};

/// The token opens, everything else does not.
async fn assert_opens(rig: &Rig, token: &str) -> Result<()> {
    let door = rig.tcp();
    let sessions = Call::get("/sessions");
    assert_eq!(sessions.clone().token(token).send(&door).await?.status, 200);
    let reply = Call::json("/start", &json!({"prompt": "SAY:ok"})).token(token).ask(&door).await?;
    assert_answered(&reply, "ok");
    let longer = format!("{token}x");
    for wrong in [&longer, &token[..token.len() - 1], "other"] {
        assert_refused(&sessions.clone().token(wrong).ask(&door).await?, 401, "UNAUTHORIZED");
    }
    for header in [format!("Basic {token}"), token.to_owned()] {
        let call = sessions.clone().header("Authorization", &header);
        assert_refused(&call.ask(&door).await?, 401, "UNAUTHORIZED");
    }
    // A token is a header, never a part of the address.
    let in_query = Call::get(&format!("/sessions?token={token}&access_token={token}"));
    assert_refused(&in_query.ask(&door).await?, 401, "UNAUTHORIZED");
    assert_refused(&sessions.ask(&door).await?, 401, "UNAUTHORIZED");
    assert_eq!(rig.daemon.get("/sessions").await?.status, 200, "the socket needs none");
    let health = Call::get("/health").ask(&door).await?;
    assert_eq!(health.body["authRequired"], true);
    Ok(())
}

/// Asserts that no file below a folder holds the token.
fn assert_not_kept(folder: &Path, token: &str) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            assert_not_kept(&path, token)?;
        } else if path.is_file() {
            let bytes = std::fs::read(&path)?;
            let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!found, "the token is in {}", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_as_a_flag_works_and_is_warned_of() -> Result<()> {
    let token = "flag-token-5b1f";
    let rig = Rig::new(&["--token", token]).await?;
    assert_opens(&rig, token).await?;
    let log = rig.daemon.log();
    let warned = log.lines().any(|line| line.contains("--token") && line.contains("process"));
    assert!(warned, "no warning that it is visible in the process list:\n{log}");
    assert!(!log.contains(token), "the token is in the log:\n{log}");
    assert_not_kept(&rig.lab.store, token)
}

#[tokio::test]
async fn a_token_in_a_file() -> Result<()> {
    let token = "file-token-77aa";
    let lab = lab().await?;
    let file = lab.dir.path().join("token");
    std::fs::write(&file, format!("{token}\n"))?;
    let flags = ["--token-file", file.to_str().context("a path that is not UTF-8")?];
    let daemon = crate::fake_codex_rig::serve(&lab, &flags, &[]).await?;
    let rig = Rig { daemon, lab };
    assert_opens(&rig, token).await?;
    assert!(!rig.daemon.log().contains(token));
    assert_not_kept(&rig.lab.store, token)
}

#[tokio::test]
async fn a_token_in_the_environment_goes_no_further() -> Result<()> {
    let token = "env-token-c0de";
    let outer = [("CODEXD_TOKEN", token), ("CODEX_THREAD_ID", "t"), ("CODEX_SESSION_ID", "s")];
    let rig = Rig::with(&[], &outer).await?;
    assert_opens(&rig, token).await?;
    assert!(!rig.daemon.log().contains(token));
    // Codex and its children don't hear of it, nor of another Codex's thread.
    let heard = rig.heard()?;
    let names = Value::Array(heard.iter().map(|head| head["env"].clone()).collect()).to_string();
    assert!(names.contains("\"CODEX_HOME\""), "{names}");
    for ours in ["CODEXD_TOKEN", "CODEXD_STORE_DIR", "CODEXD_LOG", "CODEX_THREAD_ID", "CODEX_SESSION_ID"] {
        assert!(!names.contains(&format!("\"{ours}\"")), "{ours} among {names}");
    }
    assert_not_kept(&rig.lab.store, token)
}

/// Each adds a token, or two of them at once are refused; none is dropped without a word. (Only `CODEXD_TOKEN`, being the environment's
/// name of `--token`, may give way to it.)
#[tokio::test]
async fn two_ways_of_giving_a_token() -> Result<()> {
    let [flag, file, env] = ["from-the-flag", "from-the-file", "from-the-env"];
    for (given, tokens) in
        [([true, true, false], [flag, file]), ([true, false, true], [flag, flag]), ([false, true, true], [file, env])]
    {
        let lab = lab().await?;
        let path = lab.dir.path().join("token");
        std::fs::write(&path, file)?;
        let (codex, path) = (fake_codex()?, path.to_str().context("a path that is not UTF-8")?);
        let mut args = serving(&codex, &[])?;
        if given[0] {
            args.extend(["--token", flag]);
        }
        if given[1] {
            args.extend(["--token-file", path]);
        }
        let command = || {
            let mut command = lab.command(&args);
            if given[2] {
                command.env("CODEXD_TOKEN", env);
            }
            command
        };
        if let Ok(daemon) = lab.boot(command()).await {
            for token in tokens {
                let answer = Call::get("/sessions").token(token).send(&tcp(&daemon)).await?;
                assert_eq!(answer.status, 200, "{token} of {tokens:?}");
            }
        } else {
            let (output, text) = run(command()).await?;
            assert!(!output.status.success() && text.contains("token"), "{tokens:?}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_token_is_an_error() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let empty = lab.dir.path().join("empty");
    std::fs::write(&empty, "")?;
    let blank = lab.dir.path().join("blank");
    std::fs::write(&blank, " \n\n")?;
    let (empty, blank) = (empty.to_str().context("not UTF-8")?, blank.to_str().context("not UTF-8")?);
    for flags in [&["--token", ""][..], &["--token="], &["--token-file", empty], &["--token-file", blank]] {
        let (output, text) = run(lab.command(&serving(&codex, flags)?)).await?;
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {text}");
        assert!(text.contains("token") && text.contains("empty"), "{flags:?}: {text}");
        // The old way, too.
        let (output, text) = run(lab.command(&serving(&codex, flags)?[1..])).await?;
        assert_eq!(output.status.code(), Some(64), "the old way, {flags:?}: {text}");
    }
    for skipped in [0, 1] {
        let mut command = lab.command(&serving(&codex, &[])?[skipped..]);
        command.env("CODEXD_TOKEN", "");
        let (output, text) = run(command).await?;
        assert_eq!(output.status.code(), Some(64), "CODEXD_TOKEN: {text}");
    }
    let missing = ["--token-file", "/nowhere/token"];
    let (output, text) = run(lab.command(&serving(&codex, &missing)?)).await?;
    assert!(!output.status.success() && text.contains("/nowhere/token"), "{text}");
    assert!(!lab.store.join("daemon.json").exists());
    Ok(())
}

#[tokio::test]
async fn without_a_token_nobody_comes_in_by_tcp() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let door = rig.tcp();
    let health = Call::get("/health").ask(&door).await?;
    assert_eq!((health.status, &health.body["authRequired"]), (200, &json!(true)));
    assert_refused(&Call::get("/sessions").ask(&door).await?, 401, "UNAUTHORIZED");
    for token in ["", "x", "null", "undefined"] {
        assert_refused(&Call::get("/sessions").token(token).ask(&door).await?, 401, "UNAUTHORIZED");
    }
    assert_eq!(rig.daemon.start("SAY:by the socket").await?.1, "by the socket");
    Ok(())
}

#[tokio::test]
async fn without_auth_anybody_here_may_come() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    assert_eq!(Call::get("/health").ask(&door).await?.body["authRequired"], false);
    assert_answered(&Call::json("/start", &json!({"prompt": "SAY:ok"})).ask(&door).await?, "ok");
    assert_eq!(Call::get("/sessions").send(&door).await?.status, 200);
    // The other checks stay.
    assert_refused(&Call::get("/sessions").host("evil.example").ask(&door).await?, 421, "BAD_HOST");
    assert_refused(&Call::get("/sessions").origin("null").ask(&door).await?, 403, "BAD_ORIGIN");
    Ok(())
}

#[tokio::test]
async fn guessing_is_slowed_down() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    // On one connection, so that a hundred guesses take no second.
    let mut stream = TcpStream::connect(address).await?;
    let guess = format!("GET /sessions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer guess\r\n\r\n");
    stream.write_all(guess.repeat(100).as_bytes()).await?;
    let mut came = Vec::new();
    let count = |came: &[u8]| came.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count();
    while count(&came) < 100 && stream.read_buf(&mut came).await? > 0 {}
    let came = String::from_utf8(came)?;
    let (refused, slowed) = (came.matches("HTTP/1.1 401 ").count(), came.matches("HTTP/1.1 429 ").count());
    assert!(refused >= 10 && slowed > 0 && !came.contains("HTTP/1.1 200"), "{refused} refused, {slowed} slowed down");
    assert!(came.contains("TOO_MANY_REQUESTS") && came.to_lowercase().contains("\r\nretry-after: "), "{came}");
    // Only failures are counted: who has the token is not kept out by who has not.
    assert_eq!(Call::get("/sessions").token("sesame").send(&door).await?.status, 200);
    assert_eq!(Call::get("/health").send(&door).await?.status, 200);
    assert_eq!(rig.daemon.get("/sessions").await?.status, 200);
    Ok(())
}
