//! What happens in a turn, shown while it happens: at a terminal, in a pipe, to programs.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, eventually, real_codex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::{
    cut::Stub,
    ran::{CODEXD, end, ids_of, rig, run, signal, spawn, started},
    terminal::Sitting,
};

/// What stands on a terminal, without its colours and what was written over.
fn plain(seen: &str) -> Vec<String> {
    let plain = anstream::adapter::strip_str(seen).to_string();
    plain.lines().map(|line| line.rsplit('\r').next().unwrap_or_default().to_owned()).collect()
}

/// The columns that a line takes, by what the tests below write.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if c.is_ascii() || "…·▸✓äöü".contains(c) { 1 } else { 2 }).sum()
}

#[tokio::test]
async fn an_answer_is_seen_as_it_is_written_and_once() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let sitting = Sitting::down(&lab, &["start", "SLOW:200:20"], 80)?;
    sitting.sees("1 2 3 4").await?;
    let turn = plain(&sitting.seen()).iter().find_map(|line| ids_of(line)).context("no ids")?.1;
    let told = daemon.get(&format!("/v1/turns/{turn}")).await?.body;
    assert_eq!(told["status"], "running", "it was seen before it was there");
    let (code, seen) = sitting.end().await?;
    let lines = plain(&seen).join("\n");
    assert!(code == Some(0) && lines.matches("1 2 3 4").count() == 1, "{lines}");
    assert!(lines.matches("198 199 200\n").count() == 1 && lines.contains("continue with: "), "{lines}");
    daemon.stop().await
}

const BUSY: &str = "RUN:echo \"some wörds 日本語 and more that a narrow line has no room for\"; exit 3\nPATCH:new.txt:a line\nSAY:döne";

/// With the real Codex, of which the double has no exit codes.
async fn real() -> Result<(Lab, Daemon)> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    Ok((lab, daemon))
}

#[tokio::test]
async fn commands_and_changes_are_shown_briefly() -> Result<()> {
    let (lab, daemon) = real().await?;
    for width in [40, 80] {
        let (code, seen) = Sitting::down(&lab, &["start", BUSY], width)?.end().await?;
        let lines = plain(&seen);
        let at = |start: &str| {
            lines.iter().position(|line| line.starts_with(start)).with_context(|| format!("{start}: {lines:?}"))
        };
        assert!(code == Some(0), "{seen}");
        let order =
            [at("$ ")?, at("  exit code 3")?, at("new …").or_else(|_| at("new /"))?, at("  +a line")?, at("döne")?];
        assert!(order.is_sorted(), "{lines:?}");
        if let Some(dir) = std::env::var_os("SHOW_SCREENS") {
            std::fs::write(std::path::Path::new(&dir).join(format!("screen-{width}")), &seen)?;
        }
        // The ids and what to do next are for copying.
        let ours = lines.iter().filter(|line| !line.starts_with("session ") && !line.contains("codexd continue"));
        for line in ours.filter(|line| !line.starts_with("warning")) {
            assert!(columns(line) <= usize::from(width), "{width}: {line:?}");
        }
        assert!(seen.contains("\x1b[32m"), "a diff has colours: {seen:?}");
    }
    let sitting = Sitting::down_with(&lab, &["start", BUSY], 80, &[("NO_COLOR", "1")])?;
    let (_, seen) = sitting.end().await?;
    assert!(seen.contains("  +a line") && !seen.contains("\x1b[3"), "{seen:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_pipe_has_the_answer_and_a_log_has_the_rest_in_brief() -> Result<()> {
    let (lab, daemon) = real().await?;
    let ran = run(&lab, &["start", BUSY]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "döne\n"), "{ran:?}");
    for part in ["$ ", "  exit code 3", "new.txt +1 -0\n"] {
        assert!(ran.err.contains(part), "{part:?}: {}", ran.err);
    }
    assert!(!ran.err.contains('\x1b') && !ran.err.contains("+a line") && !ran.err.contains("döne"), "{}", ran.err);
    assert_eq!(ran.err.matches("exit code 3").count(), 1, "{}", ran.err);
    let (_, turn) = ran.ids()?;
    let waited = run(&lab, &["turn", "wait", &turn]).await?;
    assert!(waited.out == "döne\n" && !waited.err.contains("$ "), "who only waits is told nothing: {waited:?}");
    daemon.stop().await
}

