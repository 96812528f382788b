//! What Codex asks: answered by somebody, by nobody, by the wrong one; while others wait, and over a crash.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Reply, eventually};

use crate::{
    fake_codex_rig::{Rig, lab, serve, tcp},
    wire::Call,
};

const ASKS: &str = "ESCALATE:touch x";

/// Begins a turn in a new session; waits until it asks. The approval.
async fn asking(daemon: &Daemon, prompt: &str) -> Result<Value> {
    let made = daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?;
    asked(daemon, made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?).await
}

/// What a turn asks.
pub(crate) async fn asked(daemon: &Daemon, turn: &str) -> Result<Value> {
    eventually("the turn to ask", async || {
        let pending = daemon.get("/v1/approvals?status=pending").await.ok()?.body;
        pending["approvals"].as_array()?.iter().find(|approval| approval["turnId"] == turn).cloned()
    })
    .await
    .with_context(|| daemon.log())
}

fn path(approval: &Value) -> String {
    format!("/v1/approvals/{}", approval["id"].as_str().unwrap_or_default())
}

async fn decide(daemon: &Daemon, approval: &Value, decision: &str) -> Result<Reply> {
    daemon.post(&path(approval), json!({ "decision": decision })).await
}

/// The turn of an approval, once it has ended.
async fn ended(daemon: &Daemon, approval: &Value) -> Result<Value> {
    let turn = approval["turnId"].as_str().context("no turn")?;
    Ok(daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body)
}

#[tokio::test]
async fn an_answer_decides_what_codex_does() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let daemon = &rig.daemon;
    for (decision, status, outcome, word) in [
        ("accept", "accepted", "completed", "ran: fake output of touch x"),
        ("decline", "declined", "completed", "rejected by user"),
        ("cancel", "cancelled", "interrupted", ""),
    ] {
        let approval = asking(daemon, ASKS).await?;
        assert_eq!((&approval["kind"], &approval["cwd"]), (&json!("command"), &json!(rig.lab.project.canonicalize()?)));
        assert!(approval["command"].as_str().is_some_and(|text| text.contains("touch x")), "{approval}");
        let session = approval["sessionId"].as_str().context("no session")?;
        let waits = daemon.get(&format!("/v1/sessions/{session}")).await?.body;
        assert_eq!(waits["status"], "waitingApproval");
        let answered = decide(daemon, &approval, decision).await?;
        assert_eq!((answered.status, &answered.body["status"]), (200, &json!(status)), "{answered:?}");
        let turn = ended(daemon, &approval).await?;
        assert_eq!(turn["status"], outcome, "{turn}");
        assert!(turn["answer"].as_str().unwrap_or_default().contains(word), "{turn}");
        let declined = if decision == "accept" { json!([]) } else { json!([approval["id"]]) };
        assert_eq!(turn["declined"], declined, "{turn}");
        let next = daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({"prompt": "SAY:on"})).await?;
        assert_eq!(next.body["turn"]["answer"], "on", "{next:?}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn what_is_accepted_for_a_session_is_not_asked_again_in_it() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let approval = asking(&rig.daemon, ASKS).await?;
    assert_eq!(decide(&rig.daemon, &approval, "always").await?.body["status"], "accepted");
    assert_eq!(ended(&rig.daemon, &approval).await?["status"], "completed");
    let session = approval["sessionId"].as_str().context("no session")?;
    let again = rig.daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({ "prompt": ASKS })).await?;
    assert_eq!(again.body["turn"]["status"], "completed", "{again:?}");
    asking(&rig.daemon, ASKS).await.context("another session asks")?;
    Ok(())
}

#[tokio::test]
async fn a_file_change_shows_what_it_would_change() -> Result<()> {
    let rig = Rig::new(&["--sandbox", "read-only"]).await?;
    let approval = asking(&rig.daemon, "PATCH:a.txt:hello").await?;
    assert_eq!(
        (&approval["kind"], &approval["changes"][0]["kind"]),
        (&json!("fileChange"), &json!("add")),
        "{approval}"
    );
    assert!(approval["changes"][0]["path"].as_str().is_some_and(|path| path.ends_with("a.txt")), "{approval}");
    decide(&rig.daemon, &approval, "accept").await?;
    assert_eq!(ended(&rig.daemon, &approval).await?["answer"], "patched");
    Ok(())
}

