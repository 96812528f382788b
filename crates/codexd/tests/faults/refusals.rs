//! Codex says no for a while: it has too much to do, or another process has the thread.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fake_codex_rig::{Rig, assert_refused, lab, of_method, serve},
    struck::{SOON, STRIKE, Struck, assert_ended},
};

fn given(heard: &[Value], method: &str, text: &str) -> usize {
    of_method(heard, method).iter().filter(|turn| turn.to_string().contains(text)).count()
}

/// Eight tries more, further and further apart, take 13 s.
#[tokio::test]
async fn one_session_meets_a_storm_of_refusals() -> Result<()> {
    let struck = Struck::by("overloaded:9", &[]).await?;
    let prompt = format!("SAY:x\n{STRIKE}");
    let turn = struck.begin(&struck.session, &prompt).await?;
    let begun = Instant::now();
    struck.goes_on(&struck.other).await?;
    assert!(begun.elapsed() < Duration::from_secs(10), "the other one waited for it");
    let turn = struck.ended(&turn, SOON).await?;
    assert_ended(&turn, "failed", "OTHER", &["Codex is overloaded"]);
    assert_eq!((&turn["delivery"], &turn["error"]["retryable"]), (&json!("no"), &json!(true)), "{turn}");
    assert_eq!(given(&struck.rig.heard()?, "turn/start", STRIKE), 9);
    let again = struck.turn(&struck.session, &prompt, SOON).await?;
    assert_eq!(again["answer"], "x", "{again}");
    assert_eq!(struck.recalled(&struck.session, "SAY:x").await?, 1, "what was refused was not heard");
    struck.goes_on(&struck.session).await?;
    struck.stop().await
}

/// A storm that ends before patience does is noticed by nobody, however many are in it.
#[tokio::test]
async fn many_sessions_in_a_storm_that_passes() -> Result<()> {
    let lab = lab().await?;
    let daemon = serve(&lab, &[], &[("FAKE_CODEX_FAULT", "overloaded:60")]).await?;
    let rig = Rig { daemon, lab };
    let mut turns = Vec::new();
    for number in 0..20 {
        let made = rig.daemon.post("/v1/sessions", json!({"prompt": format!("SAY:{number}")})).await?;
        turns.push(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned());
    }
    for (number, turn) in turns.iter().enumerate() {
        let turn = rig.daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body;
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!(number.to_string())), "{turn}");
    }
    let heard = rig.heard()?;
    let sent = of_method(&heard, "thread/start").len() + of_method(&heard, "turn/start").len();
    assert_eq!(sent, 60 + 40, "each refusal, and two requests a session");
    rig.assert_calm();
    rig.daemon.stop().await
}

/// Two sessions whose Codex is gone, in one that says for so long that another process has their threads.
async fn held(time: &str) -> Result<Struck> {
    let struck = Struck::by(&format!("held:{time}"), &[]).await?;
    struck.rig.daemon.kill_codex().await?;
    Ok(struck)
}

/// As after a kill: nobody is told, and nothing is replayed.
#[tokio::test]
async fn a_thread_that_is_held_for_three_seconds() -> Result<()> {
    let struck = held("3000").await?;
    let first = struck.begin(&struck.session, "SAY:x").await?;
    let second = struck.begin(&struck.other, "SAY:y").await?;
    // One that has no thread yet need not wait.
    let (new, _) = struck.rig.daemon.start("SAY:one").await?;
    struck.goes_on(&new).await?;
    for (turn, answer) in [(first, "x"), (second, "y")] {
        let turn = struck.ended(&turn, SOON).await?;
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!(answer)), "{turn}");
    }
    let heard = struck.rig.heard()?;
    assert!(of_method(&heard, "thread/resume").len() > 4, "it was asked again and again");
    assert_eq!((of_method(&heard, "thread/start").len(), of_method(&heard, "thread/inject_items").len()), (3, 0));
    struck.goes_on(&struck.session).await?;
    struck.goes_on(&struck.other).await?;
    struck.stop().await
}

/// Patience has an end: then the caller is refused in words that say what to do.
#[tokio::test]
async fn a_thread_that_is_held_for_a_minute() -> Result<()> {
    let struck = held("60000").await?;
    let daemon = &struck.rig.daemon;
    let begun = Instant::now();
    let body = json!({"sessionId": struck.session, "prompt": "SAY:x"});
    let (refused, beside) = tokio::join!(daemon.post("/continue", body), daemon.start("SAY:one"));
    let refused = refused?;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_refused(&refused, 409, "THREAD_HELD");
    let text = refused.body["error"].as_str().context("no text")?;
    assert!(text.contains("another Codex process is using the thread") && text.contains("try again later"), "{text}");
    struck.goes_on(&beside?.0).await?;
    let turn = refused.body["turnId"].as_str().context("no turn")?;
    let turn = struck.ended(turn, SOON).await?;
    assert_ended(&turn, "failed", "OTHER", &["another Codex process is using the thread"]);
    assert_eq!((&turn["delivery"], &turn["error"]["retryable"]), (&json!("no"), &json!(true)), "{turn}");
    assert_eq!(given(&struck.rig.heard()?, "turn/start", "SAY:x"), 0, "the prompt was not given to it");
    struck.stop().await
}
