//! The order of the checks: each wins over those after it.

use anyhow::Result;
use serde_json::json;

use crate::{
    fake_codex_rig::{Rig, assert_answered, assert_refused},
    wire::{Answer, Call, Door, raw},
};

const TOKEN: &str = "sesame";

/// A request with what is wrong about it.
#[derive(Clone, Copy)]
struct Wrong {
    host: bool,
    origin: bool,
    token: bool,
    kind: bool,
    size: bool,
    json: bool,
}

impl Wrong {
    const ALL: Self = Self { host: true, origin: true, token: true, kind: true, size: true, json: true };

    fn call(self, method: &str, path: &str, door: &Door) -> Call {
        let Door::Tcp(address) = door else { return Call::new(method, path) };
        let body = match (self.size, self.json) {
            (true, _) => "x".repeat(300_000),
            (false, true) => "no JSON".to_owned(),
            (false, false) => json!({"prompt": "SAY:ok"}).to_string(),
        };
        let mut call = if method == "POST" { Call::post(path, body) } else { Call::new(method, path) };
        if self.host {
            call = call.host("evil.example");
        }
        call = call.origin(&if self.origin { "http://evil.example:1".to_owned() } else { format!("http://{address}") });
        if !self.token {
            call = call.token(TOKEN);
        }
        call.header("Content-Type", if self.kind { "text/plain" } else { "application/json" })
    }
}

#[tokio::test]
async fn each_check_wins_over_the_later_ones() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let door = rig.tcp();
    // From all wrong to all right, one after another.
    let mut wrong = Wrong::ALL;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 421, "BAD_HOST");
    wrong.host = false;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 403, "BAD_ORIGIN");
    wrong.origin = false;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 401, "UNAUTHORIZED");
    wrong.token = false;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 415, "NOT_JSON");
    wrong.kind = false;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 413, "BODY_TOO_LARGE");
    wrong.size = false;
    assert_refused(&wrong.call("POST", "/start", &door).ask(&door).await?, 400, "BAD_REQUEST");
    wrong.json = false;
    assert_answered(&wrong.call("POST", "/start", &door).ask(&door).await?, "ok");
    Ok(())
}

#[tokio::test]
async fn each_check_alone_is_enough() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let door = rig.tcp();
    let right = Wrong { host: false, origin: false, token: false, kind: false, size: false, json: false };
    for (wrong, status, code) in [
        (Wrong { host: true, ..right }, 421, "BAD_HOST"),
        (Wrong { origin: true, ..right }, 403, "BAD_ORIGIN"),
        (Wrong { token: true, ..right }, 401, "UNAUTHORIZED"),
        (Wrong { kind: true, ..right }, 415, "NOT_JSON"),
        (Wrong { size: true, ..right }, 413, "BODY_TOO_LARGE"),
        (Wrong { json: true, ..right }, 400, "BAD_REQUEST"),
        (Wrong { token: true, size: true, ..right }, 401, "UNAUTHORIZED"),
        (Wrong { host: true, token: true, ..right }, 421, "BAD_HOST"),
        (Wrong { kind: true, json: true, ..right }, 415, "NOT_JSON"),
    ] {
        for path in ["/start", "/continue"] {
            assert_refused(&wrong.call("POST", path, &door).ask(&door).await?, status, code);
        }
    }
    assert_eq!(rig.daemon.get("/sessions").await?.body, json!({"sessions": []}));
    Ok(())
}

#[tokio::test]
async fn authority_comes_before_not_found_and_wrong_method() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let door = rig.tcp();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/start", 405),
        ("OPTIONS", "/sessions", 405),
        ("DELETE", "/sessions", 405),
        ("GET", "/sessions/unknown", 404),
        ("PUT", "/v1/agent", 405),
    ] {
        let stranger = Call::new(method, path).send(&door).await?;
        assert_unauthorized(&stranger);
        let known = Call::new(method, path).token(TOKEN).send(&door).await?;
        assert_eq!(known.status, status, "{method} {path}: {}", known.text());
        let elsewhere = Call::new(method, path).host("evil.example").send(&door).await?;
        assert_eq!(elsewhere.status, 421, "{method} {path}: {}", elsewhere.text());
        let foreign = Call::new(method, path).origin("http://evil.example").send(&door).await?;
        assert_eq!(foreign.status, 403, "{method} {path}: {}", foreign.text());
    }
    Ok(())
}

#[track_caller]
fn assert_unauthorized(answer: &Answer) {
    let text = answer.text();
    assert_eq!(answer.status, 401, "{text}");
    assert_eq!(answer.header("www-authenticate"), ["Bearer"], "{text}");
    assert!(text.contains("UNAUTHORIZED") && text.contains("token"), "how to get a token: {text}");
}

#[tokio::test]
async fn health_is_free_of_authority_but_not_of_host_and_origin() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let door = rig.tcp();
    for path in ["/health", "/healthz", "/readyz"] {
        assert_eq!(Call::get(path).send(&door).await?.status, 200, "{path}");
        assert_eq!(Call::get(path).host("evil.example").send(&door).await?.status, 421, "{path}");
        assert_eq!(Call::get(path).origin("http://evil.example").send(&door).await?.status, 403, "{path}");
        assert_eq!(Call::get(path).host("evil.example").origin("null").send(&door).await?.status, 421, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn strangers_are_refused_before_their_body_is_read() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    // Only the heads are sent: who waited for the bodies would have nothing to answer.
    let body = json!({"prompt": "x"}).to_string();
    for (call, status) in [
        (Call::post("/start", body.clone()), "401"),
        (Call::post("/start", body.clone()).chunked(), "401"),
        (Call::post("/start", body.clone()).header("Expect", "100-continue"), "401"),
        (Call::post("/start", body.clone()).token(TOKEN).host("evil.example"), "421"),
        (Call::post("/start", body).token(TOKEN).origin("null"), "403"),
    ] {
        let head = call.head(address);
        let came = tokio::time::timeout(std::time::Duration::from_secs(20), raw(&door, head.as_bytes())).await??;
        let came = String::from_utf8_lossy(&came).into_owned();
        assert!(came.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{came}");
    }
    Ok(())
}

#[tokio::test]
async fn a_content_type_is_asked_for_only_beside_an_origin() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    let body = json!({"prompt": "SAY:ok"}).to_string();
    let own = format!("http://{address}");
    let with = |kind: &str| Call::post("/start", body.clone()).origin(&own).header("Content-Type", kind);
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_answered(&with(kind).ask(&door).await?, "ok");
    }
    for kind in [
        "text/plain",
        "text/plain; a=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonx",
        "",
    ] {
        assert_refused(&with(kind).ask(&door).await?, 415, "NOT_JSON");
    }
    assert_refused(&Call::post("/start", body.clone()).origin(&own).ask(&door).await?, 415, "NOT_JSON");
    assert_answered(&Call::post("/start", body).header("Content-Type", "text/plain").ask(&door).await?, "ok");
    // A request without a body needs no type.
    assert_eq!(Call::get("/sessions").origin(&own).send(&door).await?.status, 200);
    Ok(())
}