#[tokio::test]
async fn a_person_answers_questions_in_words() -> Result<()> {
    let rig = Rig::with(&[], &[("FAKE_CODEX_FAULT", "ask-input")]).await?;
    let approval = asking(&rig.daemon, "SAY:x").await?;
    let question = &approval["questions"][0];
    assert_eq!((&approval["kind"], &question["options"]), (&json!("userInput"), &json!(["red", "blue"])), "{approval}");
    let yes = decide(&rig.daemon, &approval, "accept").await?;
    assert_eq!((yes.status, &yes.body["code"]), (400, &json!("BAD_REQUEST")), "{yes:?}");
    let answers = json!({"answers": {question["id"].as_str().context("no id")?: ["blue"]}});
    let answered = rig.daemon.post(&path(&approval), answers).await?;
    assert_eq!((answered.status, &answered.body["status"]), (200, &json!("accepted")), "{answered:?}");
    assert_eq!(ended(&rig.daemon, &approval).await?["status"], "completed");
    let heard = std::fs::read_to_string(crate::fake_codex_rig::journal(&rig.lab))?;
    assert!(heard.contains(r#""answers":["blue"]"#), "{heard}");
    Ok(())
}

#[tokio::test]
async fn what_nobody_answers_expires_as_the_operator_said() -> Result<()> {
    for (on_expiry, outcome) in [("cancel", "interrupted"), ("decline", "completed")] {
        let rig = Rig::new(&["--approval-timeout", "1s", "--on-expiry", on_expiry]).await?;
        let made = rig.daemon.post("/v1/sessions?wait=60", json!({ "prompt": ASKS })).await?.body;
        assert_eq!(made["turn"]["status"], outcome, "{made}");
        let all = rig.daemon.get("/v1/approvals").await?.body;
        let approval = &all["approvals"][0];
        assert_eq!((&approval["status"], &approval["resolvedBy"]), (&json!("expired"), &json!("expiry")), "{all}");
        assert_eq!(made["turn"]["declined"], json!([approval["id"]]));
        let late = decide(&rig.daemon, approval, "accept").await?;
        assert_eq!((late.status, &late.body["code"]), (409, &json!("APPROVAL_RESOLVED")), "{late:?}");
        rig.assert_calm();
    }
    Ok(())
}

#[tokio::test]
async fn one_waits_for_the_turn_while_another_answers_once() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (door, call) = (rig.tcp(), Call::json("/v1/sessions?wait=60", &json!({ "prompt": ASKS })));
    let waiting = tokio::spawn(async move { call.ask(&door).await });
    let approval = eventually("it to ask", async || {
        rig.daemon.get("/v1/approvals?status=pending").await.ok()?.body["approvals"].get(0).cloned()
    })
    .await?;
    // Ten answer at once: one is the first, and the others hear of it.
    let answers: Vec<_> = (0..10)
        .map(|n| {
            let decision = if n % 2 == 0 { "accept" } else { "decline" };
            let (door, call) = (rig.socket(), Call::json(&path(&approval), &json!({ "decision": decision })));
            tokio::spawn(async move { call.ask(&door).await })
        })
        .collect();
    let mut replies = Vec::new();
    for answer in answers {
        replies.push(answer.await??);
    }
    let (first, others): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!(first.len(), 1, "{first:?} {others:?}");
    let status = first[0].body["status"].as_str().context("no status")?;
    for other in others {
        assert_eq!((other.status, &other.body["code"]), (409, &json!("APPROVAL_RESOLVED")), "{other:?}");
        assert!(
            other.body["detail"].as_str().is_some_and(|text| text.contains(&format!("{status}, by local"))),
            "{other:?}"
        );
    }
    let made = waiting.await??;
    assert_eq!((made.status, &made.body["turn"]["status"]), (201, &json!("completed")), "{made:?}");
    let word = if status == "accepted" { "fake output" } else { "rejected by user" };
    assert!(made.body["turn"]["answer"].as_str().is_some_and(|text| text.contains(word)), "{status} {made:?}");
    Ok(())
}

#[tokio::test]
async fn who_may_not_answer_is_refused_and_codex_still_waits() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let mut tokens = Vec::new();
    for scopes in [json!(["read", "run"]), json!(["run", "approve"]), json!(["run", "approve", "approve-own"])] {
        let body = json!({"name": format!("t{}", tokens.len()), "scopes": scopes});
        let made = rig.daemon.post("/v1/tokens", body).await?;
        tokens.push(made.body["token"].as_str().context("no token")?.to_owned());
    }
    // Who begins the turn; who may not answer; who may.
    for (begins, refused, answers) in [(0, vec![0], 1), (1, vec![0, 1], 2), (2, vec![], 2)] {
        let call = Call::json("/v1/sessions", &json!({ "prompt": ASKS })).token(&tokens[begins]);
        let made = call.ask(&rig.tcp()).await?;
        let approval = asked(&rig.daemon, made.body["turn"]["id"].as_str().context("no turn")?).await?;
        let yes = |token: &str| Call::json(&path(&approval), &json!({"decision": "accept"})).token(token);
        for token in refused {
            let reply = yes(&tokens[token]).ask(&rig.tcp()).await?;
            assert_eq!((reply.status, &reply.body["code"]), (403, &json!("FORBIDDEN")), "{reply:?}");
        }
        assert_eq!(rig.daemon.get(&path(&approval)).await?.body["status"], "pending", "Codex still waits");
        let reply = yes(&tokens[answers]).ask(&rig.tcp()).await?;
        assert_eq!((reply.status, &reply.body["status"]), (200, &json!("accepted")), "{reply:?}");
        assert_eq!(ended(&rig.daemon, &approval).await?["status"], "completed");
    }
    Ok(())
}

