//! The client against a small server of its own: what it sends, and what it makes of what comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::{convert::Infallible, fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use client::{
    ApprovalQuery, Archived, Changes, Client, Error, Method, NewSession, NewTurn, OnBusy, OnHeld, PageQuery,
    SHORT_LIMIT, SessionQuery, TranscriptFormat, Verdict,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
};
use types::{ApprovalStatus, Code, DaemonFile, Decision, Sandbox, SessionStatus, Timestamp, TurnStatus};

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
        if parts.headers.get("idempotency-key").is_some_and(|key| key == "again") {
            response.headers_mut().insert("idempotency-replayed", "true".parse().unwrap());
        }
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

/// No process has it.
const NOBODY: u32 = i32::MAX.unsigned_abs();

fn announce(store: &Path, http: Option<&str>, socket: Option<&Path>) {
    announce_of(NOBODY, store, http, socket);
}

fn announce_of(pid: u32, store: &Path, http: Option<&str>, socket: Option<&Path>) {
    let file = DaemonFile {
        pid,
        process_start: None,
        started_at: Timestamp::now(),
        version: "2.0.0".into(),
        http: http.map(str::to_owned),
        socket: socket.map(Path::to_owned),
    };
    fs::write(store.join(DaemonFile::NAME), serde_json::to_vec(&file).unwrap()).unwrap();
}

const SESSION: &str = r#"{"id":"s1","title":"x","titleSource":"auto","titleLocked":false,"status":"running","cwd":"/w","sandbox":"read-only","approvalPolicy":"on-request","labels":{},"turnCount":1,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z","new":{"field":1}}"#;
const TURN: &str = r#"{"id":"u1","sessionId":"s1","kind":"prompt","status":"queued","delivery":"no","prompt":"hello","declined":[],"origin":"cli","principal":"local","position":1,"createdAt":"2026-01-01T00:00:00.000Z"}"#;

