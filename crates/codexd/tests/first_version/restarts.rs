//! Sessions outlive the daemon, its Codex, and Codex's own records.

use anyhow::Result;
use serde_json::json;

use crate::{
    booted::{Booted, assert_answered, of_method, text},
    wire::Call,
};

#[tokio::test]
async fn a_restart_changes_nothing() -> Result<()> {
    let booted = Booted::new(&["--no-auth"]).await?;
    let (session, _) = booted.daemon.start("alpha").await?;
    booted.daemon.go_on(&session, "beta").await?;
    let rename = json!({"sessionId": session, "title": "kept"});
    booted.daemon.post("/sessions/rename", rename).await?;
    let (list, shown) = (booted.daemon.get("/sessions").await?, booted.session(&session).await?);
    let booted = booted.restarted(&["--no-auth"], &[], |_| {}).await?;
    assert_eq!(booted.daemon.get("/sessions").await?, list);
    assert_eq!(booted.session(&session).await?, shown);
    let recalled = booted.daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled, "user: alpha\nassistant: echo: alpha\nuser: beta\nassistant: echo: beta\ncount: 4");
    // The same thread, by its id, and Codex read it back by itself.
    let reply = booted.daemon.post("/reply", json!({"threadId": shown["threadId"], "prompt": "SAY:same"})).await?;
    assert_answered(&reply, "same");
    assert_eq!((&reply.body["sessionId"], &reply.body["threadId"]), (&json!(session), &shown["threadId"]));
    assert_eq!(of_method(&booted.heard()?, "thread/start").len(), 1);
    assert_eq!(booted.session(&session).await?["resumed"]["how"], "resumed");
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn codex_may_die_between_turns() -> Result<()> {
    let booted = Booted::new(&[]).await?;
    let (session, _) = booted.daemon.start("alpha").await?;
    booted.daemon.kill_codex().await?;
    assert_eq!(booted.daemon.go_on(&session, "RECALL").await?, "user: alpha\nassistant: echo: alpha\ncount: 2");
    let health = booted.daemon.get("/health").await?.body;
    assert_eq!((&health["ready"], &health["pid"]), (&json!(true), &booted.daemon.agent().await?["pid"]));
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn without_codexs_records_the_saved_messages_go_on() -> Result<()> {
    let booted = Booted::new(&["--no-auth"]).await?;
    let (session, _) = booted.daemon.start("alpha").await?;
    booted.daemon.go_on(&session, "beta").await?;
    let former = text(&booted.session(&session).await?, "threadId");
    let booted = booted
        .restarted(&["--no-auth"], &[], |lab| {
            // All that Codex knows is gone; only the way to the model is made anew.
            let _ = std::fs::remove_dir_all(&lab.codex_home);
            let _ = lab.write_codex_config();
        })
        .await?;
    let recalled = booted.daemon.go_on(&session, "RECALL").await?;
    assert_eq!(recalled, "user: alpha\nassistant: echo: alpha\nuser: beta\nassistant: echo: beta\ncount: 4");
    let shown = booted.session(&session).await?;
    assert_eq!(shown["resumed"]["how"], "replayed");
    assert!(shown["resumed"]["at"].is_string() || shown["resumed"]["at"].is_number(), "{shown}");
    let current = text(&shown, "threadId");
    assert_ne!(current, former);
    assert_eq!(text(&shown["meta"], "threadId"), current);
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(6));

    // The session by its id, its thread, and the thread that it had: all the same.
    for id in [&session, &current, &former] {
        let call = Call::json("/reply", &json!({"threadId": id, "prompt": "SAY:here"}));
        let reply = call.ask(&booted.tcp()).await?;
        assert_answered(&reply, "here");
        assert_eq!((text(&reply.body, "sessionId"), text(&reply.body, "threadId")), (session.clone(), current.clone()));
    }
    // It was replayed once.
    let recalled = booted.daemon.go_on(&session, "RECALL").await?;
    // What an earlier RECALL had answered is indented.
    assert_eq!(recalled.lines().filter(|line| *line == "user: alpha").count(), 1, "{recalled}");
    assert!(recalled.ends_with("count: 12"), "{recalled}");
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_crash_of_the_daemon_loses_no_answer() -> Result<()> {
    let booted = Booted::new(&[]).await?;
    let (session, _) = booted.daemon.start("alpha").await?;
    let Booted { daemon, lab } = booted;
    daemon.kill().await?;
    let daemon = crate::booted::serve(&lab, &[], &[]).await?;
    let booted = Booted { daemon, lab };
    assert_eq!(booted.daemon.go_on(&session, "RECALL").await?, "user: alpha\nassistant: echo: alpha\ncount: 2");
    booted.assert_calm();
    Ok(())
}
