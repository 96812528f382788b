//! Sessions: listed, changed, put away, deleted; what is said with them reaches Codex.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::fake_codex_rig::{Rig, of_method};

async fn create(rig: &Rig, body: Value) -> Result<Value> {
    let made = rig.daemon.post("/v1/sessions?wait=60", body).await?;
    anyhow::ensure!(made.status == 201, "{made:?}");
    Ok(made.body)
}

fn id(value: &Value) -> Result<String> {
    Ok(value["session"]["id"].as_str().context("no id")?.to_owned())
}

async fn patch(rig: &Rig, id: &str, body: Value) -> Result<testkit::Reply> {
    rig.daemon.request("PATCH", &format!("/v1/sessions/{id}"), Some(&body)).await
}

#[tokio::test]
async fn what_is_said_of_a_session_reaches_codex_and_is_never_part_of_the_history() -> Result<()> {
    let rig = Rig::new(&["--allow-config", "tools.web_search"]).await?;
    let body = json!({"prompt": "SAY:one", "title": "a title", "model": "m-1", "developerInstructions": "speak softly",
        "config": {"model_verbosity": "low", "tools": {"web_search": true}}, "labels": {"team": "red"}});
    let made = create(&rig, body).await?;
    let session = id(&made)?;
    assert_eq!(made["session"]["config"]["model_verbosity"], "low");
    let heard = rig.heard()?;
    let start = of_method(&heard, "thread/start")[0].clone();
    assert_eq!(start["developerInstructions"], "speak softly", "{start}");
    assert_eq!(start["config"]["tools"]["web_search"], true, "{start}");
    assert_eq!(start["model"], "m-1", "{start}");

    // Codex forgets everything: what was said comes back, and the instructions beside it, not in it.
    let rig = rig
        .restarted(&["--allow-config", "tools.web_search"], &[], |lab| {
            let _ = std::fs::remove_dir_all(&lab.codex_home);
            let _ = lab.write_codex_config();
        })
        .await?;
    let reply = rig.daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({"prompt": "RECALL"})).await?;
    let answer = reply.body["turn"]["answer"].as_str().context("no answer")?.to_owned();
    assert!(answer.contains("assistant: one") && !answer.contains("softly"), "{answer}");
    let starts = rig.heard()?;
    let again = of_method(&starts, "thread/start").into_iter().last().context("no second thread")?.clone();
    assert_eq!(again["developerInstructions"], "speak softly");
    assert_eq!(again["config"], start["config"]);
    let transcript = rig.daemon.get(&format!("/v1/sessions/{session}/transcript")).await?.body;
    assert_eq!(transcript["resumed"][0]["how"], "replayed", "{transcript}");
    assert_eq!(transcript["turns"].as_array().map(Vec::len), Some(2));
    assert!(!transcript.to_string().contains("softly"));

    for (config, code) in [
        (json!({"mcp_servers": {"x": {"command": "sh"}}}), "CONFIG_FORBIDDEN"),
        (json!({"sandbox_mode": "danger-full-access"}), "CONFIG_FORBIDDEN"),
        (json!({"tools": {"other": 1}}), "CONFIG_FORBIDDEN"),
        (json!([]), "BAD_REQUEST"),
    ] {
        let reply = rig.daemon.post("/v1/sessions", json!({"config": config})).await?;
        assert_eq!(reply.body["code"], code, "{config} {reply:?}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_session_can_be_made_without_a_prompt_and_is_titled_by_its_first() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let made = create(&rig, json!({})).await?;
    let session = id(&made)?;
    assert_eq!(made.get("turn"), None);
    assert_eq!((&made["session"]["title"], &made["session"]["status"]), (&json!(""), &json!("idle")));
    let rig = rig.restarted(&[], &[], |_| {}).await?;
    let reply = rig.daemon.post(&format!("/v1/sessions/{session}/turns?wait=60"), json!({"prompt": "SAY:hi"})).await?;
    assert_eq!(reply.body["turn"]["answer"], "hi", "{reply:?}");
    let shown = rig.daemon.get(&format!("/v1/sessions/{session}")).await?.body;
    assert_eq!((&shown["title"], &shown["turnCount"]), (&json!("SAY:hi"), &json!(1)), "{shown}");
    assert!(shown["usage"]["inputTokens"].as_u64().is_some_and(|tokens| tokens > 0), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_person_changes_titles_labels_and_puts_sessions_away() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = id(&create(&rig, json!({"prompt": "SAY:x", "labels": {"a": "1", "b": "2"}})).await?)?;
    let changed = patch(&rig, &session, json!({"title": "  my \n title ", "labels": {"a": null, "c": "3"}})).await?;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!((&changed.body["title"], &changed.body["titleLocked"]), (&json!("my title"), &json!(true)));
    assert_eq!(changed.body["labels"], json!({"b": "2", "c": "3"}));
    let listed = rig.daemon.get("/v1/sessions?label=c:3&label=b:2").await?.body;
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(rig.daemon.get("/v1/sessions?label=a:1").await?.body["sessions"], json!([]));

    let auto = rig.daemon.post(&format!("/v1/sessions/{session}/autoname"), json!({})).await?;
    assert_eq!(auto.body["title"], "my title", "locked");
    let auto = rig.daemon.post(&format!("/v1/sessions/{session}/autoname"), json!({"force": true})).await?;
    assert_eq!((&auto.body["title"], &auto.body["titleLocked"]), (&json!("SAY:x"), &json!(true)), "{auto:?}");

    let away = patch(&rig, &session, json!({"archived": true})).await?;
    assert!(away.body["archivedAt"].is_string() && away.body["status"] == "idle", "{away:?}");
    assert_eq!(rig.daemon.get("/v1/sessions").await?.body["sessions"], json!([]));
    assert_eq!(rig.daemon.get("/v1/sessions?archived=true").await?.body["sessions"][0]["id"], json!(session));
    let turn = rig.daemon.post(&format!("/v1/sessions/{session}/turns"), json!({"prompt": "x"})).await?;
    assert_eq!((turn.status, &turn.body["code"]), (409, &json!("NOT_SUPPORTED")), "{turn:?}");
    let back = patch(&rig, &session, json!({"archived": false})).await?;
    assert_eq!(back.body.get("archivedAt"), None, "{back:?}");
    for (body, code) in [
        (json!({"title": " \n "}), "BAD_REQUEST"),
        (json!({"titel": "x"}), "BAD_REQUEST"),
        (json!({"archived": "yes"}), "BAD_REQUEST"),
        (json!({"cwd": "relative"}), "BAD_CWD"),
        (json!({"cwd": "/no/such/folder"}), "BAD_CWD"),
        (json!({"labels": {"": "x"}}), "BAD_REQUEST"),
    ] {
        let reply = patch(&rig, &session, body.clone()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!(code)), "{body} {reply:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_whose_folder_is_gone_goes_on_in_another() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (gone, other) = (rig.lab.dir.path().join("gone"), rig.lab.dir.path().join("other"));
    std::fs::create_dir_all(&gone)?;
    std::fs::create_dir_all(&other)?;
    let session = id(&create(&rig, json!({"prompt": "SAY:x", "cwd": gone})).await?)?;
    std::fs::remove_dir_all(&gone)?;
    let path = format!("/v1/sessions/{session}/turns?wait=60");
    let refused = rig.daemon.post(&path, json!({"prompt": "SAY:y"})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("BAD_CWD")), "{refused:?}");
    let changed = patch(&rig, &session, json!({"cwd": other})).await?;
    assert_eq!(changed.status, 200, "{changed:?}");
    let reply = rig.daemon.post(&path, json!({"prompt": "RECALL"})).await?;
    assert!(reply.body["turn"]["answer"].as_str().is_some_and(|text| text.contains("assistant: x")), "{reply:?}");
    let heard = rig.heard()?;
    let last = of_method(&heard, "turn/start").into_iter().last().context("no turn")?.clone();
    assert_eq!(last["cwd"], json!(other.canonicalize()?));
    Ok(())
}

#[tokio::test]
async fn a_deleted_session_stops_and_leaves_nothing() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:2000"})).await?;
    let (session, turn) = (id(&made.body)?, made.body["turn"]["id"].as_str().context("no turn")?.to_owned());
    testkit::eventually("the turn to run", async || {
        let turn = rig.daemon.get(&format!("/v1/turns/{turn}")).await.ok()?;
        (turn.body["status"] == "running").then_some(())
    })
    .await?;
    let thread = rig.daemon.get(&format!("/v1/sessions/{session}")).await?.body["threadId"].clone();
    let gone = rig.daemon.request("DELETE", &format!("/v1/sessions/{session}?thread=delete"), None).await?;
    assert_eq!((gone.status, &gone.body), (204, &json!("")), "{gone:?}");
    for path in [format!("/v1/sessions/{session}"), format!("/v1/turns/{turn}"), format!("/sessions/{session}")] {
        assert_eq!(rig.daemon.get(&path).await?.status, 404, "{path}");
    }
    let again = rig.daemon.request("DELETE", &format!("/v1/sessions/{session}"), None).await?;
    assert_eq!((again.status, &again.body["code"]), (404, &json!("NO_SESSION")));
    let heard = rig.heard()?;
    assert_eq!(of_method(&heard, "turn/interrupt").len(), 1);
    assert_eq!(of_method(&heard, "thread/delete")[0]["threadId"], thread);
    assert_eq!(rig.daemon.get("/v1/search?q=SLOW").await?.body["results"], json!([]));
    // The daemon and its Codex go on.
    assert_eq!(create(&rig, json!({"prompt": "SAY:on"})).await?["turn"]["answer"], "on");
    rig.assert_calm();
    Ok(())
}
