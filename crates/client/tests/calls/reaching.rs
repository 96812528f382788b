//! How a daemon is found: by its socket, by TCP, by what its store says of it; and what is told where it is not.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use client::{Archived, Client, Error, NewSession, SHORT_LIMIT, SessionQuery, TranscriptFormat};
use hyper::{Method, StatusCode};
use tokio::net::TcpListener;
use types::{Code, DaemonFile, Sandbox, SessionStatus, Timestamp, TurnStatus};

use crate::script::{SESSION, Script, TURN};

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

/// Inside an agent the socket gives little; a token that was given is to be worth what it opens.
#[cfg(unix)]
#[tokio::test]
async fn what_the_socket_refuses_to_an_agent_is_asked_by_tcp_with_a_token() {
    let store = tempfile::tempdir().unwrap();
    let socket = store.path().join("codexd.sock");
    let own = std::process::id();
    let inside = r#"{"detail":"this comes from inside an agent","code":"FORBIDDEN"}"#;
    let (script, mut heard) = Script::new(403, inside);
    script.on_socket(&socket);
    let (script, mut by_tcp) = Script::new(200, SESSION);
    announce_of(own, store.path(), Some(&script.on_tcp().await), Some(&socket));
    let client = || Client::from_store_dir(store.path()).unwrap();

    let none = client().session("s1").await.unwrap_err();
    assert_eq!(none.code(), Some(Code::Forbidden), "{none:?}");
    assert!(by_tcp.try_recv().is_err(), "without a token there is nothing to ask with");
    heard.recv().await.unwrap();

    let with = client().with_token(Some("sesame"));
    assert_eq!(with.session("s1").await.unwrap().id.as_str(), "s1");
    let prompt = Some(Bytes::from_static(br#"{"prompt":"hello"}"#));
    let asked = with.request(Method::POST, "/v1/sessions/s1/turns", prompt, SHORT_LIMIT).await.unwrap();
    assert_eq!(asked.0, StatusCode::OK);
    with.transcript("s1", TranscriptFormat::Json).await.unwrap();
    for line in
        ["GET /v1/sessions/s1\n", "POST /v1/sessions/s1/turns\n", "GET /v1/sessions/s1/transcript?format=json\n"]
    {
        let (first, second) = (heard.recv().await.unwrap(), by_tcp.recv().await.unwrap());
        assert!(first.starts_with(line) && second.starts_with(line), "{first} {second}");
        assert_eq!(first.splitn(3, '\n').nth(2), second.splitn(3, '\n').nth(2), "the same body");
    }

    // What the token is told is what counts.
    let (script, _heard) = Script::new(401, r#"{"detail":"unknown token","code":"UNAUTHORIZED"}"#);
    announce_of(own, store.path(), Some(&script.on_tcp().await), Some(&socket));
    let with = || client().with_token(Some("wrong"));
    assert_eq!(with().session("s1").await.unwrap_err().code(), Some(Code::Unauthorized));
    let refused = with().transcript("s1", TranscriptFormat::Json).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::Unauthorized), "{refused:?}");

    // There may be no other way; and who is no agent is refused for other reasons.
    announce_of(own, store.path(), None, Some(&socket));
    assert_eq!(with().session("s1").await.unwrap_err().code(), Some(Code::Forbidden));
    std::fs::remove_file(&socket).unwrap();
    let (script, _heard) = Script::new(403, r#"{"detail":"a folder","code":"CWD_FORBIDDEN"}"#);
    script.on_socket(&socket);
    let (script, mut by_tcp) = Script::new(200, SESSION);
    announce_of(own, store.path(), Some(&script.on_tcp().await), Some(&socket));
    assert_eq!(with().session("s1").await.unwrap_err().code(), Some(Code::CwdForbidden));
    assert!(by_tcp.try_recv().is_err());
}

/// Not even then anything is said to somebody else who has the port.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_socket_refuses_is_asked_of_nobody_else() {
    let store = tempfile::tempdir().unwrap();
    let socket = store.path().join("codexd.sock");
    Script::new(403, r#"{"detail":"this comes from inside an agent","code":"FORBIDDEN"}"#).0.on_socket(&socket);
    let (script, mut by_tcp) = Script::new(200, SESSION);
    // It is this process who listens, and another one that should.
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    announce_of(other.id(), store.path(), Some(&script.on_tcp().await), Some(&socket));
    let client = Client::from_store_dir(store.path()).unwrap().with_token(Some("sesame"));
    let (asked, read) = (client.session("s1").await, client.transcript("s1", TranscriptFormat::Json).await);
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(matches!(asked, Err(Error::Stranger { .. })), "{asked:?}");
    assert!(matches!(read, Err(Error::Stranger { .. })));
    assert!(by_tcp.try_recv().is_err(), "it was told something");
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