#[tokio::test]
async fn programs_get_every_event_and_then_the_turn() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let ran = run(&lab, &["start", "RUN:echo hi\nSLOW:30:2", "--json"]).await?;
    let (session, turn) = ran.ids()?;
    let (events, last) = ran.told()?;
    assert_eq!((&last["id"], &last["status"], last.get("items")), (&json!(turn), &json!("completed"), None));
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names.len(), events.len(), "{events:?}");
    for name in
        ["server.connected", "session.created", "turn.started", "item.delta", "item.completed", "turn.completed"]
    {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let ids: Vec<i64> = events.iter().filter_map(|event| event["id"].as_i64()).collect();
    assert!(ids.is_sorted() && ids.len() > 5, "{ids:?}");
    let joined: String = events.iter().filter_map(|event| event["data"]["delta"].as_str()).collect();
    assert!(last["answer"].as_str().is_some_and(|answer| joined.ends_with(answer)), "{joined:?} {last}");

    let detached = run(&lab, &["start", "SAY:x", "--detach", "--json"]).await?.json()?;
    assert!(detached["session"]["id"].is_string() && detached["turn"]["id"].is_string(), "{detached}");
    // In a session that has others, only its own turn is told.
    let other = run(&lab, &["continue", &session, "SLOW:50:5", "--detach"]).await?.ids()?.1;
    let (events, last) = run(&lab, &["continue", &session, "SAY:mine", "--json"]).await?.told()?;
    assert_eq!(last["answer"], "mine");
    assert!(events.iter().any(|event| event["event"] == "turn.queued"), "{events:?}");
    assert!(events.iter().all(|event| event["data"]["turnId"] != other.as_str()), "{events:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_reader_who_has_gone_ends_it_quietly() -> Result<()> {
    let (lab, daemon) = rig().await?;
    for (args, code) in [(&["start", "HANG", "--json"][..], 6), (&["watch", "--json"], 0), (&["watch"], 0)] {
        let mut child = spawn(lab.command(args))?;
        let mut out = BufReader::new(child.stdout.take().context("no stdout")?);
        // It is connected before the first line.
        if args[0] == "watch" && args.len() == 1 {
            eventually("something to see", async || {
                run(&lab, &["start", "SAY:x"]).await.ok()?;
                let line =
                    tokio::time::timeout(std::time::Duration::from_secs(1), out.read_line(&mut String::new())).await;
                matches!(line, Ok(Ok(1..))).then_some(())
            })
            .await?;
        } else {
            ensure!(out.read_line(&mut String::new()).await? > 0, "nothing came");
        }
        // Nothing happens any more that could not be written.
        drop(out);
        let ran = end(child).await?;
        assert_eq!(ran.code, Some(code), "{args:?} {ran:?}");
        assert!(!ran.err.contains("error") && !ran.err.contains("roken"), "{ran:?}");
    }
    // Without stderr it is the same.
    let mut child = spawn(lab.command(&["start", BUSY]))?;
    drop(child.stderr.take());
    let ran = end(child).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "döne\n"), "{ran:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_long_answer_is_seen_whole_and_harmless() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (code, seen) = Sitting::down(&lab, &["start", "BIG:1000000"], 80)?.end().await?;
    assert_eq!(code, Some(0));
    let answer = run(&lab, &["continue", "--last", "BIG:1000000"]).await?.good()?;
    assert!(answer.len() == 1_000_001 && seen.contains(&answer), "{} of {}", seen.len(), answer.len());
    let evil = "SAY:\x1b]0;owned\x07safe\x1b[2J\u{202e}\u{9b}31m 日本";
    for args in [&["start", evil][..], &["watch", "--after", "0"]] {
        let sitting = Sitting::down(&lab, args, 80)?;
        sitting.sees("safe 日本").await?;
        signal("INT", sitting.child.id().context("gone")?).await.ok();
        let (_, seen) = sitting.end().await?;
        for evil in ["\x1b]0;", "\x07", "\x1b[2J", "\u{202e}", "\u{9b}"] {
            assert!(!seen.contains(evil), "{args:?}: {evil:?}");
        }
    }
    daemon.stop().await
}

