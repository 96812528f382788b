//! The audit log: who did what and what was refused, and nothing of what was said.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    fake_codex_rig::{Rig, lab, run},
    wire::Call,
};

fn lines(store: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(store.join("audit.jsonl")).unwrap_or_default();
    // The last line may be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for lines of a kind; it is written beside the request.
async fn noted(rig: &Rig, what: &str, count: usize) -> Result<Vec<Value>> {
    eventually(&format!("{count} lines of {what}"), async || {
        let found: Vec<Value> = lines(&rig.lab.store).into_iter().filter(|line| line["what"] == what).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn it_says_who_did_what_and_what_was_refused() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    let door = rig.tcp();
    let started = noted(&rig, "daemon.started", 1).await?.remove(0);
    assert_eq!(
        (&started["pid"], &started["open"], &started["transport"]),
        (&json!(rig.daemon.pid), &json!(false), &json!("codexd"))
    );
    assert_eq!(noted(&rig, "agent.started", 1).await?[0]["agent"]["backend"], "app-server");

    // Tokens, by the socket.
    let made = rig.daemon.post("/v1/tokens", json!({"name": "ci", "scopes": ["read", "run"]})).await?;
    let token = made.body["token"].as_str().context("no token")?.to_owned();
    let line = noted(&rig, "token.made", 1).await?.remove(0);
    assert_eq!(
        (&line["principal"], &line["transport"], &line["decision"]),
        (&json!("local"), &json!("socket"), &json!("allowed"))
    );
    assert_eq!((&line["token"]["name"], &line["token"]["scopes"]), (&json!("ci"), &json!(["read", "run"])));
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("uid ")), "{line}");
    rig.daemon.post("/v1/tokens/ci/rotate", json!({"graceSeconds": 600})).await?;
    noted(&rig, "token.rotated", 1).await?;

    // What is refused.
    assert_eq!(Call::get("/v1/sessions").token("wrong").send(&door).await?.status, 401);
    let line = noted(&rig, "auth.failed", 1).await?.remove(0);
    assert_eq!(
        (&line["code"], &line["path"], &line["method"]),
        (&json!("UNAUTHORIZED"), &json!("/v1/sessions"), &json!("GET"))
    );
    assert!(
        line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")) && line["principal"].is_null(),
        "{line}"
    );
    assert_eq!(Call::get("/v1/sessions").host("evil.example").send(&door).await?.status, 421);
    assert_eq!(noted(&rig, "request.foreign", 1).await?[0]["code"], "BAD_HOST");
    let prompt = "a prompt that is nobody's business";
    let wide = Call::json("/v1/sessions", &json!({"prompt": prompt, "sandbox": "danger-full-access"})).token(&token);
    assert_eq!(wide.send(&door).await?.status, 403);
    assert_eq!(Call::get("/v1/tokens").token(&token).send(&door).await?.status, 403);
    let refused = noted(&rig, "policy.refused", 2).await?;
    let told: Vec<_> = refused.iter().map(|line| (line["principal"].as_str(), line["code"].as_str())).collect();
    assert_eq!(told, [(Some("token:ci"), Some("SANDBOX_FORBIDDEN")), (Some("token:ci"), Some("FORBIDDEN"))]);

    // What Codex asks: a token that began the turn may not answer it, somebody else may.
    let turn = Call::json("/v1/sessions", &json!({"prompt": format!("ESCALATE:echo hi\n{prompt}")})).token(&token);
    assert_eq!(turn.send(&door).await?.status, 201);
    let asked = eventually("a question", async || {
        let found = rig.daemon.get("/v1/approvals?status=pending").await.ok()?.body;
        found["approvals"][0]["id"].as_str().map(str::to_owned)
    })
    .await?;
    let path = format!("/v1/approvals/{asked}");
    assert_eq!(Call::json(&path, &json!({"decision": "accept"})).token(&token).send(&door).await?.status, 403);
    assert_eq!(Call::json(&path, &json!({"decision": "decline"})).token("sesame").send(&door).await?.status, 200);
    let line = noted(&rig, "approval.answered", 1).await?.remove(0);
    assert_eq!((&line["principal"], &line["approval"]["id"]), (&json!("token:start"), &json!(asked)));
    assert_eq!((&line["approval"]["status"], &line["approval"]["kind"]), (&json!("declined"), &json!("command")));
    assert_eq!(noted(&rig, "policy.refused", 3).await?[2]["path"], json!(path));

    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/ci", None).await?.status, 204);
    assert_eq!(noted(&rig, "token.revoked", 1).await?[0]["token"]["name"], "ci");
    rig.daemon.kill_codex().await?;
    noted(&rig, "agent.exited", 1).await?;
    noted(&rig, "agent.restarted", 1).await?;

    let store = rig.lab.store.clone();
    let Rig { daemon, lab } = rig;
    daemon.stop().await?;
    let all = lines(&store);
    assert_eq!(all.last().map(|line| &line["what"]), Some(&json!("daemon.stopped")));
    let text = std::fs::read_to_string(store.join("audit.jsonl"))?;
    for secret in [token.as_str(), "sesame", "wrong", prompt] {
        assert!(!text.contains(secret), "{secret} is in it: {text}");
    }
    assert!(all.iter().all(|line| line["at"].is_string() && line["decision"].is_string()), "{text}");

    // Without a daemon the command line notes it itself.
    let (output, said) = run(lab.command(&["token", "new", "later"])).await?;
    assert!(output.status.success(), "{said}");
    let last = lines(&store).pop().context("nothing")?;
    assert_eq!(
        (&last["what"], &last["transport"], &last["token"]["name"]),
        (&json!("token.made"), &json!("store"), &json!("later"))
    );
    Ok(())
}

/// The routes of the first version do without what is not allowed, and go on. The log has it before the turn ends.
#[tokio::test]
async fn what_the_first_version_leaves_out_is_in_it() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    let door = rig.tcp();
    let none = Call::json("/start", &json!({"prompt": "SAY:ok", "sandbox": "read-only"})).token("sesame");
    assert_eq!(none.ask(&door).await?.body["ignoredOverrides"], Value::Null);

    let wide = json!({"prompt": "HANG", "sandbox": "danger-full-access", "cwd": "/", "approval_policy": "never"});
    let asking = tokio::spawn(async move { Call::json("/start", &wide).token("sesame").ask(&door).await });
    let line = noted(&rig, "policy.refused", 1).await?.remove(0);
    let mut left_out: Vec<_> = line["ignoredOverrides"].as_array().into_iter().flatten().collect();
    left_out.sort_by_key(|name| name.as_str());
    assert_eq!(left_out, [&json!("approval_policy"), &json!("cwd"), &json!("sandbox")], "{line}");
    assert_eq!(
        (&line["decision"], &line["principal"], &line["transport"], &line["path"]),
        (&json!("refused"), &json!("token:start"), &json!("tcp"), &json!("/start"))
    );
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    let session = line["session"].as_str().context("no session")?.to_owned();
    assert!(!asking.is_finished(), "the turn still runs");
    let turns = rig.daemon.get(&format!("/v1/sessions/{session}/turns")).await?.body;
    let turn = turns["turns"][0]["id"].as_str().with_context(|| format!("{turns}"))?;
    rig.daemon.post(&format!("/v1/turns/{turn}/interrupt"), json!({})).await?;
    let reply = asking.await??;
    assert_eq!(reply.body["sessionId"], json!(session), "{reply:?}");
    assert_eq!(noted(&rig, "policy.refused", 1).await?.len(), 1, "nothing else was left out");
    Ok(())
}

