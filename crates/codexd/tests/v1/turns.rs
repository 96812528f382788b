//! Turns: what is said with one, again, shortened, refused when busy.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    fake_codex_rig::{Rig, of_method},
    wire::Call,
};

async fn session(rig: &Rig) -> Result<String> {
    let made = rig.daemon.post("/v1/sessions?wait=60", json!({"prompt": "SAY:first"})).await?;
    Ok(made.body["session"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
}

async fn turn(rig: &Rig, session: &str, body: Value) -> Result<testkit::Reply> {
    rig.daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), body).await
}

fn last_turn(rig: &Rig) -> Result<Value> {
    let heard = rig.heard()?;
    Ok(of_method(&heard, "turn/start").into_iter().last().context("no turn")?.clone())
}

#[tokio::test]
async fn what_is_said_with_one_turn_reaches_codex_and_holds_for_no_other() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = session(&rig).await?;
    let picture = rig.lab.project.join("a.png");
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\n")?;
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let data = "data:image/png;base64,iVBORw0KGgo=";
    let input = json!([{"type": "text", "text": "SAY:looked"}, {"type": "localImage", "path": picture},
        {"type": "image", "url": data}]);
    let body = json!({"input": input, "model": "m-2", "effort": "high", "outputSchema": schema});
    let reply = turn(&rig, &session, body).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.body["turn"]["prompt"], "SAY:looked");
    let images = &reply.body["turn"]["items"][0]["images"];
    assert_eq!(images, &json!([picture.canonicalize()?, data]));
    let asked = last_turn(&rig)?;
    assert_eq!(asked["input"].as_array().map(Vec::len), Some(3), "{asked}");
    assert_eq!(asked["input"][1], json!({"type": "localImage", "path": picture.canonicalize()?}));
    assert_eq!((&asked["model"], &asked["effort"]), (&json!("m-2"), &json!("high")));
    assert_eq!(asked["outputSchema"], schema);

    let before = rig.daemon.get(&format!("/v1/sessions/{session}")).await?.body;
    assert_eq!(before.get("model"), None, "the session's own model is as it was");
    turn(&rig, &session, json!({"prompt": "SAY:plain"})).await?;
    let asked = last_turn(&rig)?;
    assert!(asked["model"].is_string() && asked["model"] != "m-2", "{asked}");
    assert_eq!(asked.get("outputSchema"), None);

    let elsewhere = json!({"input": [{"type": "image", "url": "https://example.org/b.png"}]});
    let reply = turn(&rig, &session, elsewhere).await?;
    assert_eq!((reply.status, &reply.body["code"]), (409, &json!("NOT_SUPPORTED")), "{reply:?}");

    for (body, code) in [
        (json!({}), "BAD_REQUEST"),
        (json!({"prompt": "x", "input": []}), "BAD_REQUEST"),
        (json!({"input": []}), "BAD_REQUEST"),
        (json!({"input": [{"type": "text"}]}), "BAD_REQUEST"),
        (json!({"input": [{"type": "audio", "url": "x"}]}), "BAD_REQUEST"),
        (json!({"input": [{"type": "image", "url": "file:///etc/passwd"}]}), "BAD_REQUEST"),
        (json!({"input": [{"type": "localImage", "path": "/no/such.png"}]}), "BAD_REQUEST"),
        (json!({"prompt": "x", "onBusy": "shout"}), "BAD_REQUEST"),
        (json!({"prompt": "x", "onHeld": "shout"}), "BAD_REQUEST"),
        (json!({"prompt": "x", "outputSchema": "x"}), "BAD_REQUEST"),
        (json!({"promt": "x"}), "BAD_REQUEST"),
    ] {
        let reply = turn(&rig, &session, body.clone()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!(code)), "{body} {reply:?}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_picture_outside_of_the_roots_is_not_for_those_who_come_by_tcp() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let session = session(&rig).await?;
    let secret = rig.lab.dir.path().join("secret.png");
    std::fs::write(&secret, b"\x89PNG\r\n\x1a\n")?;
    std::os::unix::fs::symlink(&secret, rig.lab.project.join("link.png"))?;
    let path = format!("/v1/sessions/{session}/turns");
    for image in [json!(secret), json!("../secret.png"), json!("link.png")] {
        let body = json!({"input": [{"type": "text", "text": "x"}, {"type": "localImage", "path": image}]});
        let reply = Call::json(&path, &body).ask(&rig.tcp()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{image} {reply:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_turn_that_ended_can_be_sent_again() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = session(&rig).await?;
    let failed = turn(&rig, &session, json!({"prompt": "FAIL:500"})).await?;
    let (id, delivery) = (failed.body["turn"]["id"].clone(), failed.body["turn"]["delivery"].clone());
    assert_eq!((&failed.body["turn"]["status"], &delivery), (&json!("failed"), &json!("yes")), "{failed:?}");
    let path = format!("/v1/turns/{}/retry", id.as_str().context("no id")?);
    let refused = rig.daemon.post(&path, json!({})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("TURN_ENDED")), "{refused:?}");
    let again = rig.daemon.post(&format!("{path}?wait=60"), json!({"force": true})).await?;
    assert!(again.status == 200 || again.status == 202, "{again:?}");
    let turn = again.body.get("turn").unwrap_or(&again.body);
    assert_eq!((&turn["retryOf"], &turn["prompt"]), (&id, &json!("FAIL:500")), "{again:?}");
    let unknown = rig.daemon.post("/v1/turns/nothing/retry", json!({})).await?;
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("NO_TURN")));

    let running = rig.daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?;
    let id = running.body["turn"]["id"].as_str().context("no id")?.to_owned();
    let early = rig.daemon.post(&format!("/v1/turns/{id}/retry"), json!({"force": true})).await?;
    assert_eq!((early.status, &early.body["code"]), (409, &json!("TURN_ACTIVE")), "{early:?}");
    Ok(())
}