#[tokio::test]
async fn a_session_is_watched_and_so_are_all() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, turn) = started(&lab, "RUN:echo 4\nSAY:first").await?;
    let mut all = spawn(lab.command(&["watch", "--after", "0", "--json"]))?;
    let mut one = spawn(lab.command(&["watch", &session[..session.len() - 1], "--after", "0"]))?;
    let (other, _) = started(&lab, "SAY:elsewhere").await?;
    run(&lab, &["continue", &session, "SAY:second"]).await?.good()?;

    let mut told = String::new();
    let mut out = BufReader::new(all.stdout.take().context("no stdout")?);
    let (mut ids, mut sessions, mut ends): (Vec<i64>, Vec<Value>, usize) = (Vec::new(), Vec::new(), 0);
    while ends < 3 {
        told.clear();
        ensure!(out.read_line(&mut told).await? > 0, "it ended");
        let event: Value = serde_json::from_str(&told)?;
        ids.extend(event["id"].as_i64());
        sessions.push(event["data"]["sessionId"].clone());
        ends += usize::from(event["event"] == "turn.completed");
    }
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert!(sessions.contains(&json!(session)) && sessions.contains(&json!(other)), "{sessions:?}");
    signal("INT", all.id().context("gone")?).await?;
    assert_eq!(end(all).await?.code, Some(0), "this is how it ends");

    let mut out = one.stdout.take().context("no stdout")?;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("second\n") {
        ensure!(out.read_buf(&mut seen).await? > 0, "it ended: {}", String::from_utf8_lossy(&seen));
    }
    run(&lab, &["sessions", "delete", &session, "--yes"]).await?.good()?;
    out.read_to_end(&mut seen).await?;
    let seen = String::from_utf8(seen)?;
    let ran = end(one).await?;
    assert!(ran.code == Some(0) && ran.err.contains("the session was deleted"), "{ran:?}");
    let mut rest = seen.as_str();
    for part in [
        "> RUN:echo 4",
        &format!("turn {turn}"),
        "$ ",
        "exit code 0",
        "first\n",
        "completed",
        "> SAY:second",
        "second\n",
    ] {
        rest = rest.split_once(part).with_context(|| format!("{part:?} in {seen}"))?.1;
    }
    assert!(!seen.contains("elsewhere") && !seen.contains('\x1b'), "{seen}");
    let nobody = run(&lab, &["watch", "nobody"]).await?;
    assert!(nobody.code == Some(1) && nobody.err.contains("nobody"), "{nobody:?}");
    daemon.stop().await
}

#[tokio::test]
async fn all_sessions_are_told_apart() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (one, _) = started(&lab, "SAY:a").await?;
    let (two, _) = started(&lab, "SAY:b").await?;
    run(&lab, &["continue", &one, "SAY:c"]).await?.good()?;
    let sitting = Sitting::down(&lab, &["watch", "--after", "0"], 60)?;
    sitting.sees("\nc\n").await?;
    signal("INT", sitting.child.id().context("gone")?).await?;
    let (code, seen) = sitting.end().await?;
    let heads: Vec<String> = plain(&seen).into_iter().filter(|line| line.starts_with("session 0")).collect();
    let expected = [format!("session {one} SAY:a"), format!("session {two} SAY:b"), format!("session {one} SAY:a")];
    assert!(code == Some(0) && heads == expected, "{heads:?}: {seen}");
    daemon.stop().await
}

#[tokio::test]
async fn a_daemon_that_stops_is_said_once_and_the_next_one_is_found() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let mut watching = spawn(lab.command(&["watch", "--after", "0", "--json"]))?;
    let mut out = BufReader::new(watching.stdout.take().context("no stdout")?);
    let mut line = String::new();
    out.read_line(&mut line).await?;
    ensure!(line.contains("server.connected"), "{line}");
    daemon.stop().await?;
    let next = lab.serve(&testkit::fake_codex()?, &[]).await?;
    let (session, _) = started(&lab, "SAY:after").await?;
    while !(line.contains("turn.completed") && line.contains(&session)) {
        line.clear();
        ensure!(out.read_line(&mut line).await? > 0, "it ended");
    }
    signal("TERM", watching.id().context("gone")?).await?;
    let ran = end(watching).await?;
    assert!(ran.err.matches("trying again").count() == 1 && ran.err.contains("codexd is stopping"), "{}", ran.err);
    assert!(ran.err.contains("the daemon is there again"), "{}", ran.err);
    next.stop().await
}

/// A session and a turn as a daemon tells them.
fn session(id: &str) -> Value {
    let at = "2026-01-01T00:00:00.000Z";
    json!({"id": id, "title": "x", "titleSource": "auto", "titleLocked": false, "status": "running", "cwd": "/",
        "sandbox": "read-only", "approvalPolicy": "on-request", "labels": {}, "turnCount": 1, "createdAt": at, "updatedAt": at})
}

fn turn(status: &str) -> Value {
    json!({"id": "u1", "sessionId": "s1", "status": status, "delivery": "yes", "prompt": "x", "declined": [], "answer": "here",
        "origin": "cli", "principal": "local", "createdAt": "2026-01-01T00:00:00.000Z"})
}

/// A daemon of one session in which one turn runs.
async fn stub(lab: &Lab) -> Result<Stub> {
    Stub::new(lab, |_, request| {
        let (line, _) = request.split_once(" http/1.1").unwrap_or((request, ""));
        let problem = |status: u16, code: &str| (status, json!({"detail": "so it is", "code": code}));
        let (status, body) = match line.split('?').next().unwrap_or(line) {
            "get /v1/turns/u1" => (200, turn("running")),
            "get /v1/sessions/s1" => (200, session("s1")),
            "get /v1/sessions/s2" => (200, session("s2")),
            "get /v1/sessions/s1/turns" => (200, json!({"turns": [turn("running"), turn("completed")]})),
            "get /v1/sessions/s2/turns" => (200, json!({"turns": [turn("completed")]})),
            "post /v1/turns/u1/steer" if request.contains("too late") => problem(409, "TURN_ENDED"),
            "post /v1/turns/u1/steer" => (202, turn("running")),
            "post /v1/sessions/s1/fork" => (201, json!({"session": session("s3")})),
            "post /v1/sessions/s1/resume" => (200, session("s1")),
            "post /v1/sessions/s1/turns" => problem(409, "THREAD_HELD"),
            _ if line.starts_with("get /v1/turns/") => problem(404, "NO_TURN"),
            _ => problem(404, "NO_SESSION"),
        };
        Some((status, body.to_string()))
    })
    .await
}