#[tokio::test]
async fn what_nobody_answers_is_noted_and_guesses_fill_no_disk() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame", "--approval-timeout", "1s", "--on-expiry", "decline"]).await?;
    rig.daemon.post("/v1/sessions?wait=60", json!({"prompt": "ESCALATE:echo hi"})).await?;
    let line = noted(&rig, "approval.settled", 1).await?.remove(0);
    assert_eq!(
        (&line["by"], &line["decision"], &line["transport"]),
        (&json!("expiry"), &json!("refused"), &json!("codexd"))
    );

    let door = rig.tcp();
    for _ in 0..100 {
        assert_eq!(Call::get("/v1/sessions").send(&door).await?.status, 401);
    }
    rig.daemon.post("/v1/tokens", json!({"name": "after", "scopes": ["read"]})).await?;
    noted(&rig, "token.made", 1).await?;
    let guesses = lines(&rig.lab.store).iter().filter(|line| line["what"] == "auth.failed").count();
    assert!((1..=60).contains(&guesses), "{guesses} lines for 100 guesses");
    Ok(())
}

/// A log that can't be written is in nobody's way.
#[tokio::test]
async fn a_log_that_can_not_be_written_stops_nothing() -> Result<()> {
    let lab = lab().await?;
    std::fs::create_dir_all(lab.store.join("audit.jsonl"))?;
    let daemon = crate::fake_codex_rig::serve(&lab, &[], &[]).await?;
    daemon.start("SAY:hello").await?;
    let made = daemon.post("/v1/tokens", json!({"name": "x", "scopes": ["read"]})).await?;
    assert_eq!(made.status, 201);
    eventually("a word in the log", async || daemon.log().contains("the audit log can't be written").then_some(()))
        .await?;
    daemon.stop().await
}
