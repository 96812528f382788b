//! What is made of an answer, also of one that is late, cut off or none of ours.

use std::time::Duration;

use bytes::Bytes;
use client::{Client, Error, Method, NewTurn, SHORT_LIMIT, SessionQuery, TranscriptFormat};
use tokio::net::TcpListener;
use types::Code;

use crate::script::Script;

#[tokio::test]
async fn a_transcript_comes_whole_or_not_at_all() {
    let (script, mut heard) = Script::new(200, "# x\n");
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let mut download = client.transcript("s1", TranscriptFormat::Markdown).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = download.piece().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    assert_eq!(text, b"# x\n");
    assert!(heard.recv().await.unwrap().starts_with("GET /v1/sessions/s1/transcript?format=markdown\n"));

    let (script, _heard) = Script::new(404, r#"{"detail":"there is no session s1","code":"NO_SESSION"}"#);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let error = client.transcript("s1", TranscriptFormat::Json).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code: Some(Code::NoSession), .. }), "{error:?}");

    // A daemon that dies in the middle of it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::tcp(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await.unwrap();
    });
    let mut download = client.transcript("s1", TranscriptFormat::Json).await.unwrap();
    assert_eq!(download.piece().await.unwrap().unwrap(), "half");
    let error = download.piece().await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }) && error.is_cut(), "{error:?}");
}

#[tokio::test]
async fn refusals_keep_their_reason_and_ids() {
    let (script, _heard) = Script::new(
        409,
        r#"{"type":"urn:codexd:problem:TURN_ACTIVE","title":"A turn is active","status":409,"detail":"it is at work","code":"TURN_ACTIVE","retryable":false,"sessionId":"s1","turnId":"u1"}"#,
    );
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    match client.submit("s1", &NewTurn::default(), None, None).await.unwrap_err() {
        Error::Refused { status: 409, code: Some(Code::TurnActive), message, retryable, session_id, turn_id } => {
            assert_eq!((message.as_str(), retryable), ("it is at work", false));
            assert_eq!((session_id.as_deref(), turn_id.as_deref()), (Some("s1"), Some("u1")));
        }
        other => panic!("{other:?}"),
    }

    let (script, _heard) = Script::new(409, r#"{"title":"Busy","code":"A_NEWER_CODE","retryable":true}"#);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    match client.session("s1").await.unwrap_err() {
        Error::Refused { status: 409, code: None, message, retryable: true, .. } => assert_eq!(message, "Busy"),
        other => panic!("{other:?}"),
    }

    let (script, _heard) = Script::new(503, r#"{"detail":"codexd is stopping","code":"SHUTTING_DOWN"}"#);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert!(client.agent().await.unwrap_err().is_cut());

    let (script, _heard) = Script::new(502, "<html>a proxy\nsays so</html>");
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.agent().await.unwrap_err().to_string(), "HTTP 502: <html>a proxy");
}

#[tokio::test]
async fn a_daemon_without_the_call_is_an_old_one() {
    let (script, _heard) = Script::new(404, r#"{"detail":"there is nothing at …","code":"NOT_FOUND","status":404}"#);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let error = client.sessions(&SessionQuery::default()).await.unwrap_err();
    assert!(matches!(&error, Error::TooOld { call } if call == "GET /v1/sessions"), "{error:?}");
    assert!(error.to_string().contains("older") && error.to_string().contains("codexd serve"), "{error}");
    let unknown_name = client.revoke_token("x").await.unwrap_err();
    assert!(matches!(&unknown_name, Error::Refused { code: Some(Code::NotFound), .. }), "{unknown_name:?}");
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error_and_the_raw_request_takes_all() {
    let (script, _heard) = Script::new(200, "{}");
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let error = client.agent().await.unwrap_err().to_string();
    assert!(error.starts_with("the answer to GET /v1/agent can't be understood"), "{error}");

    let (script, mut heard) = Script::new(400, "no");
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let (status, body) =
        client.request(Method::POST, "/start", Some(Bytes::from_static(b"\xff")), SHORT_LIMIT).await.unwrap();
    assert_eq!((status.as_u16(), &body[..]), (400, &b"no"[..]));
    assert!(heard.recv().await.unwrap().starts_with("POST /start\n"));
}

#[tokio::test]
async fn nothing_waits_without_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::tcp(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let limit = Duration::from_millis(50);
    let error = client.request(Method::GET, "/v1/agent", None, limit).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");

    // Somebody who hangs up in the middle of the answer.
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        // The first connection is the one that timed out.
        let _ = listener.accept().await;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    });
    let error = client.agent().await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
}