#[cfg(unix)]
#[tokio::test]
async fn by_the_socket_a_session_is_made_in_the_name_of_the_command_line() {
    let store = tempfile::tempdir().unwrap();
    let socket = store.path().join("codexd.sock");
    let answer = format!(r#"{{"session":{SESSION},"turn":{TURN}}}"#);
    let (script, mut heard) = Script::new(201, &answer);
    script.on_socket(&socket);
    announce(store.path(), Some("http://127.0.0.1:1"), Some(&socket));

    let client = Client::from_store_dir(store.path()).unwrap().from_cli();
    let prompt = Some("hello".to_owned());
    let new = NewSession { prompt, sandbox: Some(Sandbox::ReadOnly), ..NewSession::default() };
    let made = client.create_session(&new, Some("k1"), Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!((made.session.id.as_str(), made.session.status), ("s1", SessionStatus::Running));
    let turn = made.turn.as_ref().unwrap();
    assert_eq!((turn.id.as_str(), turn.status, turn.position), ("u1", TurnStatus::Queued, Some(1)));
    assert_eq!(made.json, answer, "fields of a newer daemon are passed on");
    assert!(!made.replayed);

    let said = heard.recv().await.unwrap();
    assert!(said.starts_with("POST /v1/sessions?wait=5\n"), "{said}");
    assert!(said.ends_with(r#"{"prompt":"hello","sandbox":"read-only"}"#), "{said}");
    assert!(said.contains(r#""x-codexd-origin": "cli""#) && said.contains(r#""host": "localhost""#), "{said}");
    assert!(said.contains(r#""idempotency-key": "k1""#), "{said}");
    assert_eq!(client.daemon().unwrap().version, "2.0.0");
    assert!(client.create_session(&new, Some("again"), None).await.unwrap().replayed);
}

#[tokio::test]
async fn over_tcp_a_token_is_shown_and_never_printed() {
    let (script, mut heard) = Script::new(200, &format!(r#"{{"sessions":[{SESSION}],"nextCursor":"c"}}"#));
    let url = script.on_tcp().await;
    let client = Client::tcp(&url, Some("cdx_secret")).unwrap();
    let which = SessionQuery {
        limit: Some(3),
        cursor: Some("a.b".into()),
        status: Some(SessionStatus::WaitingApproval),
        archived: Archived::Too,
        labels: vec![("k".into(), "v&w".into())],
        id_prefix: Some("s1".into()),
    };
    let page = client.sessions(&which).await.unwrap();
    assert_eq!((page.sessions[0].id.as_str(), page.next_cursor.as_deref()), ("s1", Some("c")));
    let said = heard.recv().await.unwrap();
    let line = "GET /v1/sessions?limit=3&cursor=a.b&status=waitingApproval&archived=all&label=k%3Av%26w&idPrefix=s1\n";
    assert!(said.starts_with(line), "{said}");
    assert!(said.contains("\"Bearer cdx_secret\""), "{said}");
    assert!(!format!("{client:?}").contains("cdx_secret"));
    for bad in ["https://127.0.0.1:1", "127.0.0.1:1", "http://a@b/", "http://x/path", ""] {
        assert!(matches!(Client::tcp(bad, None), Err(Error::BadAddress { .. })), "{bad}");
    }
}

#[tokio::test]
async fn each_call_is_one_request() {
    let (script, mut heard) = Script::new(200, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let line = async |heard: &mut Heard| {
        let said = heard.recv().await.unwrap();
        let mut lines = said.lines();
        (lines.next().unwrap().to_owned(), lines.next_back().unwrap_or_default().to_owned())
    };
    client.turn("u/1", Some(Duration::from_secs(55))).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "GET /v1/turns/u%2F1?wait=55");
    client.retry("u1", true, Some("k")).await.unwrap();
    assert_eq!(line(&mut heard).await, ("POST /v1/turns/u1/retry".to_owned(), r#"{"force":true}"#.to_owned()));
    client.delete_session("s1", true, None).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/sessions/s1?thread=delete");
    client.delete_session("s1", false, Some(types::WorktreeFate::Keep)).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/sessions/s1?worktree=keep");
    client.revoke_token("a b").await.unwrap();
    assert_eq!(line(&mut heard).await.0, "DELETE /v1/tokens/a%20b");

    let (script, mut heard) = Script::new(200, SESSION);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    client.change_session("s1", &Changes { archived: Some(true), ..Changes::default() }).await.unwrap();
    assert_eq!(line(&mut heard).await, ("PATCH /v1/sessions/s1".to_owned(), r#"{"archived":true}"#.to_owned()));
    client.change_session("s1", &Changes { cwd: Some("/new".into()), ..Changes::default() }).await.unwrap();
    assert_eq!(line(&mut heard).await, ("PATCH /v1/sessions/s1".to_owned(), r#"{"cwd":"/new"}"#.to_owned()));
    client.autoname("s1", false).await.unwrap();
    assert_eq!(line(&mut heard).await, ("POST /v1/sessions/s1/autoname".to_owned(), r#"{"force":false}"#.to_owned()));

    let (script, mut heard) = Script::new(200, &format!(r#"{{"turns":[{TURN}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let newest = PageQuery { limit: Some(2), newest_first: true, ..PageQuery::default() };
    assert_eq!(client.turns("s1", &newest).await.unwrap().turns.len(), 1);
    assert_eq!(line(&mut heard).await.0, "GET /v1/sessions/s1/turns?limit=2&order=desc");

    let (script, mut heard) =
        Script::new(200, &format!(r#"{{"results":[{{"session":{SESSION},"snippet":"…x…","score":1.5}}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.search("a&b ü", Some(3)).await.unwrap().results[0].snippet, "…x…");
    assert_eq!(line(&mut heard).await.0, "GET /v1/search?q=a%26b%20%C3%BC&limit=3");
}

#[tokio::test]
async fn approvals_are_listed_seen_and_answered() {
    const APPROVAL: &str = r#"{"id":"a1","sessionId":"s1","turnId":"u1","kind":"command","command":"ls","decisions":["accept","cancel"],"status":"pending","requestedAt":"2026-01-01T00:00:00.000Z","expiresAt":"2026-01-02T00:00:00.000Z"}"#;
    let line = async |heard: &mut Heard| {
        let said = heard.recv().await.unwrap();
        let mut lines = said.lines();
        (lines.next().unwrap().to_owned(), lines.next_back().unwrap_or_default().to_owned())
    };
    let (script, mut heard) = Script::new(200, &format!(r#"{{"approvals":[{APPROVAL}]}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    let which = ApprovalQuery { status: Some(ApprovalStatus::Pending), session: Some("s1".into()) };
    assert_eq!(client.approvals(&which).await.unwrap().approvals[0].decisions, [Decision::Accept, Decision::Cancel]);
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals?status=pending&sessionId=s1");
    client.approvals(&ApprovalQuery::default()).await.unwrap();
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals");

    let (script, mut heard) = Script::new(200, APPROVAL);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.approval("a/1").await.unwrap().status, ApprovalStatus::Pending);
    assert_eq!(line(&mut heard).await.0, "GET /v1/approvals/a%2F1");
    client.decide("a1", &Verdict::Decision(Decision::AcceptForSession)).await.unwrap();
    let said = ("POST /v1/approvals/a1".to_owned(), r#"{"decision":"acceptForSession"}"#.to_owned());
    assert_eq!(line(&mut heard).await, said);
    let answers = [("colour".to_owned(), vec!["red".to_owned()])].into();
    client.decide("a1", &Verdict::Answers(answers)).await.unwrap();
    assert_eq!(line(&mut heard).await.1, r#"{"answers":{"colour":["red"]}}"#);

    let (script, mut heard) = Script::new(202, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.interrupt("u1", Some(Duration::from_secs(15))).await.unwrap().id.as_str(), "u1");
    assert_eq!(line(&mut heard).await.0, "POST /v1/turns/u1/interrupt?wait=15");
}

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
async fn a_daemon_that_is_not_there_is_told_from_one_that_is_dead() {
    let store = tempfile::tempdir().unwrap();
    let none = Client::from_store_dir(store.path()).unwrap_err();
    assert!(matches!(none, Error::NoDaemon { stale: false, .. }), "{none:?}");
    assert!(none.to_string().contains("start one with `codexd serve`"), "{none}");

    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    announce(store.path(), Some(&format!("http://127.0.0.1:{port}")), None);
    let dead = Client::from_store_dir(store.path()).unwrap().agent().await.unwrap_err();
    assert!(matches!(dead, Error::NoDaemon { stale: true, .. }), "{dead:?}");
    #[cfg(unix)]
    {
        announce(store.path(), None, Some(&store.path().join("codexd.sock")));
        let dead = Client::from_store_dir(store.path()).unwrap().agent().await.unwrap_err();
        assert!(matches!(dead, Error::NoDaemon { stale: true, .. }), "{dead:?}");
    }
    let refused = Client::tcp(&format!("http://127.0.0.1:{port}"), None).unwrap().agent().await.unwrap_err();
    assert!(matches!(refused, Error::Transport { .. }), "no store is concerned: {refused:?}");

    for damaged in ["", "[]", r#"{"pid":1,"startedAt":"2026-01-01T00:00:00Z","version":"1","http":null,"socket":null}"#]
    {
        fs::write(store.path().join(DaemonFile::NAME), damaged).unwrap();
        let error = Client::from_store_dir(store.path()).unwrap_err();
        assert!(matches!(error, Error::DaemonFile { .. }), "{error:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_daemon_without_its_socket_is_asked_by_tcp() {
    let store = tempfile::tempdir().unwrap();
    let socket = store.path().join("codexd.sock");
    let own = std::process::id();
    let (script, mut heard) = Script::new(200, SESSION);
    let url = script.on_tcp().await;
    announce_of(own, store.path(), Some(&url), Some(&socket));
    let client = Client::from_store_dir(store.path()).unwrap();
    assert_eq!(client.session("s1").await.unwrap().id.as_str(), "s1");
    let said = heard.recv().await.unwrap();
    assert!(said.contains(&format!("\"host\": \"{}\"", url.trim_start_matches("http://"))), "{said}");
    client.transcript("s1", TranscriptFormat::Json).await.unwrap();

    announce(store.path(), Some(&url), Some(&socket));
    let dead = Client::from_store_dir(store.path()).unwrap().agent().await.unwrap_err();
    assert!(matches!(dead, Error::NoDaemon { stale: true, .. }), "its process is gone: {dead:?}");

    let (script, _heard) = Script::new(401, r#"{"detail":"this needs a token","code":"UNAUTHORIZED"}"#);
    announce_of(own, store.path(), Some(&script.on_tcp().await), Some(&socket));
    let client = Client::from_store_dir(store.path()).unwrap();
    let refused = client.session("s1").await.unwrap_err();
    assert!(matches!(&refused, Error::SocketGone { by_tcp: true, .. }) && refused.is_cut(), "{refused:?}");
    for part in [format!("pid {own}"), socket.display().to_string(), "restart".to_owned(), "token".to_owned()] {
        assert!(refused.to_string().contains(&part), "{refused}");
    }
    let refused = client.transcript("s1", TranscriptFormat::Json).await.unwrap_err();
    assert!(matches!(&refused, Error::SocketGone { by_tcp: true, .. }), "{refused:?}");

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    announce_of(own, store.path(), Some(&format!("http://127.0.0.1:{port}")), Some(&socket));
    let closed = Client::from_store_dir(store.path()).unwrap().agent().await.unwrap_err();
    assert!(matches!(closed, Error::SocketGone { by_tcp: false, .. }), "{closed:?}");
}

/// The daemon is dead, its port is somebody else's, and a process of ours has its number: not one byte goes there.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_has_taken_the_port_is_told_nothing() {
    use tokio::io::AsyncReadExt as _;
    let store = tempfile::tempdir().unwrap();
    let squatter = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", squatter.local_addr().unwrap());
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = squatter.accept().await {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            told.send(bytes).unwrap();
        }
    });
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let socket = store.path().join("codexd.sock");
    for socket in [None, Some(socket.as_path())] {
        announce_of(child.id(), store.path(), Some(&url), socket);
        let client = Client::from_store_dir(store.path()).unwrap().with_token(Some("cdx_secret"));
        for refused in [
            client.session("s1").await.unwrap_err(),
            client.transcript("s1", TranscriptFormat::Json).await.unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(matches!(refused, Error::Stranger { .. }) && text.contains("has that port"), "{text}");
            assert!(text.contains(&url) && text.contains("codexd serve") && !text.contains("cdx_"), "{text}");
            assert_eq!(heard.recv().await.unwrap(), b"", "it was told something");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
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

#[tokio::test]
async fn a_turn_is_steered_and_a_session_forked_and_resumed() {
    let (script, mut heard) = Script::new(202, TURN);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.steer("u/1", "also \"this\"").await.unwrap().id.as_str(), "u1");
    let said = heard.recv().await.unwrap();
    assert!(
        said.starts_with("POST /v1/turns/u%2F1/steer\n") && said.ends_with(r#"{"prompt":"also \"this\""}"#),
        "{said}"
    );

    let (script, mut heard) = Script::new(201, &format!(r#"{{"session":{SESSION}}}"#));
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.fork_session("s1", None).await.unwrap().session.id.as_str(), "s1");
    client.fork_session("s1", Some("x")).await.unwrap();
    let (first, second) = (heard.recv().await.unwrap(), heard.recv().await.unwrap());
    assert!(first.starts_with("POST /v1/sessions/s1/fork\n") && first.ends_with("\n{}"), "{first}");
    assert!(second.ends_with(r#"{"title":"x"}"#), "{second}");

    let (script, mut heard) = Script::new(200, SESSION);
    let client = Client::tcp(&script.on_tcp().await, None).unwrap();
    assert_eq!(client.resume_session("s1").await.unwrap().id.as_str(), "s1");
    let said = heard.recv().await.unwrap();
    assert!(said.starts_with("POST /v1/sessions/s1/resume\n") && said.ends_with('\n'), "{said}");

    let new = NewTurn { on_busy: Some(OnBusy::Steer), on_held: Some(OnHeld::Wait), ..NewTurn::default() };
    assert_eq!(serde_json::to_string(&new).unwrap(), r#"{"onBusy":"steer","onHeld":"wait"}"#);
}
