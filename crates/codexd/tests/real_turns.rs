//! Turns on the real Codex that are added to, forked, kept from their thread, or not stopped: only the model is scripted.
#![cfg(unix)]

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, Reply, eventually, real_codex};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

async fn begin(daemon: &Daemon, prompt: &str) -> Result<(String, String)> {
    let made = daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?.body;
    let id = |of: &str| made[of]["id"].as_str().map(str::to_owned).with_context(|| format!("{made}\n{}", daemon.log()));
    Ok((id("session")?, id("turn")?))
}

async fn submit(daemon: &Daemon, session: &str, body: Value) -> Result<Reply> {
    daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), body).await
}

fn texts<'a>(turn: &'a Value, kind: &str) -> Vec<(&'a str, &'a str)> {
    let items = turn["items"].as_array().into_iter().flatten().filter(|item| item["kind"] == kind);
    items.map(|item| (item["text"].as_str().unwrap_or(""), item["status"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn a_turn_takes_more_words_while_it_runs() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let (session, turn) = begin(&daemon, "SLOW:100:20").await?;
    // At once, and so before Codex has begun the turn: it waits for that.
    let path = format!("/v1/turns/{turn}/steer?wait=60");
    let steered = daemon.post(&path, json!({"prompt": "SAY:steered"})).await?;
    assert_eq!((steered.status, &steered.body["status"]), (200, &json!("completed")), "{steered:?}\n{}", daemon.log());
    assert_eq!(steered.body["answer"], "steered", "{steered:?}");
    assert_eq!(texts(&steered.body, "userMessage"), [("SLOW:100:20", "completed"), ("SAY:steered", "completed")]);
    let recalled = daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled.matches("SAY:steered").count(), 1, "{recalled}");
    // The last moments of a turn: what is added either is in it or is a turn of its own, and is heard once.
    for round in 0..20 {
        let before = lab.model.requests().len();
        let (session, turn) = begin(&daemon, "SLOW:3:10").await?;
        lab.model.wait_for_requests(before + 1).await;
        tokio::time::sleep(Duration::from_millis(round * 5)).await;
        let word = format!("SAY:late{round}");
        let added = submit(&daemon, &session, json!({"prompt": word, "onBusy": "steer"})).await?;
        assert_eq!(added.status, 200, "{added:?}");
        let all = daemon.get(&format!("/v1/sessions/{session}/turns")).await?.body;
        let own = added.body["turn"]["id"] != json!(turn);
        assert_eq!(all["turns"].as_array().map(Vec::len), Some(if own { 2 } else { 1 }), "{all}");
        let recalled = daemon.go_on(&session, "RECALL").await?;
        assert_eq!(recalled.matches(&word).count(), 1, "{round}: {recalled}\n{all}");
    }
    daemon.stop().await
}

#[tokio::test]
async fn a_fork_has_the_memory_and_goes_its_own_way() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let (session, _) = daemon.start("SAY:blue").await?;
    let made = daemon.post(&format!("/v1/sessions/{session}/fork"), json!({})).await?;
    let fork = made.body["session"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned();
    assert_eq!(made.body["session"]["resumed"]["how"], "forked", "{made:?}");
    daemon.go_on(&session, "SAY:there").await?;
    daemon.go_on(&fork, "SAY:here").await?;
    // Also when the process that made it is gone.
    daemon.kill_codex().await?;
    let here = daemon.go_on(&fork, "RECALL").await?;
    assert!(here.contains("SAY:blue") && here.contains("SAY:here") && !here.contains("SAY:there"), "{here}");
    let there = daemon.go_on(&session, "RECALL").await?;
    assert!(there.contains("SAY:blue") && there.contains("SAY:there") && !there.contains("SAY:here"), "{there}");
    daemon.stop().await
}

/// Another Codex, as another program would run it.
struct Other {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    asked: i64,
}

impl Other {
    async fn start(lab: &Lab) -> Result<Self> {
        let mut command = Command::new(real_codex()?);
        command.arg("app-server").env("CODEX_HOME", &lab.codex_home).current_dir(&lab.project).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let mut other = Self { child, stdin, lines, asked: 0 };
        other.ask("initialize", json!({"clientInfo": {"name": "other", "version": "0"}})).await?;
        other.stdin.write_all(b"{\"method\":\"initialized\"}\n").await?;
        Ok(other)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.asked += 1;
        let line = json!({"id": self.asked, "method": method, "params": params});
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        while let Some(line) = self.lines.next_line().await? {
            let said: Value = serde_json::from_str(&line)?;
            if said["id"] == json!(self.asked) && said.get("method").is_none() {
                ensure!(said.get("error").is_none(), "{said}");
                return Ok(said["result"].clone());
            }
        }
        anyhow::bail!("it ended")
    }
}

#[tokio::test]
async fn a_thread_that_another_process_has_is_refused_waited_for_or_copied() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let codex = real_codex()?;
    let daemon = lab.serve(&codex, &[]).await?;
    let (session, _) = daemon.start("SAY:blue").await?;
    let thread = daemon.get(&format!("/v1/sessions/{session}")).await?.body["threadId"].clone();
    daemon.stop().await?;
    let mut other = Other::start(&lab).await?;
    other.ask("thread/resume", json!({"threadId": thread})).await?;

    let daemon = lab.serve(&codex, &[]).await?;
    let held = submit(&daemon, &session, json!({"prompt": "SAY:no"})).await?;
    assert_eq!((held.status, &held.body["code"]), (409, &json!("THREAD_HELD")), "{held:?}\n{}", daemon.log());
    assert!(held.body["detail"].as_str().is_some_and(|detail| detail.contains("onHeld")), "{held:?}");
    let path = format!("/v1/sessions/{session}/turns");
    let waiting = daemon.post(&path, json!({"prompt": "SAY:waited", "onHeld": "wait"})).await?;
    let waiting = waiting.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    eventually("the turn to say that it waits", async || {
        let turn = daemon.get(&format!("/v1/turns/{waiting}")).await.ok()?.body;
        turn["items"].as_array()?.iter().any(|item| item["kind"] == "warning").then_some(())
    })
    .await?;
    other.child.kill().await?;
    let ended = daemon.get(&format!("/v1/turns/{waiting}?wait=60")).await?.body;
    assert_eq!((&ended["status"], &ended["answer"]), (&json!("completed"), &json!("waited")), "{ended}");
    daemon.stop().await?;

    let mut other = Other::start(&lab).await?;
    other.ask("thread/resume", json!({"threadId": thread})).await?;
    let daemon = lab.serve(&codex, &[]).await?;
    let copied = submit(&daemon, &session, json!({"prompt": "RECALL", "onHeld": "fork"})).await?;
    let answer = copied.body["turn"]["answer"].as_str().with_context(|| format!("{copied:?}"))?;
    assert!(answer.contains("SAY:blue") && answer.contains("SAY:waited") && !answer.contains("SAY:no"), "{answer}");
    let now = daemon.get(&format!("/v1/sessions/{session}")).await?.body;
    assert_eq!(now["resumed"]["how"], "forked", "{now}");
    assert_ne!(now["threadId"], thread);
    daemon.stop().await
}

#[tokio::test]
async fn what_was_allowed_for_the_session_outlives_the_codex_that_heard_it() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &[]).await?;
    let target = lab.dir.path().join("home/made.txt");
    let prompt = format!("ESCALATE:touch {}", target.display());
    let (session, turn) = begin(&daemon, &prompt).await?;
    let approval = eventually("Codex to ask", async || {
        daemon.get("/v1/approvals?status=pending").await.ok()?.body["approvals"].as_array()?.first().cloned()
    })
    .await?;
    let path = format!("/v1/approvals/{}", approval["id"].as_str().context("no id")?);
    let rule = approval["rule"].clone();
    assert!(rule.as_array().is_some_and(|rule| rule[0] == "touch"), "{approval}");
    let wrong = daemon.post(&path, json!({"decision": "acceptForSession", "rule": ["rm"]})).await?;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let given = daemon.post(&path, json!({"decision": "acceptForSession", "rule": rule})).await?;
    assert_eq!(given.status, 200, "{given:?}");
    let ended = daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body;
    assert_eq!((&ended["status"], target.exists()), (&json!("completed"), true), "{ended}");
    let session_now = daemon.get(&format!("/v1/sessions/{session}")).await?.body;
    assert_eq!(session_now["allowed"][0]["rule"], rule, "{session_now}");

    daemon.kill_codex().await?;
    std::fs::remove_file(&target)?;
    let again = submit(&daemon, &session, json!({ "prompt": prompt })).await?;
    assert_eq!((&again.body["turn"]["status"], target.exists()), (&json!("completed"), true), "{again:?}");
    let approvals = daemon.get("/v1/approvals").await?.body;
    assert_eq!(approvals["approvals"][1]["resolvedBy"], "policy", "{approvals}");
    let config = std::fs::read_to_string(lab.codex_home.join("config.toml"))?;
    assert_eq!(config, lab.model.codex_config(), "the operator's own configuration is as it was");
    assert!(!lab.codex_home.join("rules").exists(), "and so are the operator's rules");
    daemon.stop().await
}

