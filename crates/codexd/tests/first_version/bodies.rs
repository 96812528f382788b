//! How large a body, and a prompt, may be.

use anyhow::Result;
use serde_json::json;

use crate::{
    booted::{Booted, assert_answered, assert_refused},
    wire::Call,
};

/// A good `/start` body of exactly that many bytes.
fn sized(bytes: usize) -> String {
    let body = json!({"prompt": "SAY:ok\n"}).to_string();
    let (head, tail) = body.split_at(body.len() - 2);
    format!("{head}{}{tail}", "x".repeat(bytes - body.len()))
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_once() -> Result<()> {
    let booted = Booted::new(&["--no-auth"]).await?;
    for door in [booted.tcp(), booted.socket()] {
        for size in [262_145, 300_000, 5_000_000] {
            let call = Call::post("/start", sized(size));
            assert_refused(&call.clone().ask(&door).await?, 413, "BODY_TOO_LARGE");
            assert_refused(&call.chunked().ask(&door).await?, 413, "BODY_TOO_LARGE");
        }
        // Also where no such body could do anything.
        for path in ["/continue", "/reply", "/sessions/rename", "/sessions/autoname"] {
            assert_refused(&Call::post(path, sized(300_000)).ask(&door).await?, 413, "BODY_TOO_LARGE");
        }
    }
    assert_eq!(booted.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    for door in [booted.tcp(), booted.socket()] {
        let call = Call::post("/start", sized(262_144));
        assert_answered(&call.clone().ask(&door).await?, "ok");
        assert_answered(&call.chunked().ask(&door).await?, "ok");
    }
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn the_limit_can_be_set() -> Result<()> {
    for (flag, limit) in [("1000", 1000), ("2KiB", 2048), ("1MiB", 1 << 20)] {
        let booted = Booted::new(&["--no-auth", "--max-body-bytes", flag]).await?;
        let within = Call::post("/start", sized(limit));
        assert_answered(&within.clone().ask(&booted.tcp()).await?, "ok");
        assert_answered(&within.chunked().ask(&booted.socket()).await?, "ok");
        let over = Call::post("/start", sized(limit + 1));
        assert_refused(&over.clone().ask(&booted.socket()).await?, 413, "BODY_TOO_LARGE");
        assert_refused(&over.chunked().ask(&booted.tcp()).await?, 413, "BODY_TOO_LARGE");
    }
    Ok(())
}

#[tokio::test]
async fn a_prompt_that_codex_would_not_take() -> Result<()> {
    let booted = Booted::new(&["--no-auth", "--max-body-bytes", "8MiB"]).await?;
    let (session, _) = booted.daemon.start("SAY:before").await?;
    let thread = booted.session(&session).await?["threadId"].clone();
    for size in [(1 << 20) + 1, 3 << 20] {
        let prompt = "x".repeat(size);
        for door in [booted.tcp(), booted.socket()] {
            for (path, body) in [
                ("/start", json!({"prompt": prompt})),
                ("/continue", json!({"sessionId": session, "prompt": prompt})),
                ("/reply", json!({"threadId": thread, "prompt": prompt})),
            ] {
                assert_refused(&Call::json(path, &body).ask(&door).await?, 422, "INPUT_TOO_LARGE");
            }
        }
    }
    let list = booted.daemon.get("/sessions").await?.body;
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(booted.session(&session).await?["history"].as_array().map(Vec::len), Some(2));
    // The largest that it takes, and the session goes on.
    let largest = "y".repeat(1 << 20);
    let reply = Call::json("/start", &json!({"prompt": largest})).ask(&booted.tcp()).await?;
    assert_answered(&reply, &format!("echo: {}", "y".repeat(200)));
    assert_eq!(booted.daemon.go_on(&session, "SAY:after").await?, "after");
    booted.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_large_answer_arrives_whole() -> Result<()> {
    let booted = Booted::new(&["--no-auth"]).await?;
    for door in [booted.tcp(), booted.socket()] {
        let reply = Call::json("/start", &json!({"prompt": "BIG:2000000"})).ask(&door).await?;
        assert_eq!(reply.status, 200);
        let text = reply.body["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(text.len(), 2_000_000);
        assert!(text.starts_with("00000001 a line of a big answer\n00000002") && text.ends_with("END"));
        assert_eq!(reply.body["structuredContent"]["content"], text);
    }
    Ok(())
}
