//! Every route of the first version when all goes well: which fields an answer has, and of which type.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_keys, text},
    wire::Call,
};

const LINE: [&str; 6] = ["sessionId", "createdAtMs", "updatedAtMs", "title", "titleLocked", "titleSource"];

fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().try_into()?)
}

/// Epoch milliseconds of the last few minutes.
#[track_caller]
fn assert_recent(value: &Value, now: i64) {
    let ms = value.as_i64().unwrap_or_default();
    assert!(value.is_i64() && (now - 300_000..=now + 1000).contains(&ms), "{value} is not now, {now}");
}

#[track_caller]
fn assert_turn(body: &Value, answer: &str) {
    assert_keys(body, &["sessionId", "threadId", "content", "structuredContent"]);
    let thread = text(body, "threadId");
    assert!(!text(body, "sessionId").is_empty() && !thread.is_empty(), "{body}");
    assert_eq!(body["content"], json!([{"type": "text", "text": answer}]));
    assert_eq!(body["structuredContent"], json!({"threadId": thread, "content": answer}));
}

#[tokio::test]
async fn start_continue_and_reply_answer_alike() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
        let started = Call::json("/start", &json!({"prompt": "SAY:hello"})).ask(&door).await?;
        assert_eq!(started.status, 200, "{started:?}");
        assert_turn(&started.body, "hello");
        let (session, thread) = (text(&started.body, "sessionId"), text(&started.body, "threadId"));
        assert_ne!(session, thread);

        let further = json!({"sessionId": session, "prompt": "SAY:again"});
        let continued = Call::json("/continue", &further).ask(&door).await?;
        assert_eq!(continued.status, 200, "{continued:?}");
        assert_turn(&continued.body, "again");
        assert_eq!(
            (text(&continued.body, "sessionId"), text(&continued.body, "threadId")),
            (session.clone(), thread.clone())
        );

        let further = json!({"threadId": thread, "prompt": "RECALL"});
        let replied = Call::json("/reply", &further).ask(&door).await?;
        assert_eq!(replied.status, 200, "{replied:?}");
        assert_turn(&replied.body, "user: SAY:hello\nassistant: hello\nuser: SAY:again\nassistant: again\ncount: 4");
        assert_eq!((text(&replied.body, "sessionId"), text(&replied.body, "threadId")), (session, thread));
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn the_same_sessions_are_seen_by_both_doors() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("by the socket").await?;
    let by_tcp = Call::get(&format!("/sessions/{session}")).ask(&rig.tcp()).await?;
    assert_eq!(by_tcp, rig.daemon.get(&format!("/sessions/{session}")).await?);
    let further = json!({"sessionId": session, "prompt": "RECALL"});
    let reply = Call::json("/continue", &further).ask(&rig.tcp()).await?;
    assert_answered(&reply, "user: by the socket\nassistant: echo: by the socket\ncount: 2");
    Ok(())
}

#[tokio::test]
async fn the_list_is_newest_first() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let none = rig.daemon.get("/sessions").await?;
    assert_eq!((none.status, none.body), (200, json!({"sessions": []})));
    let mut ids = Vec::new();
    for prompt in ["one", "two", "three"] {
        ids.insert(0, rig.daemon.start(prompt).await?.0);
    }
    let list = rig.daemon.get("/sessions").await?;
    assert_eq!(list.status, 200);
    assert_keys(&list.body, &["sessions"]);
    let sessions = list.body["sessions"].as_array().cloned().unwrap_or_default();
    assert_eq!(sessions.iter().map(|line| text(line, "sessionId")).collect::<Vec<_>>(), ids);
    let now = now_ms()?;
    for (line, title) in sessions.iter().zip(["three", "two", "one"]) {
        assert_keys(line, &LINE);
        assert_recent(&line["createdAtMs"], now);
        assert_recent(&line["updatedAtMs"], now);
        assert!(line["createdAtMs"].as_i64() <= line["updatedAtMs"].as_i64(), "{line}");
        assert_eq!(
            (&line["title"], &line["titleLocked"], &line["titleSource"]),
            (&json!(title), &json!(false), &json!("auto"))
        );
    }
    Ok(())
}

#[tokio::test]
async fn one_session_with_its_history() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let start = json!({"prompt": "SAY:一 hello\nsecond line", "title": "given"});
    let started = rig.daemon.post("/start", start).await?;
    let (session, thread) = (text(&started.body, "sessionId"), text(&started.body, "threadId"));
    let before = rig.session(&session).await?;
    assert_eq!(rig.daemon.go_on(&session, "SAY:more").await?, "more");

    let shown = rig.session(&session).await?;
    assert_keys(&shown, &["sessionId", "createdAtMs", "updatedAtMs", "threadId", "meta", "history"]);
    assert_eq!((text(&shown, "sessionId"), text(&shown, "threadId")), (session.clone(), thread.clone()));
    assert_eq!(shown["createdAtMs"], before["createdAtMs"]);
    assert!(shown["updatedAtMs"].as_i64() >= before["updatedAtMs"].as_i64());
    let meta = &shown["meta"];
    assert_keys(meta, &["title", "titleLocked", "titleSource", "cwd", "model", "threadId"]);
    assert_eq!((text(meta, "title"), text(meta, "threadId")), ("given".to_owned(), thread));
    assert_eq!(meta["titleLocked"], false);
    assert_eq!(text(meta, "cwd"), rig.lab.project.to_string_lossy());
    assert!(meta["model"].is_null() || meta["model"].is_string(), "{meta}");

    let history = shown["history"].as_array().cloned().unwrap_or_default();
    let now = now_ms()?;
    for message in &history {
        assert_keys(message, &["role", "text", "tsMs"]);
        assert_recent(&message["tsMs"], now);
    }
    assert!(history.is_sorted_by_key(|message| message["tsMs"].as_i64()), "{shown}");
    let said: Vec<_> = history.iter().map(|message| (text(message, "role"), text(message, "text"))).collect();
    let expected =
        [("user", "SAY:一 hello\nsecond line"), ("assistant", "一 hello"), ("user", "SAY:more"), ("assistant", "more")];
    assert_eq!(said, expected.map(|(role, text)| (role.to_owned(), text.to_owned())));
    Ok(())
}

