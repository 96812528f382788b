//! Bad input: each gets its status, its code and a sentence, and leaves nothing behind.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    fake_codex_rig::{Rig, assert_keys, assert_refused},
    wire::Call,
};

/// Asserts that no session was made.
async fn assert_no_session(rig: &Rig) -> Result<()> {
    assert_eq!(rig.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    Ok(())
}

#[tokio::test]
async fn prompts_that_are_none() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
        for body in [
            json!({"prompt": ""}),
            json!({}),
            json!({"prompt": null}),
            json!({"prompt": 5}),
            json!({"prompt": ["x"]}),
            json!({"prompt": {"text": "x"}}),
            json!([]),
            json!(null),
            json!("prompt"),
            json!(7),
        ] {
            assert_refused(&Call::json("/start", &body).ask(&door).await?, 400, "BAD_REQUEST");
        }
    }
    assert_no_session(&rig).await?;
    let (session, _) = rig.daemon.start("SAY:x").await?;
    let before = rig.session(&session).await?;
    for prompt in [json!(""), json!(null), json!(5)] {
        let body = json!({"sessionId": session, "prompt": prompt});
        assert_refused(&rig.daemon.post("/continue", body).await?, 400, "BAD_REQUEST");
        let body = json!({"threadId": before["threadId"], "prompt": prompt});
        assert_refused(&rig.daemon.post("/reply", body).await?, 400, "BAD_REQUEST");
    }
    assert_eq!(rig.session(&session).await?["history"], before["history"]);
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn fields_of_a_wrong_type() -> Result<()> {
    let rig = Rig::new(&["--allow-cwd-override", "--allow-sandbox-override", "--allow-approval-override"]).await?;
    for (field, value) in [
        ("title", json!(7)),
        ("model", json!(["m"])),
        ("sandbox", json!(true)),
        ("sandbox", json!({"mode": "read-only"})),
        ("approval_policy", json!(0)),
        ("cwd", json!(5)),
        ("cwd", json!(["/"])),
    ] {
        let mut body = json!({"prompt": "SAY:x"});
        body[field] = value;
        assert_refused(&rig.daemon.post("/start", body).await?, 400, "BAD_REQUEST");
    }
    for (path, body) in [
        ("/continue", json!({"sessionId": 5, "prompt": "x"})),
        ("/continue", json!({"prompt": "x"})),
        ("/continue", json!({"sessionId": null, "prompt": "x"})),
        ("/reply", json!({"threadId": {}, "prompt": "x"})),
        ("/reply", json!({"prompt": "x"})),
    ] {
        assert_refused(&rig.daemon.post(path, body).await?, 400, "BAD_REQUEST");
    }
    assert_no_session(&rig).await
}

