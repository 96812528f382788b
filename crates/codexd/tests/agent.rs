//! The Codex process as codexd runs it, on the double: what it is given, what it may do wrong, and that nothing of it stays.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, eventually, fake_codex};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// What the double wrote down of what it heard, a JSON value each; the first of a process is its environment.
fn heard(lab: &Lab) -> Vec<Value> {
    let text = fs::read_to_string(lab.dir.path().join("heard.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn requests(lab: &Lab, method: &str) -> Vec<Value> {
    heard(lab).into_iter().filter(|line| line["method"] == method).collect()
}

async fn serve(lab: &Lab, flags: &[&str], env: &[(&str, &str)]) -> Result<Daemon> {
    let log = lab.dir.path().join("heard.jsonl");
    let mut all = vec![("FAKE_CODEX_LOG", log.to_str().context("not UTF-8")?)];
    all.extend(env);
    lab.serve_with(&fake_codex()?, flags, &all).await
}

#[tokio::test]
async fn codex_inherits_neither_a_thread_nor_a_token() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let env =
        [("CODEX_THREAD_ID", "another"), ("CODEX_SESSION_ID", "another"), ("CODEXD_TOKEN", "secret"), ("KEPT", "yes")];
    let daemon = serve(&lab, &[], &env).await?;
    daemon.start("hello").await?;
    let started: Vec<Value> = heard(&lab).into_iter().filter(|line| line["env"].is_array()).collect();
    assert!(!started.is_empty());
    for process in started {
        let names: Vec<&str> = process["env"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(names.contains(&"KEPT") && names.contains(&"CODEX_HOME"), "{names:?}");
        for name in names {
            assert!(!["CODEX_THREAD_ID", "CODEX_SESSION_ID"].contains(&name), "{name}");
            // The marker by which leftovers are found is the only one of ours.
            assert!(!name.starts_with("CODEXD_") || name == "CODEXD_AGENT", "{name}");
        }
    }
    daemon.stop().await
}

#[tokio::test]
async fn the_policy_is_sent_at_every_start_resume_and_turn() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = serve(&lab, &["--model", "m1"], &[]).await?;
    let (session, _) = daemon.start("hello").await?;
    daemon.kill_codex().await?;
    daemon.go_on(&session, "again").await?;
    for (method, count) in [("thread/start", 1), ("thread/resume", 1), ("turn/start", 2)] {
        let found = requests(&lab, method);
        assert_eq!(found.len(), count, "{method}");
        for request in found {
            let params = &request["params"];
            assert_eq!(params["approvalPolicy"], "on-request", "{request}");
            assert_eq!(params["model"], "m1", "{request}");
            assert_eq!(params["cwd"], lab.project.to_str().context("not UTF-8")?, "{request}");
            let named = if method == "turn/start" { &params["sandboxPolicy"]["type"] } else { &params["sandbox"] };
            assert_eq!(named, if method == "turn/start" { "workspaceWrite" } else { "read-only" }, "{request}");
        }
    }
    daemon.stop().await
}

#[tokio::test]
async fn an_overloaded_codex_is_asked_again() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = serve(&lab, &[], &[("FAKE_CODEX_FAULT", "overloaded:4")]).await?;
    let (_, answer) = daemon.start("hello").await?;
    assert_eq!(answer, "echo: hello");
    assert_eq!(
        requests(&lab, "thread/start").len() + requests(&lab, "turn/start").len(),
        6,
        "two requests, four refusals"
    );
    daemon.stop().await
}

#[tokio::test]
async fn a_line_over_the_bound_ends_the_turn_and_not_the_session() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let once = lab.dir.path().join("once");
    let daemon = serve(&lab, &[], &[]).await?;
    let (session, _) = daemon.start("hello").await?;
    daemon.stop().await?;
    let env =
        [("FAKE_CODEX_FAULT", "big-line:70000000"), ("FAKE_CODEX_FAULT_ONCE", once.to_str().context("not UTF-8")?)];
    let daemon = serve(&lab, &[], &env).await?;
    let reply = daemon.post("/continue", json!({"sessionId": session, "prompt": "too much"})).await?;
    assert_eq!(reply.body["isError"], true, "{reply:?}");
    assert!(reply.body["content"].to_string().contains("64 MiB"), "{reply:?}");
    daemon.stop().await?;
    let daemon = serve(&lab, &[], &[]).await?;
    assert_eq!(daemon.go_on(&session, "SAY:still here").await?, "still here");
    daemon.stop().await
}

#[tokio::test]
async fn nothing_of_codex_outlives_the_daemon() -> Result<()> {
    for crash in [false, true] {
        let lab = Lab::new(CODEXD).await?;
        let daemon = serve(&lab, &[], &[]).await?;
        daemon.start("hello").await?;
        let pid = daemon.agent().await?["pid"].as_u64().context("no Codex")?;
        let daemon = if crash {
            // What goes on without a daemon is the next one's, and ends with that.
            daemon.kill().await?;
            let next = serve(&lab, &[], &[]).await?;
            assert_eq!(next.agent().await?["pid"], pid, "the same Codex");
            next
        } else {
            daemon
        };
        daemon.stop().await?;
        let stat = format!("/proc/{pid}/stat");
        eventually("Codex to be gone", async || {
            let text = fs::read_to_string(&stat).unwrap_or_default();
            (text.is_empty() || text.contains(") Z ")).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_prompt_right_after_the_death_of_an_idle_codex_is_answered() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = serve(&lab, &[], &[]).await?;
    let (session, _) = daemon.start("hello").await?;
    for number in 0..5 {
        let pid = daemon.agent().await?["pid"].as_u64().context("no Codex")?;
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
        assert!(killed.success());
        // It may already have been written to a pipe that nobody reads; that it is dead must be seen first.
        let stat = format!("/proc/{pid}/stat");
        eventually("its death", async || {
            let text = fs::read_to_string(&stat).unwrap_or_default();
            (text.is_empty() || text.contains(") Z ")).then_some(())
        })
        .await?;
        assert_eq!(daemon.go_on(&session, &format!("SAY:{number}")).await?, number.to_string());
    }
    daemon.stop().await
}

#[tokio::test]
async fn a_turn_of_which_codex_died_is_interrupted_with_what_codex_recorded() -> Result<()> {
    for (step, recorded) in [("request", 0), ("heard", 0), ("user", 1), ("answer", 1)] {
        let lab = Lab::new(CODEXD).await?;
        let once = lab.dir.path().join("once");
        let fault = format!("exit-at-turn:{step}");
        let env =
            [("FAKE_CODEX_FAULT", fault.as_str()), ("FAKE_CODEX_FAULT_ONCE", once.to_str().context("not UTF-8")?)];
        let daemon = serve(&lab, &[], &env).await?;
        let reply = daemon.post("/start", json!({"prompt": "one"})).await?;
        assert_eq!((reply.status, &reply.body["isError"]), (200, &json!(true)), "{step}: {reply:?}");
        let session = reply.body["sessionId"].as_str().context("no session")?.to_owned();
        let before = requests(&lab, "turn/start").len();
        assert_eq!(before, 1, "{step}: a prompt that may have been heard is not sent again");
        let recalled = daemon.go_on(&session, "RECALL").await?;
        assert_eq!(recalled.lines().filter(|line| *line == "user: one").count(), recorded, "{step}: {recalled}");
        daemon.stop().await?;
    }
    Ok(())
}
