//! Bodies: what is wrong with them is said in a sentence that names the field.

use axum::body::Body;
use http_api::Options;

use crate::daemon::{Daemon, request};

#[tokio::test]
async fn mistakes_are_named() {
    let daemon = Daemon::open().await;
    for (path, body, said) in [
        ("/start", &b""[..], "the body is empty"),
        ("/start", b"hello", "not JSON"),
        ("/start", b"{\"prompt\":", "not JSON"),
        ("/start", b"{\"prompt\":\"a\"} x", "not JSON"),
        ("/start", b"\xef\xbb\xbf{}", "not JSON"),
        ("/start", b"{\"prompt\":\"\xff\"}", "not UTF-8"),
        ("/start", b"{\"prompt\":\"\\ud800\"}", "not JSON"),
        ("/start", b"[]", "a JSON object, not an array"),
        ("/start", b"\"prompt\"", "a JSON object, not a string"),
        ("/start", b"null", "a JSON object, not null"),
        ("/start", b"7", "a JSON object, not a number"),
        ("/start", b"{}", "`prompt` is missing"),
        ("/start", b"{\"prompt\":null}", "`prompt` is missing"),
        ("/start", b"{\"prompt\":7}", "`prompt` must be a string, not a number"),
        ("/start", b"{\"prompt\":[\"a\"]}", "`prompt` must be a string, not an array"),
        ("/start", b"{\"prompt\":\" \"}", "the prompt is empty"),
        ("/start", b"{\"prompt\":\"a\",\"title\":{}}", "`title` must be a string, not an object"),
        ("/start", b"{\"prompt\":\"a\",\"model\":true}", "`model` must be a string"),
        ("/start", b"{\"prompt\":\"a\",\"cwd\":1}", "`cwd` must be a string"),
        ("/start", b"{\"prompt\":\"a\",\"sandbox\":\"none\"}", "`sandbox` must be one of read-only"),
        ("/start", b"{\"prompt\":\"a\",\"sandbox\":\"workspace-read\"}", "`sandbox` must be one of read-only"),
        ("/start", b"{\"prompt\":\"a\",\"sandbox\":\"\"}", "`sandbox` must be one of read-only"),
        ("/start", b"{\"prompt\":\"a\",\"approval_policy\":\"trusted\"}", "`approval_policy` must be one of untrusted"),
        ("/continue", b"{\"prompt\":\"a\"}", "`sessionId` is missing"),
        ("/continue", b"{\"sessionId\":\"a\"}", "`prompt` is missing"),
        ("/reply", b"{\"prompt\":\"a\"}", "`threadId` is missing"),
        ("/reply", b"{\"threadId\":5,\"prompt\":\"a\"}", "`threadId` must be a string"),
        ("/sessions/rename", b"{\"sessionId\":\"a\"}", "`title` is missing"),
        (
            "/sessions/autoname",
            b"{\"sessionId\":\"a\",\"force\":\"yes\"}",
            "`force` must be true or false, not a string",
        ),
    ] {
        let answered = daemon.send(request("POST", path).body(Body::from(body)).unwrap()).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answered.refused(), (400, "BAD_REQUEST"), "{path} {shown}");
        assert!(answered.json["error"].as_str().unwrap().contains(said), "{path} {shown}: {}", answered.json);
    }
    let deep = format!("{{\"prompt\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(daemon.send(request("POST", "/start").body(Body::from(deep)).unwrap()).await.refused().0, 400);
    assert!(daemon.engine.sessions(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn null_is_absent_and_unknown_fields_are_ignored() {
    let daemon = Daemon::open().await;
    let body = serde_json::json!({
        "prompt": "hi", "title": null, "model": null, "sandbox": null, "approval_policy": null, "cwd": null, "future": [1],
    });
    let answered = daemon.post("/start", body).await.ok();
    assert!(answered.get("ignoredOverrides").is_none(), "{answered}");
}

#[tokio::test]
async fn the_limit_is_exact() {
    let daemon = Daemon::start(Options { open: true, max_body_bytes: 100, ..Options::default() }).await;
    let body = |length: usize| {
        let frame = r#"{"prompt":""}"#.len();
        format!(r#"{{"prompt":"{}"}}"#, "x".repeat(length - frame))
    };
    daemon.send(request("POST", "/start").body(Body::from(body(100))).unwrap()).await.ok();
    let over = daemon.send(request("POST", "/start").body(Body::from(body(101))).unwrap()).await;
    assert_eq!(over.refused(), (413, "BODY_TOO_LARGE"));
    assert_eq!(over.header("connection"), "close");
}