#[tokio::test]
async fn bodies_that_are_not_json() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let bodies: [&[u8]; 10] = [
        b"",
        b"prompt=x",
        b"{\"prompt\": \"x\"",
        b"{\"prompt\": \"x\"} {}",
        b"{'prompt': 'x'}",
        b"{\"prompt\": \"\xff\xfe\"}",
        b"{\"prompt\": \"\xc3\"}",
        b"{\"prompt\": \"\\ud800\"}",
        b"\x00\x01\x02",
        b"{\"prompt\": \"line\nbreak\"}",
    ];
    for path in ["/start", "/continue", "/reply", "/sessions/rename", "/sessions/autoname"] {
        for body in bodies {
            let reply = Call::post(path, body).ask(&rig.tcp()).await?;
            assert_refused(&reply, 400, "BAD_REQUEST");
            let reply =
                Call::post(path, body).header("Content-Type", "application/json").chunked().ask(&rig.socket()).await?;
            assert_refused(&reply, 400, "BAD_REQUEST");
        }
        // No body at all.
        assert_refused(&Call::new("POST", path).ask(&rig.tcp()).await?, 400, "BAD_REQUEST");
    }
    // Deep nesting must not end the process.
    let deep = format!("{{\"prompt\": {}", "[".repeat(100_000));
    assert_refused(&Call::post("/start", deep).ask(&rig.tcp()).await?, 400, "BAD_REQUEST");
    assert_no_session(&rig).await?;
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn sessions_that_do_not_exist() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (real, _) = rig.daemon.start("SAY:x").await?;
    let long = "a".repeat(5000);
    let almost = &real[..real.len() - 1];
    let unknown = [
        "nope",
        "019f0000-0000-7000-8000-000000000000",
        "../../etc/passwd",
        "..",
        "a/b",
        "' OR 1=1 --",
        "%",
        "\u{0}",
        "",
        almost,
        long.as_str(),
    ];
    for id in unknown {
        for (path, body) in [
            ("/continue", json!({"sessionId": id, "prompt": "x"})),
            ("/reply", json!({"threadId": id, "prompt": "x"})),
            ("/sessions/rename", json!({"sessionId": id, "title": "x"})),
            ("/sessions/autoname", json!({"sessionId": id})),
        ] {
            let reply = rig.daemon.post(path, body).await?;
            if id.is_empty() {
                // An empty id may as well be called a bad request.
                assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
            } else {
                assert_refused(&reply, 404, "NO_SESSION");
            }
        }
    }
    for id in [
        "nope",
        "019f0000-0000-7000-8000-000000000000",
        "%2E%2E%2Fstore",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "%E8%A9%A6",
        almost,
    ] {
        let reply = Call::get(&format!("/sessions/{id}")).ask(&rig.tcp()).await?;
        assert_refused(&reply, 404, "NO_SESSION");
    }
    // A path that climbs, as it is written.
    let reply = Call::get("/sessions/../daemon.json").ask(&rig.tcp()).await?;
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(rig.session(&real).await?["meta"]["title"], "SAY:x");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn paths_and_methods_that_are_none() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for door in [rig.tcp(), rig.socket()] {
        for path in ["/", "/nope", "/start/", "/START", "/sessions/x/y", "/v2/agent", "/health/x"] {
            let reply = Call::get(path).ask(&door).await?;
            assert_eq!((reply.status, &reply.body["code"]), (404, &json!("NOT_FOUND")), "{path}: {reply:?}");
        }
        for (method, path) in [
            ("GET", "/start"),
            ("GET", "/continue"),
            ("PUT", "/reply"),
            ("DELETE", "/start"),
            ("POST", "/sessions"),
            ("GET", "/sessions/rename"),
            ("PATCH", "/sessions/autoname"),
            ("POST", "/health"),
            ("OPTIONS", "/start"),
            ("OPTIONS", "/sessions"),
            ("POST", "/sessions/search"),
        ] {
            let reply = Call::new(method, path).ask(&door).await?;
            // `rename` could be the id of a session, too, for a reader who is not a writer.
            if (method, path) != ("GET", "/sessions/rename") {
                assert_refused(&reply, 405, "METHOD_NOT_ALLOWED");
            }
            assert!(matches!(reply.status, 404 | 405), "{method} {path}: {reply:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn refusals_of_v1_are_problems() -> Result<()> {
    let rig = Rig::new(&["--token", "sesame"]).await?;
    for (call, status, code) in [
        (Call::get("/v1/agent"), 401, "UNAUTHORIZED"),
        (Call::get("/v1/nope").token("sesame"), 404, "NOT_FOUND"),
        (Call::new("DELETE", "/v1/agent").token("sesame"), 405, "METHOD_NOT_ALLOWED"),
        (Call::get("/v1/agent").token("sesame").host("evil.example"), 421, "BAD_HOST"),
        (Call::get("/v1/agent").token("sesame").origin("http://evil.example"), 403, "BAD_ORIGIN"),
    ] {
        let answer = call.send(&rig.tcp()).await?;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type").concat().split(';').next(), Some("application/problem+json"));
        let problem: Value = answer.reply()?.body;
        for key in ["type", "title", "status", "detail", "code", "retryable"] {
            assert!(problem.get(key).is_some(), "no {key}: {problem}");
        }
        assert_eq!(problem["type"], format!("urn:codexd:problem:{code}"));
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
        assert!(problem["retryable"].is_boolean() && problem["title"].is_string() && problem["detail"].is_string());
    }
    // And of the first version, not.
    let answer = Call::get("/sessions").send(&rig.tcp()).await?;
    assert_eq!(answer.header("content-type").concat().split(';').next(), Some("application/json"));
    assert_keys(&answer.reply()?.body, &["error", "code"]);
    Ok(())
}