#[tokio::test]
async fn a_question_does_not_outlive_the_machine() -> Result<()> {
    let lab = lab().await?;
    let daemon = serve(&lab, &["--no-auth"], &[]).await?;
    let approval = asking(&daemon, ASKS).await?;
    daemon.crash().await?;
    let daemon = serve(&lab, &["--no-auth"], &[]).await?;
    let turn = ended(&daemon, &approval).await?;
    let closed = Call::get(&path(&approval)).ask(&tcp(&daemon)).await?.body;
    assert_eq!((&closed["status"], &closed["resolvedBy"]), (&json!("cancelled"), &json!("policy")), "{closed}");
    assert_eq!((&turn["status"], &turn["declined"]), (&json!("interrupted"), &json!([approval["id"]])), "{turn}");
    let late = decide(&daemon, &approval, "accept").await?;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("APPROVAL_RESOLVED")), "{late:?}");
    assert_eq!(daemon.get("/v1/approvals?status=pending").await?.body, json!({"approvals": []}));
    let session = approval["sessionId"].as_str().context("no session")?;
    let next = daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({"prompt": "SAY:on"})).await?;
    assert_eq!(next.body["turn"]["answer"], "on", "{next:?}");
    Ok(())
}

#[tokio::test]
async fn a_question_ends_with_its_codex() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let approval = asking(&rig.daemon, ASKS).await?;
    rig.daemon.kill_codex().await?;
    let turn = ended(&rig.daemon, &approval).await?;
    assert_eq!((&turn["status"], &turn["error"]["code"]), (&json!("interrupted"), &json!("AGENT_EXITED")), "{turn}");
    let closed = rig.daemon.get(&path(&approval)).await?.body;
    assert_eq!((&closed["status"], &closed["resolvedBy"]), (&json!("cancelled"), &json!("policy")), "{closed}");
    rig.assert_calm();
    Ok(())
}