/// A Codex that hangs is started anew for the turn that it does not stop, and others are told why theirs ended.
#[tokio::test]
async fn a_codex_that_does_not_stop_a_turn_is_started_anew() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&real_codex()?, &["--interrupt-grace", "1s"]).await?;
    let (session, turn) = begin(&daemon, "HANG").await?;
    let (other, others) = begin(&daemon, "HANG").await?;
    lab.model.wait_for_requests(2).await;
    let pid = daemon.agent().await?["pid"].as_u64().context("no Codex")?;
    let stop = Command::new("kill").args(["-STOP", &pid.to_string()]).status().await?;
    ensure!(stop.success());
    let body = json!({"force": true});
    let stopped = daemon.post(&format!("/v1/turns/{turn}/interrupt?wait=60"), body).await?;
    assert_eq!(
        (stopped.status, &stopped.body["status"]),
        (200, &json!("interrupted")),
        "{stopped:?}\n{}",
        daemon.log()
    );
    assert!(stopped.body["error"]["message"].as_str().is_some_and(|text| text.contains("started anew")), "{stopped:?}");
    let told = daemon.get(&format!("/v1/turns/{others}?wait=60")).await?.body;
    assert_eq!((&told["status"], &told["error"]["code"]), (&json!("interrupted"), &json!("AGENT_EXITED")), "{told}");
    assert!(told["error"]["message"].as_str().is_some_and(|text| text.contains(&session)), "{told}");
    daemon.ready().await?;
    for session in [session, other] {
        assert_eq!(daemon.go_on(&session, "SAY:on").await?, "on");
    }
    assert_ne!(daemon.agent().await?["pid"].as_u64(), Some(pid));
    daemon.stop().await
}