#[tokio::test]
async fn a_turn_that_runs_is_steered() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let stub = stub(&lab).await?;
    for which in ["u1", "s1"] {
        let ran = run(&lab, &["steer", which, "also", "this"]).await?;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.err.contains("codexd turn wait u1"), "{}", ran.err);
    }
    let told = run(&lab, &["steer", "s1", "x", "--json"]).await?.json()?;
    assert_eq!(told["id"], "u1");
    let posts: Vec<String> = stub.heard().into_iter().filter(|request| request.starts_with("post ")).collect();
    assert_eq!(posts.len(), 3, "{posts:?}");
    assert!(
        posts[0].starts_with("post /v1/turns/u1/steer ") && posts[0].ends_with(r#"{"prompt":"also this"}"#),
        "{}",
        posts[0]
    );
    let none = run(&lab, &["steer", "s2", "x"]).await?;
    assert!(none.code == Some(1) && none.err.contains("codexd continue s2"), "{none:?}");
    let late = run(&lab, &["steer", "u1", "too late"]).await?;
    assert!(late.code == Some(1) && late.err.contains("so it is"), "{late:?}");
    assert_eq!(run(&lab, &["steer", "u1"]).await?.code, Some(2), "no prompt");
    Ok(())
}

#[tokio::test]
async fn a_session_is_forked_and_resumed() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let stub = stub(&lab).await?;
    let ran = run(&lab, &["fork", "s1"]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "s3\n"), "{ran:?}");
    assert!(ran.err.contains("codexd continue s3"), "{}", ran.err);
    let told = run(&lab, &["fork", "s1", "--title", "Another way", "--json"]).await?.json()?;
    assert_eq!(told["session"]["id"], "s3");
    let resumed = run(&lab, &["sessions", "resume", "s1"]).await?;
    assert!(resumed.code == Some(0) && resumed.err.contains("codexd watch s1"), "{resumed:?}");
    let held = run(&lab, &["continue", "s1", "x", "--on-held", "fork", "--on-busy", "steer", "--json"]).await?;
    assert_eq!((held.code, held.json()?["code"].as_str()), (Some(1), Some("THREAD_HELD")));
    assert_eq!(run(&lab, &["fork", "s1", "--title", " "]).await?.code, Some(2));
    let posts: Vec<String> = stub.heard().into_iter().filter(|request| request.starts_with("post ")).collect();
    let bodies: Vec<&str> = posts.iter().filter_map(|post| post.split("\r\n\r\n").nth(1)).collect();
    let turn = r#"{"prompt":"x","onbusy":"steer","onheld":"fork"}"#;
    assert_eq!(bodies, ["{}", r#"{"title":"another way"}"#, "", turn], "{posts:?}");
    Ok(())
}

#[tokio::test]
async fn who_can_not_watch_waits_all_the_same() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let _stub = Stub::new(&lab, |number, request| {
        let (status, body) = match request.split_whitespace().nth(1).unwrap_or_default() {
            "/v1/turns/u1" if number == 0 => (200, turn("running")),
            path if path.starts_with("/v1/turns/u1") => (200, turn("completed")),
            _ => (403, json!({"detail": "that is not for you", "code": "FORBIDDEN"})),
        };
        Some((status, body.to_string()))
    })
    .await?;
    let ran = run(&lab, &["turn", "wait", "u1"]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "here\n"), "{ran:?}");
    assert!(ran.err.contains("that is not for you"), "{}", ran.err);
    Ok(())
}

#[tokio::test]
async fn a_terminal_that_is_gone_ends_it() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let mut command = lab.command(&["start", "HANG"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut told = BufReader::new(child.stderr.take().context("no stderr")?);
    let mut line = String::new();
    told.read_line(&mut line).await?;
    let (_, turn) = ids_of(&line).with_context(|| line.clone())?;
    drop(told);
    signal("HUP", child.id().context("gone")?).await?;
    let ran = end(child).await?;
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let still = run(&lab, &["turn", "show", &turn, "--json"]).await?.json()?;
    assert!(still["status"] == "running" || still["status"] == "queued", "{still}");
    daemon.stop().await
}
