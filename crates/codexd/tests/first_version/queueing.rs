//! Turns on a busy session wait for each other; turns of different sessions do not. No turn belongs to the connection that asked for it.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Daemon, eventually};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused, of_method, text},
    wire::{Call, Door},
};

/// The texts of a history.
async fn said(daemon: &Daemon, session: &str) -> Option<Vec<String>> {
    let shown = daemon.get(&format!("/sessions/{session}")).await.ok()?;
    let history = shown.body["history"].as_array()?;
    Some(history.iter().filter_map(|message| message["text"].as_str()).map(str::to_owned).collect())
}

/// Waits until Codex was asked for this prompt.
async fn begun(rig: &Rig, prompt: &str) -> Result<()> {
    let what = format!("Codex to hear {prompt:?}");
    eventually(&what, async || {
        let heard = rig.heard().ok()?;
        of_method(&heard, "turn/start").iter().any(|params| params["input"][0]["text"] == prompt).then_some(())
    })
    .await
}

#[tokio::test]
async fn two_prompts_on_a_busy_session_are_answered_in_turn() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("SAY:begin").await?;
    let thread = text(&rig.session(&session).await?, "threadId");
    let door = rig.tcp();
    let slow = Call::json("/continue", &json!({"sessionId": session, "prompt": "SLOW:15:20"}));
    let second = Call::json("/continue", &json!({"sessionId": session, "prompt": "SAY:second"}));
    let third = Call::json("/reply", &json!({"threadId": thread, "prompt": "RECALL"}));
    let later = async {
        begun(&rig, "SLOW:15:20").await?;
        let second = async {
            let reply = second.ask(&door).await?;
            // The slow one was not cut off for it.
            assert!(
                said(&rig.daemon, &session)
                    .await
                    .context("no history")?
                    .contains(&"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15".to_owned())
            );
            anyhow::Ok(reply)
        };
        let third = async {
            eventually("the second one to be in the queue", async || {
                said(&rig.daemon, &session).await?.contains(&"SAY:second".to_owned()).then_some(())
            })
            .await?;
            third.ask(&door).await
        };
        tokio::try_join!(second, third)
    };
    let (slow, (second, third)) = tokio::try_join!(slow.ask(&door), later)?;
    assert_answered(&slow, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
    assert_answered(&second, "second");
    assert_eq!(third.status, 200, "{third:?}");
    let recalled = third.body["content"][0]["text"].as_str().unwrap_or_default();
    assert!(recalled.ends_with("user: SAY:second\nassistant: second\ncount: 6"), "{recalled}");
    for reply in [&slow, &second, &third] {
        assert_eq!((text(&reply.body, "sessionId"), text(&reply.body, "threadId")), (session.clone(), thread.clone()));
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn twenty_sessions_at_the_same_time_get_their_own_answers() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let mut starts = JoinSet::new();
    for n in 0..20 {
        let door = rig.tcp();
        starts.spawn(async move {
            let prompt = format!("say {n}\nSLOW:{}:10", n + 1);
            (n, Call::json("/start", &json!({"prompt": prompt})).ask(&door).await)
        });
    }
    while let Some(done) = starts.join_next().await {
        let (n, reply) = done?;
        let counted: Vec<String> = (1..=n + 1).map(|i| i.to_string()).collect();
        assert_answered(&reply?, &counted.join(" "));
    }
    let list = rig.daemon.get("/sessions").await?.body;
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(20));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_queue_has_an_end() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (session, _) = rig.daemon.start("SAY:begin").await?;
    let mut waiting = JoinSet::new();
    let body = |prompt: &str| json!({"sessionId": session, "prompt": prompt});
    let (hang, door) = (Call::json("/continue", &body("HANG")), rig.tcp());
    waiting.spawn(async move { hang.ask(&door).await });
    begun(&rig, "HANG").await?;
    // Sixteen may wait behind it.
    for n in 0..20 {
        let (call, door) = (Call::json("/continue", &body(&format!("SAY:{n}"))), rig.tcp());
        waiting.spawn(async move { call.ask(&door).await });
    }
    for _ in 0..4 {
        let refused = waiting.join_next().await.context("none was refused")???;
        assert_refused(&refused, 429, "QUEUE_FULL");
    }
    // The next ones would be refused, too: the sixteen are still there.
    assert_refused(&Call::json("/continue", &body("SAY:x")).ask(&rig.tcp()).await?, 429, "QUEUE_FULL");
    assert!(waiting.try_join_next().is_none(), "one of the sixteen was not left waiting");
    // Another session is not concerned.
    assert_eq!(rig.daemon.start("SAY:free").await?.1, "free");
    Ok(())
}

#[tokio::test]
async fn a_turn_goes_on_when_its_caller_leaves() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let Door::Tcp(address) = rig.tcp() else { anyhow::bail!("not TCP") };
    let body = json!({"prompt": "SLOW:10:30"}).to_string();
    let request = format!("POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(&address).await?;
    stream.write_all(request.as_bytes()).await?;
    begun(&rig, "SLOW:10:30").await?;
    drop(stream);
    let answer = eventually("the answer of a turn whose caller left", async || {
        let list = rig.daemon.get("/sessions").await.ok()?.body;
        let session = list["sessions"][0]["sessionId"].as_str()?.to_owned();
        said(&rig.daemon, &session).await?.into_iter().nth(1).filter(|answer| answer.ends_with("10"))
    })
    .await?;
    assert_eq!(answer, "1 2 3 4 5 6 7 8 9 10");
    rig.assert_calm();
    Ok(())
}