#[tokio::test]
async fn rename_and_autoname_say_ok() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("first prompt").await?;
    let door = rig.tcp();
    let autonamed = Call::json("/sessions/autoname", &json!({"sessionId": session})).ask(&door).await?;
    assert_eq!((autonamed.status, autonamed.body), (200, json!({"ok": true, "title": "first prompt"})));
    let rename = json!({"sessionId": session, "title": "mine"});
    let renamed = Call::json("/sessions/rename", &rename).ask(&door).await?;
    assert_eq!((renamed.status, renamed.body), (200, json!({"ok": true})));
    let list = Call::get("/sessions").ask(&door).await?;
    let line = &list.body["sessions"][0];
    assert_eq!(
        (&line["title"], &line["titleLocked"], &line["titleSource"]),
        (&json!("mine"), &json!(true), &json!("manual"))
    );
    Ok(())
}

#[tokio::test]
async fn health_tells_strangers_less() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    let agent = rig.daemon.agent().await?;
    let stranger = Call::get("/health").ask(&rig.tcp()).await?;
    assert_eq!(stranger.status, 200);
    assert_eq!(stranger.body, json!({"ok": true, "pid": agent["pid"], "ready": true, "authRequired": true}));
    let known = Call::get("/health").token("sesame").ask(&rig.tcp()).await?;
    let local = Call::get("/health").ask(&rig.socket()).await?;
    for reply in [known, local] {
        assert_eq!(reply.status, 200);
        assert_keys(&reply.body, &["ok", "pid", "ready", "authRequired", "version", "agent"]);
        assert_eq!((&reply.body["ok"], &reply.body["ready"]), (&json!(true), &json!(true)));
        assert_eq!((&reply.body["pid"], &reply.body["authRequired"]), (&agent["pid"], &json!(true)));
        assert!(reply.body["pid"].is_u64() && !text(&reply.body, "version").is_empty(), "{reply:?}");
    }
    for path in ["/healthz", "/readyz"] {
        let stranger = Call::get(path).send(&rig.tcp()).await?;
        assert_eq!(stranger.status, 200, "{path}");
        assert!(!stranger.text().contains("0.169.0"), "details for a stranger: {}", stranger.text());
        assert_eq!(Call::get(path).send(&rig.socket()).await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_agent_of_v1() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
        let reply = Call::get("/v1/agent").ask(&door).await?;
        assert_eq!(reply.status, 200);
        let agent = reply.body;
        // `program` and `pinned` are more than the first version had: which Codex runs is what an operator asks first.
        let keys = ["status", "backend", "version", "supported", "program", "pinned", "pid", "startedAt", "restarts"];
        assert_keys(&agent, &keys);
        assert_eq!((text(&agent, "status"), text(&agent, "version")), ("ready".to_owned(), "0.169.0".to_owned()));
        assert!(text(&agent, "backend").contains("app"), "{agent}");
        assert!(!agent["supported"].is_null() && agent["pid"].is_u64(), "{agent}");
        assert_eq!(agent["restarts"], 0);
        // RFC 3339, UTC, milliseconds: 2026-11-22T10:11:12.345Z
        let at = text(&agent, "startedAt");
        assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes().get(19) == Some(&b'.'), "{at}");
    }
    rig.daemon.kill_codex().await?;
    let agent = rig.daemon.agent().await?;
    assert!(agent["restarts"].as_u64() >= Some(1), "{agent}");
    Ok(())
}

#[tokio::test]
async fn unknown_fields_and_any_content_type_are_taken() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let body = json!({"prompt": "SAY:ok", "bogus": {"deep": [1]}, "developerInstructions": 5}).to_string();
    let door = rig.tcp();
    assert_answered(&Call::post("/start", body.clone()).ask(&door).await?, "ok");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"] {
        let call = Call::post("/start", body.clone()).header("Content-Type", kind);
        assert_answered(&call.ask(&door).await?, "ok");
    }
    let call = Call::post("/start", body.clone()).chunked();
    assert_answered(&call.ask(&door).await?, "ok");
    let waiting = Call::post("/start", body).header("Expect", "100-continue");
    assert_answered(&waiting.ask(&door).await?, "ok");
    Ok(())
}

#[tokio::test]
async fn a_failed_turn_is_an_answer() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    for script in ["FAIL:500", "FAIL:400", "FAIL:429", "CONTEXT", "CUT"] {
        let reply = rig.daemon.post("/start", json!({"prompt": script})).await?;
        assert_eq!(reply.status, 200, "{script}: {reply:?}");
        assert_keys(&reply.body, &["sessionId", "threadId", "content", "structuredContent", "isError"]);
        assert_eq!(reply.body["isError"], true);
        let content = reply.body["content"].as_array().cloned().unwrap_or_default();
        assert_eq!(content.len(), 1, "{reply:?}");
        assert_keys(&content[0], &["type", "text"]);
        assert!(!text(&content[0], "text").trim().is_empty(), "{reply:?}");
        let session = text(&reply.body, "sessionId");
        assert_eq!(rig.daemon.go_on(&session, "SAY:on we go").await?, "on we go", "after {script}");
    }
    rig.assert_calm();
    Ok(())
}