#[tokio::test]
async fn a_busy_session_queues_or_refuses_as_it_is_asked_to() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:2000"})).await?;
    let session = made.body["session"]["id"].as_str().context("no id")?.to_owned();
    let path = format!("/v1/sessions/{session}/turns");
    let rejected = rig.daemon.post(&path, json!({"prompt": "SAY:x", "onBusy": "reject"})).await?;
    assert_eq!((rejected.status, &rejected.body["code"]), (409, &json!("TURN_ACTIVE")), "{rejected:?}");
    let waits = rig.daemon.post(&path, json!({"prompt": "SAY:x", "onBusy": "queue"})).await?;
    let turn = &waits.body["turn"];
    assert_eq!((waits.status, &turn["status"], &turn["position"]), (202, &json!("queued"), &json!(1)), "{waits:?}");
    let doing = rig.daemon.get("/v1/sessions?status=running").await?.body;
    assert_eq!(doing["sessions"][0]["id"], json!(session));
    let away =
        rig.daemon.request("PATCH", &format!("/v1/sessions/{session}"), Some(&json!({"archived": true}))).await?;
    assert_eq!((away.status, &away.body["code"]), (409, &json!("TURN_ACTIVE")), "{away:?}");
    Ok(())
}

#[tokio::test]
async fn a_conversation_is_compacted_in_a_turn_of_its_own() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = session(&rig).await?;
    let reply = rig.daemon.post(&format!("/v1/sessions/{session}/compact"), json!({})).await?;
    assert_eq!(reply.status, 202, "{reply:?}");
    let turn = reply.body.get("turn").unwrap_or(&reply.body).clone();
    assert_eq!((&turn["kind"], &turn["prompt"]), (&json!("compact"), &json!("")), "{turn}");
    let id = turn["id"].as_str().context("no id")?.to_owned();
    let ended = eventually("it to end", async || {
        let turn = rig.daemon.get(&format!("/v1/turns/{id}?wait=10")).await.ok()?.body;
        (turn["status"] != "queued" && turn["status"] != "running").then_some(turn)
    })
    .await?;
    assert_eq!((&ended["status"], &ended["items"][0]["status"]), (&json!("completed"), &json!("completed")), "{ended}");
    assert_eq!(of_method(&rig.heard()?, "thread/compact/start").len(), 1);
    let fresh = rig.daemon.post("/v1/sessions", json!({})).await?.body["session"]["id"].clone();
    let path = format!("/v1/sessions/{}/compact", fresh.as_str().context("no id")?);
    let nothing = rig.daemon.post(&path, json!({})).await?;
    assert_eq!((nothing.status, &nothing.body["code"]), (409, &json!("NOT_SUPPORTED")), "{nothing:?}");
    Ok(())
}

#[tokio::test]
async fn models_are_told_and_limits_are_or_it_is_said_why_not() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let models = rig.daemon.get("/v1/models").await?;
    assert_eq!(models.status, 200, "{models:?}");
    let first = &models.body["models"][0];
    assert!(first["id"].is_string() && first["name"].is_string() && first["efforts"].is_array(), "{models:?}");
    let limits = rig.daemon.get("/v1/limits").await?;
    assert_eq!((limits.status, &limits.body["code"]), (409, &json!("NOT_SUPPORTED")), "{limits:?}");
    rig.daemon.kill_codex().await?;
    assert_eq!(rig.daemon.get("/v1/models").await?.status, 200, "of the next Codex");
    Ok(())
}
