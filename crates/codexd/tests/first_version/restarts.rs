//! Sessions outlive the daemon, its Codex, and Codex's own records.

use anyhow::Result;
use serde_json::json;

use crate::{
    fake_codex_rig::{Rig, assert_answered, of_method, text},
    wire::Call,
};

#[tokio::test]
async fn a_restart_changes_nothing() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("alpha").await?;
    rig.daemon.go_on(&session, "beta").await?;
    let rename = json!({"sessionId": session, "title": "kept"});
    rig.daemon.post("/sessions/rename", rename).await?;
    let (list, shown) = (rig.daemon.get("/sessions").await?, rig.session(&session).await?);
    let rig = rig.restarted(&["--no-auth"], &[], |_| {}).await?;
    assert_eq!(rig.daemon.get("/sessions").await?, list);
    assert_eq!(rig.session(&session).await?, shown);
    let recalled = rig.daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled, "user: alpha\nassistant: echo: alpha\nuser: beta\nassistant: echo: beta\ncount: 4");
    // The same thread, by its id, and Codex read it back by itself.
    let reply = rig.daemon.post("/reply", json!({"threadId": shown["threadId"], "prompt": "SAY:same"})).await?;
    assert_answered(&reply, "same");
    assert_eq!((&reply.body["sessionId"], &reply.body["threadId"]), (&json!(session), &shown["threadId"]));
    assert_eq!(of_method(&rig.heard()?, "thread/start").len(), 1);
    assert_eq!(rig.session(&session).await?["resumed"]["how"], "resumed");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn codex_may_die_between_turns() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, _) = rig.daemon.start("alpha").await?;
    rig.daemon.kill_codex().await?;
    assert_eq!(rig.daemon.go_on(&session, "RECALL").await?, "user: alpha\nassistant: echo: alpha\ncount: 2");
    let health = rig.daemon.get("/health").await?.body;
    assert_eq!((&health["ready"], &health["pid"]), (&json!(true), &rig.daemon.agent().await?["pid"]));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn without_codexs_records_the_saved_messages_go_on() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("alpha").await?;
    rig.daemon.go_on(&session, "beta").await?;
    let former = text(&rig.session(&session).await?, "threadId");
    let rig = rig
        .restarted(&["--no-auth"], &[], |lab| {
            // All that Codex knows is gone; only the way to the model is made anew.
            let _ = std::fs::remove_dir_all(&lab.codex_home);
            let _ = lab.write_codex_config();
        })
        .await?;
    let recalled = rig.daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled, "user: alpha\nassistant: echo: alpha\nuser: beta\nassistant: echo: beta\ncount: 4");
    let shown = rig.session(&session).await?;
    assert_eq!(shown["resumed"]["how"], "replayed");
    assert!(shown["resumed"]["at"].is_string() || shown["resumed"]["at"].is_number(), "{shown}");
    let current = text(&shown, "threadId");
    assert_ne!(current, former);
    assert_eq!(text(&shown["meta"], "threadId"), current);
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(6));

    // The session by its id, its thread, and the thread that it had: all the same.
    for id in [&session, &current, &former] {
        let call = Call::json("/reply", &json!({"threadId": id, "prompt": "SAY:here"}));
        let reply = call.ask(&rig.tcp()).await?;
        assert_answered(&reply, "here");
        assert_eq!((text(&reply.body, "sessionId"), text(&reply.body, "threadId")), (session.clone(), current.clone()));
    }
    // It was replayed once.
    let recalled = rig.daemon.go_on(&session, "RECALL").await?;
    // What an earlier RECALL had answered is indented.
    assert_eq!(recalled.lines().filter(|line| *line == "user: alpha").count(), 1, "{recalled}");
    assert!(recalled.ends_with("count: 12"), "{recalled}");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_crash_of_the_daemon_loses_no_answer() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (session, _) = rig.daemon.start("alpha").await?;
    let Rig { daemon, lab } = rig;
    daemon.kill().await?;
    let daemon = crate::fake_codex_rig::serve(&lab, &[], &[]).await?;
    let rig = Rig { daemon, lab };
    assert_eq!(rig.daemon.go_on(&session, "RECALL").await?, "user: alpha\nassistant: echo: alpha\ncount: 2");
    rig.assert_calm();
    Ok(())
}
