//! How large a body, and a prompt, may be.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused},
    wire::{Call, Door, exchange, raw},
};

/// A good `/start` body of exactly that many bytes.
fn sized(bytes: usize) -> String {
    let body = json!({"prompt": "SAY:ok\n"}).to_string();
    let (head, tail) = body.split_at(body.len() - 2);
    format!("{head}{}{tail}", "x".repeat(bytes - body.len()))
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_once() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
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
    assert_eq!(rig.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    for door in [rig.tcp(), rig.socket()] {
        let call = Call::post("/start", sized(262_144));
        assert_answered(&call.clone().ask(&door).await?, "ok");
        assert_answered(&call.chunked().ask(&door).await?, "ok");
    }
    rig.assert_calm();
    Ok(())
}

/// A connection that stays open goes on with the next request, never with what is left of a refused body.
#[tokio::test]
async fn a_refused_body_is_not_read_as_a_request() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    let Door::Tcp(address) = rig.tcp() else { anyhow::bail!("not TCP") };
    let inner = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let body = inner.repeat(300_000 / inner.len());
    let last = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let known = "Authorization: Bearer sesame\r\n";
    for (headers, status) in
        [(known, 413), ("", 401), ("Origin: null\r\n", 403), (&format!("Origin: http://{address}\r\n{known}"), 415)]
    {
        for chunked in [false, true] {
            let mut request = format!("POST /start HTTP/1.1\r\nHost: {address}\r\n{headers}");
            if chunked {
                request += &format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            } else {
                request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
            }
            let came = raw(&rig.tcp(), format!("{request}{last}").as_bytes()).await?;
            let came = String::from_utf8_lossy(&came).into_owned();
            let answers: Vec<&str> = came.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
            let status = status.to_string();
            assert!(
                answers == [status.as_str()] || answers == [status.as_str(), "200"],
                "{headers:?} {chunked}: {answers:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_length_over_the_limit_is_enough() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let Door::Tcp(address) = rig.tcp() else { anyhow::bail!("not TCP") };
    for length in ["300000", "10000000000", "18446744073709551615"] {
        let head =
            format!("POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let answer =
            timeout(Duration::from_secs(20), exchange(&rig.tcp(), head.as_bytes())).await.context(length)??;
        // The last one is the largest number there is: whoever reads the head may refuse it in his own way.
        let refused = answer.status == 413 || (length.len() == 20 && (400..500).contains(&answer.status));
        assert!(refused, "{length}: {} {}", answer.status, answer.text());
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn the_limit_can_be_set() -> Result<()> {
    for (flag, limit) in [("1000", 1000), ("2KiB", 2048), ("1MiB", 1 << 20)] {
        let rig = Rig::new(&["--no-auth", "--max-body-bytes", flag]).await?;
        let within = Call::post("/start", sized(limit));
        assert_answered(&within.clone().ask(&rig.tcp()).await?, "ok");
        assert_answered(&within.chunked().ask(&rig.socket()).await?, "ok");
        let over = Call::post("/start", sized(limit + 1));
        assert_refused(&over.clone().ask(&rig.socket()).await?, 413, "BODY_TOO_LARGE");
        assert_refused(&over.chunked().ask(&rig.tcp()).await?, 413, "BODY_TOO_LARGE");
    }
    Ok(())
}

#[tokio::test]
async fn a_prompt_that_codex_would_not_take() -> Result<()> {
    let rig = Rig::new(&["--no-auth", "--max-body-bytes", "8MiB"]).await?;
    let (session, _) = rig.daemon.start("SAY:before").await?;
    let thread = rig.session(&session).await?["threadId"].clone();
    for size in [(1 << 20) + 1, 3 << 20] {
        let prompt = "x".repeat(size);
        for door in [rig.tcp(), rig.socket()] {
            for (path, body) in [
                ("/start", json!({"prompt": prompt})),
                ("/continue", json!({"sessionId": session, "prompt": prompt})),
                ("/reply", json!({"threadId": thread, "prompt": prompt})),
            ] {
                assert_refused(&Call::json(path, &body).ask(&door).await?, 422, "INPUT_TOO_LARGE");
            }
        }
    }
    let list = rig.daemon.get("/sessions").await?.body;
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(rig.session(&session).await?["history"].as_array().map(Vec::len), Some(2));
    // The largest that it takes, and the session goes on.
    let largest = "y".repeat(1 << 20);
    let reply = Call::json("/start", &json!({"prompt": largest})).ask(&rig.tcp()).await?;
    assert_answered(&reply, &format!("echo: {}", "y".repeat(200)));
    assert_eq!(rig.daemon.go_on(&session, "SAY:after").await?, "after");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_large_answer_arrives_whole() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
        let reply = Call::json("/start", &json!({"prompt": "BIG:2000000"})).ask(&door).await?;
        assert_eq!(reply.status, 200);
        let text = reply.body["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(text.len(), 2_000_000);
        assert!(text.starts_with("00000001 a line of a big answer\n00000002") && text.ends_with("END"));
        assert_eq!(reply.body["structuredContent"]["content"], text);
    }
    Ok(())
}
