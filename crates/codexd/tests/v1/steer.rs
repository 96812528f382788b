//! More words for a turn that runs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::fake_codex_rig::{Rig, of_method};

/// A turn that Codex works at for long.
async fn working(rig: &Rig) -> Result<(String, String)> {
    let before = of_method(&rig.heard()?, "turn/start").len();
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:4000:5"})).await?.body;
    let id = |of: &str| made[of]["id"].as_str().map(str::to_owned).with_context(|| format!("{made}"));
    let (session, turn) = (id("session")?, id("turn")?);
    eventually("Codex to work", async || (of_method(&rig.heard().ok()?, "turn/start").len() > before).then_some(()))
        .await?;
    Ok((session, turn))
}

fn users(turn: &Value) -> Vec<(&str, &str)> {
    let items = turn["items"].as_array().into_iter().flatten();
    let of_user = items.filter(|item| item["kind"] == "userMessage");
    of_user.map(|item| (item["text"].as_str().unwrap_or(""), item["status"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn a_turn_that_runs_takes_more_words_and_says_so() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (_, turn) = working(&rig).await?;
    let path = format!("/v1/turns/{turn}/steer");
    let taken = rig.daemon.post(&format!("{path}?wait=60"), json!({"prompt": "SAY:steered"})).await?;
    assert_eq!((taken.status, &taken.body["status"]), (200, &json!("completed")), "{taken:?}");
    assert_eq!((&taken.body["id"], &taken.body["answer"]), (&json!(turn), &json!("steered")), "{taken:?}");
    assert_eq!(users(&taken.body), [("SLOW:4000:5", "completed"), ("SAY:steered", "completed")]);
    let heard = rig.heard()?;
    assert_eq!(of_method(&heard, "turn/steer").len(), 1);
    assert_eq!(of_method(&heard, "turn/start").len(), 1, "no turn of its own");
    let late = rig.daemon.post(&path, json!({"prompt": "more"})).await?;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("TURN_ENDED")), "{late:?}");
    for (body, status) in
        [(json!({}), 400), (json!({"prompt": "  "}), 400), (json!({"prompt": "x", "model": "y"}), 400)]
    {
        assert_eq!(rig.daemon.post(&path, body.clone()).await?.status, status, "{body}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn on_busy_steer_adds_to_what_runs_and_is_a_turn_otherwise() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, turn) = working(&rig).await?;
    let path = format!("/v1/sessions/{session}/turns");
    let body = |prompt: &str| json!({"prompt": prompt, "onBusy": "steer"});
    let added = rig.daemon.post(&path, body("SAY:added")).await?;
    assert_eq!((added.status, &added.body["turn"]["id"]), (202, &json!(turn)), "{added:?}");
    let ended = rig.daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body;
    assert_eq!((&ended["status"], &ended["answer"]), (&json!("completed"), &json!("added")), "{ended}");
    let own = rig.daemon.post(&format!("{path}?wait=60"), body("SAY:own")).await?;
    assert_eq!((own.status, &own.body["turn"]["answer"]), (200, &json!("own")), "{own:?}");
    assert_ne!(own.body["turn"]["id"], json!(turn));
    Ok(())
}

#[tokio::test]
async fn a_token_without_approve_own_does_not_approve_what_it_added_to() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let token = |name: &str, scopes: Value| {
        let body = json!({"name": name, "scopes": scopes});
        async {
            rig.daemon.post("/v1/tokens", body).await.map(|made| made.body["token"].as_str().unwrap_or("").to_owned())
        }
    };
    let helper = token("helper", json!(["read", "run", "approve"])).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "ESCALATE:touch x"})).await?.body;
    let turn = made["turn"]["id"].as_str().context("no turn")?.to_owned();
    let approval = crate::approvals::asked(&rig.daemon, &turn).await?;
    let id = approval["id"].as_str().context("no id")?;
    let door = rig.tcp();
    let post = |path: String, body: Value| {
        let call = crate::wire::Call::json(&path, &body).token(&helper);
        let door = door.clone();
        async move { call.ask(&door).await }
    };
    let steered = post(format!("/v1/turns/{turn}/steer"), json!({"prompt": "SAY:please"})).await?;
    assert_eq!(steered.status, 202, "{steered:?}");
    let own = post(format!("/v1/approvals/{id}"), json!({"decision": "accept"})).await?;
    assert_eq!((own.status, &own.body["code"]), (403, &json!("FORBIDDEN")), "{own:?}");
    let still = rig.daemon.get(&format!("/v1/approvals/{id}")).await?.body;
    assert_eq!(still["status"], "pending", "Codex still waits: {still}");
    Ok(())
}
