//! Connections that break off, and daemons that are restarted under a command.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Lab, eventually, fake_codex};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::ran::{CODEXD, end, ids_of, rig, run, spawn};

/// Somebody behind the socket of a store who is no daemon: hears requests, and answers them as it was told.
pub(crate) struct Stub {
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    /// The same answer for everybody.
    pub(crate) async fn answering(lab: &Lab, status: u16, body: &str) -> Result<Self> {
        let body = body.to_owned();
        Self::new(lab, move |_, _| Some((status, body.clone()))).await
    }

    /// The answer to the request of that number; `None` hangs up when it was heard.
    pub(crate) async fn new(
        lab: &Lab,
        answer: impl Fn(usize, &str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Result<Self> {
        fs::create_dir_all(&lab.store)?;
        let socket = lab.store.join("stub.sock");
        let listener = UnixListener::bind(&socket)?;
        let file =
            json!({"pid": 1, "startedAt": "2026-01-01T00:00:00.000Z", "version": "0", "http": null, "socket": socket});
        fs::write(lab.store.join("daemon.json"), file.to_string())?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Ok(request) = read(&mut stream).await else { continue };
                let number = hearing.lock().map_or(0, |heard| heard.len());
                let told = answer(number, &request);
                if let Ok(mut heard) = hearing.lock() {
                    heard.push(request);
                }
                if let Some((status, body)) = told {
                    let head =
                        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                }
            }
        });
        Ok(Self { heard, task })
    }

    /// The requests so far, in lower case.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().map(|heard| heard.clone()).unwrap_or_default()
    }
}

/// A whole request.
async fn read(stream: &mut UnixStream) -> Result<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        anyhow::ensure!(count > 0, "hung up");
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() >= length.trim().parse()? {
            return Ok(text);
        }
    }
}

fn key(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("idempotency-key: "))
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_sent_again_with_the_same_key() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let at = "2026-01-01T00:00:00.000Z";
    let session = json!({"id": "s1", "title": "x", "titleSource": "auto", "titleLocked": false, "status": "running",
        "cwd": "/", "sandbox": "read-only", "approvalPolicy": "on-request", "labels": {}, "turnCount": 1,
        "createdAt": at, "updatedAt": at});
    let turn = move |status: &str| {
        json!({"id": "u1", "sessionId": "s1", "status": status, "delivery": "yes", "prompt": "x", "declined": [],
            "answer": "here", "origin": "cli", "principal": "local", "createdAt": at})
    };
    let stub = Stub::new(&lab, move |number, request| match number {
        0 => None,
        1 => {
            let body = json!({"title": "stopping", "detail": "codexd is stopping", "code": "SHUTTING_DOWN", "retryable": true});
            Some((503, body.to_string()))
        }
        2 => Some((201, json!({"session": session, "turn": turn("queued")}).to_string())),
        3 => None,
        _ => Some((200, turn(if request.starts_with("get /v1/turns/u1") { "completed" } else { "failed" }).to_string())),
    })
    .await?;
    let ran = run(&lab, &["start", "x"]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "here\n"), "{ran:?}");
    assert!(ran.err.contains("trying again") && ran.err.contains("session s1 turn u1"), "{}", ran.err);
    let heard = stub.heard();
    let posts: Vec<&String> = heard.iter().filter(|request| request.starts_with("post /v1/sessions ")).collect();
    assert_eq!(posts.len(), 3, "{heard:?}");
    let keys: Vec<_> = posts.iter().map(|request| key(request)).collect();
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_was_never_there_is_not_waited_for() -> Result<()> {
    let (lab, daemon) = rig().await?;
    daemon.kill().await?;
    assert!(lab.store.join("daemon.json").exists(), "a crash leaves it behind");
    let ran = run(&lab, &["start", "x"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("without cleaning up"), "{}", ran.err);
    Ok(())
}

#[tokio::test]
async fn a_socket_that_was_removed_comes_back() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let socket = lab.store.join("codexd.sock");
    fs::remove_file(&socket)?;
    eventually("the socket", async || socket.exists().then_some(())).await?;
    run(&lab, &["status"]).await?.good()?;
    assert!(daemon.log().contains("was removed; codexd listens on it again"), "{}", daemon.log());
    daemon.stop().await?;
    assert!(!socket.exists(), "the new one is withdrawn as the old one was");
    Ok(())
}

#[tokio::test]
async fn without_its_socket_a_daemon_is_asked_by_tcp_or_told_of() -> Result<()> {
    // A store whose socket stays away: what another daemon listens on is told in it.
    let lab = Lab::new(CODEXD).await?;
    fs::create_dir_all(&lab.store)?;
    let socket = lab.store.join("codexd.sock");
    for (flag, code) in [(&["--no-auth"][..], 0), (&[], 1)] {
        let other = Lab::new(CODEXD).await?;
        let daemon = other.serve(&fake_codex()?, flag).await?;
        let file = json!({"pid": daemon.pid, "startedAt": "2026-01-01T00:00:00.000Z", "version": "0",
            "http": daemon.url, "socket": socket});
        fs::write(lab.store.join("daemon.json"), file.to_string())?;
        for args in [&["status"][..], &["sessions"]] {
            let ran = run(&lab, args).await?;
            assert_eq!(ran.code, Some(code), "{flag:?} {args:?}: {ran:?}");
            let told = format!("codexd (pid {}) runs, but its socket `{}` is gone", daemon.pid, socket.display());
            assert_eq!(ran.err.contains(&told), code == 1, "{ran:?}");
            assert!(!ran.err.contains("trying again"), "{ran:?}");
        }
        daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_goes_on_waiting_at_the_next_daemon() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let mut waiting = spawn(lab.command(&["start", "SLOW:150:20"]))?;
    let mut told = BufReader::new(waiting.stderr.take().context("no stderr")?);
    let mut line = String::new();
    told.read_line(&mut line).await?;
    let (_, turn) = ids_of(&line).with_context(|| line.clone())?;
    eventually("the turn to run", async || {
        let told = daemon.get(&format!("/v1/turns/{turn}")).await.ok()?;
        (told.body["status"] == "running").then_some(())
    })
    .await?;
    daemon.kill().await?;
    let next = lab.serve(&fake_codex()?, &[]).await?;
    let ran = end(waiting).await?;
    assert_eq!(ran.code, Some(0), "the turn went on without its daemon: {ran:?}");
    let mut rest = String::new();
    told.read_to_string(&mut rest).await?;
    assert_eq!(rest.matches("trying again").count(), 1, "{rest}");
    assert_eq!(ran.out.split_whitespace().count(), 150, "the answer, once: {}", ran.out);
    let told = run(&lab, &["turn", "show", &turn, "--json"]).await?.json()?;
    assert_eq!(told["status"], "completed");
    next.stop().await
}
