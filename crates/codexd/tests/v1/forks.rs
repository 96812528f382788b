//! Sessions with the same history and a future of their own; and turns that were held.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::eventually;

use crate::fake_codex_rig::{Rig, of_method};

fn history(turns: &Value) -> Vec<(&str, &str)> {
    let turns = turns["turns"].as_array().into_iter().flatten();
    turns.map(|turn| (turn["prompt"].as_str().unwrap_or(""), turn["answer"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn a_fork_has_the_history_and_what_comes_later_is_its_own() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, _) = rig.daemon.start("SAY:one").await?;
    rig.daemon.go_on(&session, "SAY:two").await?;
    let made = rig.daemon.post(&format!("/v1/sessions/{session}/fork"), json!({"title": "other way"})).await?;
    assert_eq!(made.status, 201, "{made:?}");
    let fork = made.body["session"].clone();
    let id = fork["id"].as_str().context("no id")?;
    assert_eq!((&fork["forkedFrom"], &fork["title"]), (&json!(session), &json!("other way")));
    assert_eq!((&fork["turnCount"], &fork["resumed"]["how"]), (&json!(2), &json!("forked")), "{fork}");
    let turns = rig.daemon.get(&format!("/v1/sessions/{id}/turns")).await?.body;
    assert_eq!(history(&turns), [("SAY:one", "one"), ("SAY:two", "two")]);
    rig.daemon.go_on(&session, "SAY:there").await?;
    rig.daemon.go_on(id, "SAY:here").await?;
    let (here, there) = (rig.daemon.go_on(id, "RECALL").await?, rig.daemon.go_on(&session, "RECALL").await?);
    assert!(here.contains("two") && here.contains("here") && !here.contains("there"), "{here}");
    assert!(there.contains("two") && there.contains("there") && !there.contains("SAY:here"), "{there}");
    assert_eq!(of_method(&rig.heard()?, "thread/fork").len(), 1);
    let found = rig.daemon.get("/v1/search?q=two").await?.body;
    assert_eq!(found["results"].as_array().map(Vec::len), Some(2), "both are found: {found}");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_fork_of_a_busy_session_ends_before_the_turn_that_runs() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, _) = rig.daemon.start("SAY:one").await?;
    let path = format!("/v1/sessions/{session}/turns");
    rig.daemon.post(&path, json!({"prompt": "SLOW:2000"})).await?;
    let made = rig.daemon.post(&format!("/v1/sessions/{session}/fork"), json!({})).await?;
    let id = made.body["session"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned();
    assert!(made.body["session"]["title"].as_str().is_some_and(|title| title.ends_with("(fork)")), "{made:?}");
    let recalled = rig.daemon.go_on(&id, "RECALL").await?;
    assert!(recalled.contains("one") && !recalled.contains("SLOW"), "{recalled}");
    let fork = rig.daemon.get(&format!("/v1/sessions/{id}")).await?.body;
    assert_eq!(fork["resumed"]["how"], "replayed", "{fork}");
    Ok(())
}

#[tokio::test]
async fn the_same_key_makes_one_fork() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("SAY:one").await?;
    let call =
        || crate::wire::Call::json(&format!("/v1/sessions/{session}/fork"), &json!({})).header("Idempotency-Key", "k");
    let (one, two) = (call().ask(&rig.tcp()).await?, call().ask(&rig.tcp()).await?);
    assert_eq!((one.status, two.status), (201, 201), "{two:?}");
    assert_eq!(one.body["session"]["id"], two.body["session"]["id"]);
    Ok(())
}

#[tokio::test]
async fn what_is_held_goes_on_when_somebody_says_so() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:4000:5"})).await?.body;
    let (session, running) = (made["session"]["id"].as_str().unwrap_or(""), made["turn"]["id"].as_str().unwrap_or(""));
    let path = format!("/v1/sessions/{session}/turns");
    let waiting = rig.daemon.post(&path, json!({"prompt": "SAY:later"})).await?.body["turn"].clone();
    let waiting = waiting["id"].as_str().context("no id")?;
    rig.daemon.post(&format!("/v1/turns/{running}/interrupt?wait=60"), json!({})).await?;
    eventually("it to be held", async || {
        (rig.daemon.get(&format!("/v1/turns/{waiting}")).await.ok()?.body["held"] == json!(true)).then_some(())
    })
    .await?;
    let resumed = rig.daemon.post(&format!("/v1/sessions/{session}/resume"), json!({})).await?;
    assert_eq!((resumed.status, &resumed.body["id"]), (200, &json!(session)), "{resumed:?}");
    let ended = rig.daemon.get(&format!("/v1/turns/{waiting}?wait=60")).await?.body;
    assert_eq!((&ended["status"], &ended["answer"]), (&json!("completed"), &json!("later")), "{ended}");
    let none = rig.daemon.post("/v1/sessions/none/resume", json!({})).await?;
    assert_eq!((none.status, &none.body["code"]), (404, &json!("NO_SESSION")));
    Ok(())
}

/// A hundred times two at the same moment: two answers, each its own, in the order in which they were taken.
#[tokio::test]
async fn two_turns_at_the_same_moment_are_two_turns() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, _) = rig.daemon.start("SAY:begin").await?;
    let path = format!("/v1/sessions/{session}/turns?wait=60");
    for round in 0..100 {
        let post = |text: String| rig.daemon.post(&path, json!({"prompt": format!("SAY:{text}")}));
        let (one, two) = tokio::join!(post(format!("a{round}")), post(format!("b{round}")));
        let (one, two) = (one?.body["turn"].clone(), two?.body["turn"].clone());
        assert_eq!((&one["answer"], &two["answer"]), (&json!(format!("a{round}")), &json!(format!("b{round}"))));
        assert_ne!(one["id"], two["id"]);
    }
    let turns = rig.daemon.get(&format!("/v1/sessions/{session}/turns?limit=200&order=desc")).await?.body;
    let turns = turns["turns"].as_array().context("no turns")?.clone();
    assert_eq!(turns.len(), 200, "and the first one is on the next page");
    for pair in turns.windows(2) {
        // Newest first: the later one began when the one before it had ended.
        assert!(pair[0]["startedAt"].as_str() >= pair[1]["endedAt"].as_str(), "{pair:?}");
    }
    Ok(())
}
