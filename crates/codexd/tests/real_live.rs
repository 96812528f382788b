//! Approvals and interrupts on the real Codex: only the model is scripted.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, Reply, eventually, real_codex};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

struct Begun {
    session: String,
    turn: String,
}

async fn begin(daemon: &Daemon, prompt: &str) -> Result<Begun> {
    let made = daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?.body;
    let id = |of: &str| Ok::<_, anyhow::Error>(made[of]["id"].as_str().with_context(|| format!("{made}"))?.to_owned());
    Ok(Begun { session: id("session")?, turn: id("turn")? })
}

/// A further turn of the session.
async fn go_on(daemon: &Daemon, begun: &Begun, prompt: &str) -> Result<Begun> {
    let path = format!("/v1/sessions/{}/turns", begun.session);
    let made = daemon.post(&path, json!({ "prompt": prompt })).await?.body;
    let turn = made["turn"]["id"].as_str().with_context(|| format!("{made}"))?.to_owned();
    Ok(Begun { session: begun.session.clone(), turn })
}

async fn asked(daemon: &Daemon, begun: &Begun) -> Result<Value> {
    eventually("Codex to ask", async || {
        let pending = daemon.get("/v1/approvals?status=pending").await.ok()?.body;
        pending["approvals"].as_array()?.iter().find(|approval| approval["turnId"] == begun.turn.as_str()).cloned()
    })
    .await
    .with_context(|| daemon.log())
}

async fn decide(daemon: &Daemon, approval: &Value, decision: &str) -> Result<()> {
    let id = approval["id"].as_str().context("no id")?;
    let reply = daemon.post(&format!("/v1/approvals/{id}"), json!({ "decision": decision })).await?;
    anyhow::ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

async fn ended(daemon: &Daemon, begun: &Begun) -> Result<Value> {
    let turn = daemon.get(&format!("/v1/turns/{}?wait=60", begun.turn)).await?.body;
    anyhow::ensure!(turn["endedAt"].is_string(), "{turn}\n{}", daemon.log());
    Ok(turn)
}

async fn interrupt(daemon: &Daemon, begun: &Begun) -> Result<Reply> {
    daemon.post(&format!("/v1/turns/{}/interrupt?wait=60", begun.turn), json!({})).await
}

async fn still_answers(daemon: &Daemon, begun: &Begun) -> Result<()> {
    let next = ended(daemon, &go_on(daemon, begun, "SAY:on").await?).await?;
    anyhow::ensure!(next["answer"] == "on", "{next}\n{}", daemon.log());
    Ok(())
}

/// Whether there is a `sleep` with this argument. The sandbox around it, which names it too, is there before Codex knows that
/// the command runs.
async fn is_running(word: &str) -> bool {
    let listed = tokio::process::Command::new("ps").args(["-A", "-o", "args"]).output().await;
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().any(|line| line.trim_end() == format!("sleep {word}"))
}

/// Each decision, on a command and on a file that lies where the sandbox does not reach: what Codex does, and what becomes of
/// the file.
#[tokio::test]
async fn an_answer_decides_what_becomes_of_the_file() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &["--sandbox", "read-only"]).await?;
    for kind in ["command", "fileChange"] {
        for (decision, status, outcome, made) in [
            ("accept", "accepted", "completed", true),
            ("acceptForSession", "accepted", "completed", true),
            ("decline", "declined", "completed", false),
            ("cancel", "cancelled", "interrupted", false),
        ] {
            let name = format!("{kind}-{decision}.txt");
            let target: PathBuf = lab.project.join(&name);
            let prompt = match kind {
                "command" => format!("ESCALATE:touch {}", target.display()),
                _ => format!("PATCH:{name}:hello"),
            };
            let begun = begin(&daemon, &prompt).await?;
            let approval = asked(&daemon, &begun).await?;
            assert_eq!(approval["kind"], kind, "{approval}");
            let shown = if kind == "command" { &approval["command"] } else { &approval["changes"][0]["path"] };
            assert!(shown.as_str().is_some_and(|shown| shown.contains(&name)), "{approval}");
            assert!(!target.exists(), "not before the answer");
            decide(&daemon, &approval, decision).await?;
            let turn = ended(&daemon, &begun).await?;
            assert_eq!(turn["status"], outcome, "{name}: {turn}");
            assert_eq!(target.exists(), made, "{name}: {turn}");
            let declined = if made { json!([]) } else { json!([approval["id"]]) };
            assert_eq!(turn["declined"], declined, "{name}: {turn}");
            let id = approval["id"].as_str().context("no id")?;
            assert_eq!(daemon.get(&format!("/v1/approvals/{id}")).await?.body["status"], status);

            if decision == "acceptForSession" {
                // The same again is not asked again.
                std::fs::remove_file(&target)?;
                let again = ended(&daemon, &go_on(&daemon, &begun, &prompt).await?).await?;
                assert_eq!((&again["status"], target.exists()), (&json!("completed"), true), "{name}: {again}");
            }
            still_answers(&daemon, &begun).await?;
        }
    }
    assert_eq!(daemon.get("/v1/approvals?status=pending").await?.body, json!({"approvals": []}));
    daemon.stop().await
}

