//! A Codex at rest that is old, or has too much memory, is started anew. One with a turn never is.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    fake_codex_rig::Rig,
    turns::{codex, ended, running},
};

async fn is_replaced_at_rest(flags: &[&str], why: &str) -> Result<()> {
    let rig = Rig::new(flags).await?;
    let daemon = &rig.daemon;
    let (session, _) = daemon.start("SAY:one").await?;
    // Longer than anything at rest is left alone, and silent for longer.
    let turn = running(daemon, &session, "SLOW:2:7000").await?;
    let before = codex(daemon).await?;
    let turn = ended(daemon, &turn).await?;
    assert_eq!(turn["status"], "completed", "{turn}");
    assert_eq!(codex(daemon).await?, before, "a turn ran in it");
    let agent = eventually("another Codex", async || {
        let agent: Value = daemon.agent().await.ok()?;
        (agent["status"] == "ready" && agent["pid"] != before).then_some(agent)
    })
    .await?;
    assert_eq!((&agent["restarts"], &agent["lastError"]), (&json!(0), &Value::Null), "nothing went wrong");
    assert!(daemon.log().contains(why), "{}", daemon.log());
    let recalled = daemon.go_on(&session, "RECALL").await?;
    assert!(recalled.contains("user: SAY:one"), "{recalled}");
    rig.assert_calm();
    rig.daemon.stop().await
}

#[tokio::test]
async fn an_old_one_and_a_big_one_are_replaced_and_never_in_a_turn() -> Result<()> {
    tokio::try_join!(
        is_replaced_at_rest(&["--agent-recycle", "1s"], "it was old enough to be replaced"),
        is_replaced_at_rest(&["--agent-max-rss", "1"], "of memory, which is more than 0"),
    )?;
    Ok(())
}
