//! The client against a small server of its own: what it sends, and what it makes of what comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::{convert::Infallible, fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use client::{Client, Continue, Error, Method, SHORT_LIMIT, Start};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
};
use types::{Code, DaemonFile, Timestamp};

/// A request as it arrived: its line, headers and body in one text.
type Heard = mpsc::UnboundedReceiver<String>;

#[derive(Clone)]
struct Script {
    status: u16,
    body: Arc<str>,
    heard: mpsc::UnboundedSender<String>,
}

impl Script {
    fn new(status: u16, body: &str) -> (Self, Heard) {
        let (heard, hear) = mpsc::unbounded_channel();
        (Self { status, body: body.into(), heard }, hear)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let _ = self.heard.send(format!("{} {}\n{:?}\n{text}", parts.method, parts.uri, parts.headers));
        let mut response = Response::new(Full::from(self.body.to_string()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        Ok(response)
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| self.clone().answer(request));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn on_tcp(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().converse(stream));
            }
        });
        url
    }

    #[cfg(unix)]
    fn on_socket(self, path: &Path) {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().converse(stream));
            }
        });
    }
}

fn announce(store: &Path, http: Option<&str>, socket: Option<&Path>) {
    let file = DaemonFile {
        pid: 1,
        started_at: Timestamp::from_millis(0),
        version: "2.0.0".into(),
        http: http.map(str::to_owned),
        socket: socket.map(Path::to_owned),
    };
    fs::write(store.join(DaemonFile::NAME), serde_json::to_vec(&file).unwrap()).unwrap();
}

const ANSWER: &str = r#"{"sessionId":"s1","threadId":"t1","content":[{"type":"text","text":"hi"}],"structuredContent":{"threadId":"t1","content":"hi"},"ignoredOverrides":["cwd"],"new":{"field":1}}"#;

#[cfg(unix)]
#[tokio::test]
async fn by_the_socket_a_turn_is_started_in_the_name_of_the_command_line() {
    let store = tempfile::tempdir().unwrap();
    let socket = store.path().join("codexd.sock");
    let (script, mut heard) = Script::new(200, ANSWER);
    script.on_socket(&socket);
    announce(store.path(), Some("http://127.0.0.1:1"), Some(&socket));

    let client = Client::from_store_dir(store.path()).unwrap().from_cli();
    let start = Start { prompt: "hello".into(), sandbox: Some("read-only".into()), ..Start::default() };
    let answer = client.start(&start, SHORT_LIMIT).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.is_error), ("hi", false));
    assert_eq!((answer.session_id.as_str(), &answer.ignored_overrides[..]), ("s1", &["cwd".to_owned()][..]));
    assert_eq!(answer.json, ANSWER, "fields of a newer daemon are passed on");

    let heard = heard.recv().await.unwrap();
    assert!(heard.starts_with("POST /start\n"), "{heard}");
    assert!(heard.ends_with(r#"{"prompt":"hello","sandbox":"read-only"}"#), "{heard}");
    assert!(heard.contains(r#""x-codexd-origin": "cli""#) && heard.contains(r#""host": "localhost""#), "{heard}");
    assert_eq!(client.daemon().unwrap().version, "2.0.0");
}

#[tokio::test]
async fn over_tcp_a_token_is_shown_and_never_printed() {
    let (script, mut heard) = Script::new(200, r#"{"sessions":[{"sessionId":"s1","updatedAtMs":5,"title":"x"}]}"#);
    let url = script.on_tcp().await;
    let client = Client::tcp(&url, Some("cdx_secret")).unwrap();
    let found = client.search("a&b ü", Some(3)).await.unwrap();
    assert_eq!(found.sessions[0].session_id, "s1");
    let heard = heard.recv().await.unwrap();
    assert!(heard.starts_with("GET /sessions/search?q=a%26b%20%C3%BC&limit=3\n"), "{heard}");
    assert!(heard.contains("\"Bearer cdx_secret\""), "{heard}");
    assert!(!format!("{client:?}").contains("cdx_secret"));
    for bad in ["https://127.0.0.1:1", "127.0.0.1:1", "http://a@b/", "http://x/path", ""] {
        assert!(matches!(Client::tcp(bad, None), Err(Error::BadAddress { .. })), "{bad}");
    }
}

#[tokio::test]
async fn refusals_of_both_forms_keep_their_reason_and_ids() {
    let (script, _heard) = Script::new(
        504,
        r#"{"error":"the turn is still running","code":"AGENT_TIMEOUT","sessionId":"s1","turnId":"u1"}"#,
    );
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let further = Continue { session_id: "s1".into(), prompt: "x".into() };
    match client.continue_(&further, SHORT_LIMIT).await.unwrap_err() {
        Error::Refused { status: 504, code: Some(Code::AgentTimeout), message, session_id, turn_id } => {
            assert_eq!(message, "the turn is still running");
            assert_eq!((session_id.as_deref(), turn_id.as_deref()), (Some("s1"), Some("u1")));
        }
        other => panic!("{other:?}"),
    }

    let (script, _heard) = Script::new(409, r#"{"title":"Busy","detail":"it is busy","code":"A_NEWER_CODE"}"#);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    match client.session("s1").await.unwrap_err() {
        Error::Refused { status: 409, code: None, message, .. } => assert_eq!(message, "it is busy"),
        other => panic!("{other:?}"),
    }

    let (script, _heard) = Script::new(502, "<html>a proxy\nsays so</html>");
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.health().await.unwrap_err().to_string(), "HTTP 502: <html>a proxy");
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
async fn a_daemon_that_is_not_there_is_told_from_one_that_is_dead() {
    let store = tempfile::tempdir().unwrap();
    let none = Client::from_store_dir(store.path()).unwrap_err();
    assert!(matches!(none, Error::NoDaemon { stale: false, .. }), "{none:?}");
    assert!(none.to_string().contains("start one with `codexd serve`"), "{none}");

    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    announce(store.path(), Some(&format!("http://127.0.0.1:{port}")), None);
    let dead = Client::from_store_dir(store.path()).unwrap().health().await.unwrap_err();
    assert!(matches!(dead, Error::NoDaemon { stale: true, .. }), "{dead:?}");
    #[cfg(unix)]
    {
        announce(store.path(), None, Some(&store.path().join("codexd.sock")));
        let dead = Client::from_store_dir(store.path()).unwrap().health().await.unwrap_err();
        assert!(matches!(dead, Error::NoDaemon { stale: true, .. }), "{dead:?}");
    }
    let refused = Client::tcp(&format!("http://127.0.0.1:{port}"), None).unwrap().health().await.unwrap_err();
    assert!(matches!(refused, Error::Transport { .. }), "no store is concerned: {refused:?}");

    for damaged in ["", "[]", r#"{"pid":1,"startedAt":"2026-01-01T00:00:00Z","version":"1","http":null,"socket":null}"#]
    {
        fs::write(store.path().join(DaemonFile::NAME), damaged).unwrap();
        let error = Client::from_store_dir(store.path()).unwrap_err();
        assert!(matches!(error, Error::DaemonFile { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn nothing_waits_without_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::tcp(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let limit = Duration::from_millis(50);
    let error = client.start(&Start::default(), limit).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");

    // Somebody who hangs up in the middle of the answer.
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        // The first connection is the one that timed out.
        let _ = listener.accept().await;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    });
    let error = client.health().await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
}