#[tokio::test]
async fn what_nobody_answers_leaves_the_file_alone() -> Result<()> {
    let codex = real_codex()?;
    for (on_expiry, outcome) in [("cancel", "interrupted"), ("decline", "completed")] {
        let lab = Lab::new(CODEXD).await?;
        let daemon = lab.serve(&codex, &["--approval-timeout", "1s", "--on-expiry", on_expiry]).await?;
        let target = lab.dir.path().join("home/late.txt");
        let turn = ended(&daemon, &begin(&daemon, &format!("ESCALATE:touch {}", target.display())).await?).await?;
        assert_eq!((&turn["status"], target.exists()), (&json!(outcome), false), "{turn}");
        let approvals = daemon.get("/v1/approvals").await?.body;
        assert_eq!(approvals["approvals"][0]["status"], "expired", "{approvals}");
        assert_eq!(turn["declined"], json!([approvals["approvals"][0]["id"]]));
        daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_turn_is_interrupted_while_it_asks_runs_a_command_or_hears_nothing() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let target = lab.dir.path().join("home/escaped.txt");
    let asks = begin(&daemon, &format!("ESCALATE:touch {}", target.display())).await?;
    let approval = asked(&daemon, &asks).await?;
    let reply = interrupt(&daemon, &asks).await?;
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("interrupted")), "{reply:?}");
    assert_eq!(reply.body["declined"], json!([approval["id"]]));
    still_answers(&daemon, &asks).await?;
    assert!(!target.exists());

    // No other process has these words. When the second command runs, Codex has put the first aside and would let it live: it
    // ends only because Codex is told to end it. The second ends with the turn.
    let words = [1_000_000 + daemon.pid, 6_000_000 + daemon.pid].map(|word| word.to_string());
    let runs = begin(&daemon, &format!("RUN:sleep {}\nRUN:sleep {}", words[0], words[1])).await?;
    eventually("the second command to run", async || is_running(&words[1]).await.then_some(()))
        .await
        .with_context(|| daemon.log())?;
    assert!(is_running(&words[0]).await);
    let reply = interrupt(&daemon, &runs).await?;
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("interrupted")), "{reply:?}");
    for word in &words {
        eventually("the command to end", async || (!is_running(word).await).then_some(()))
            .await
            .with_context(|| daemon.log())?;
    }
    still_answers(&daemon, &runs).await?;

    let heard = lab.model.requests().len();
    let hangs = begin(&daemon, "HANG").await?;
    lab.model.wait_for_requests(heard + 1).await;
    let reply = interrupt(&daemon, &hangs).await?;
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("interrupted")), "{reply:?}");
    still_answers(&daemon, &hangs).await?;
    daemon.stop().await
}

/// How often each moment is tried; more than the usual by `CODEXD_TEST_ROUNDS`.
fn rounds() -> u32 {
    std::env::var("CODEXD_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// However early it comes: the turn ends, no later prompt finds Codex still busy with it, and no command is left.
#[tokio::test]
async fn an_interrupt_at_any_time_after_the_prompt_holds() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let mut commands = Vec::new();
    for after in [0, 1, 5, 20, 100] {
        for round in 0..rounds() {
            // No other process has this word.
            let word = format!("{}", 10_000_000 + u64::from(daemon.pid) * 10_000 + after * 100 + u64::from(round));
            let prompt = match round % 3 {
                0 => "SLOW:2000".to_owned(),
                1 => format!("SLOW:3:{}", after / 3 + 1),
                _ => format!("RUN:sleep {word}"),
            };
            let begun = begin(&daemon, &prompt).await?;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let reply = interrupt(&daemon, &begun).await?;
            assert!(reply.status == 200 || reply.body["code"] == "TURN_ENDED", "{after} ms: {reply:?}");
            let turn = ended(&daemon, &begun).await?;
            let status = turn["status"].as_str().unwrap_or_default();
            assert!(status == "interrupted" || (status == "completed" && round % 3 == 1), "{after} ms: {turn}");
            commands.push(word);
            still_answers(&daemon, &begun).await.with_context(|| format!("after {after} ms"))?;
        }
    }
    for word in commands {
        eventually("the command to end", async || (!is_running(&word).await).then_some(()))
            .await
            .with_context(|| format!("sleep {word} is left\n{}", daemon.log()))?;
    }
    daemon.stop().await
}
