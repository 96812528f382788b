//! What only shows on a real connection.

use std::{net::SocketAddr, time::Duration};

use http_api::Options;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::daemon::{Daemon, PATIENCE};

struct Served {
    daemon: Daemon,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn start(options: Options) -> Self {
        Self::of(Daemon::start(options).await).await
    }

    async fn of(daemon: Daemon) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (api, token) = (daemon.api.clone(), stop.clone());
        let task = tokio::spawn(async move { api.serve_tcp(listener, token).await });
        Self { daemon, address, stop, task }
    }

    async fn open() -> Self {
        Self::start(Options { open: true, ..Options::default() }).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that comes until the daemon closes.
    async fn all(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it ends").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response with a content length; the connection stays.
async fn one(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, async {
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                    return;
                }
            }
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
    .await
    .expect("it answers");
    text
}

#[tokio::test]
async fn targets_and_hosts_as_they_are_on_the_wire() {
    let served = Served::open().await;
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET http://localhost:1/healthz HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET http://evil/healthz HTTP/1.1\r\nHost: localhost\r\n", "421"),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: evil\r\n", "421"),
        ("GET http://localhost@evil/healthz HTTP/1.1\r\nHost: localhost\r\n", "421"),
        ("CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n", "421"),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n", "404"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", "405"),
        ("OPTIONS /start HTTP/1.1\r\nHost: localhost\r\n", "405"),
        ("GET /healthz HTTP/1.1\r\n", "421"),
        ("GET /healthz HTTP/1.1\r\nHost:\r\n", "421"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", "421"),
        ("GET /healthz HTTP/1.0\r\n", "421"),
        ("GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", "403"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin:\r\n", "403"),
        ("GET /sessions/../x HTTP/1.1\r\nHost: localhost\r\n", "404"),
        ("NOT HTTP\r\n", "400"),
    ] {
        let answered = served.all(format!("{request}Connection: close\r\n\r\n").as_bytes()).await;
        let line = answered.lines().next().unwrap_or_default();
        assert_eq!(line.split(' ').nth(1), Some(status), "{request:?} {answered}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_once_and_read_to_the_end() {
    let served = Served::start(Options { open: true, max_body_bytes: 1000, ..Options::default() }).await;
    let body = vec![b'x'; 3 * 1024 * 1024];
    let head = "POST /start HTTP/1.1\r\nHost: localhost\r\n";
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let known = [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    body.chunks(64 * 1024).for_each(|piece| chunked.extend(chunk(piece)));
    chunked.extend(b"0\r\n\r\n");
    for request in [known, chunked] {
        // A client that writes all before it reads, as many do, must find the answer.
        let answered = served.all(&request).await;
        assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
        assert!(answered.contains("connection: close"), "{answered}");
        assert_eq!(answered.matches("HTTP/1.1").count(), 1, "{answered}");
        assert!(answered.contains("BODY_TOO_LARGE"));
    }
    // The length alone is enough, and then nobody is asked to send the body.
    let expect = format!("{head}Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    let answered = served.all(expect.as_bytes()).await;
    assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
}

#[tokio::test]
async fn a_refused_small_body_leaves_the_connection_usable() {
    let daemon = Daemon::with(Options::default(), |policy| policy.grants.add_at_start("right")).await;
    let served = Served::of(daemon).await;
    let mut stream = served.connect().await;
    let body = r#"{"prompt":"hi"}"#;
    for (token, status) in [("wrong", "401"), ("right", "200")] {
        let request = format!(
            "POST /start HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answered = one(&mut stream).await;
        assert_eq!(answered.split(' ').nth(1), Some(status), "{answered}");
    }
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_end() {
    let limit = Duration::from_millis(50);
    let served =
        Served::start(Options { open: true, header_limit: limit, body_limit: limit, ..Options::default() }).await;
    assert!(!served.all(b"GET /healthz HTTP/1.1\r\nHost: loc").await.contains("200 OK"));
    assert_eq!(served.all(b"").await, "");
    for framing in ["Content-Length: 20", "Transfer-Encoding: chunked"] {
        let answered =
            served.all(format!("POST /start HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n").as_bytes()).await;
        assert!(answered.starts_with("HTTP/1.1 408 "), "{answered}");
        assert!(answered.contains("connection: close"), "{answered}");
    }
}

/// Answers are asked for and never read: more of them than the connection holds.
#[tokio::test]
async fn who_reads_nothing_is_let_go() {
    let limit = Duration::from_millis(100);
    let served =
        Served::start(Options { open: true, max_connections: 1, unread_limit: limit, ..Options::default() }).await;
    let mut greedy = served.connect().await;
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let asking = timeout(PATIENCE, async { while greedy.write_all(&request).await.is_ok() {} });
    asking.await.expect("it is cut off");
    // Its place is free again.
    let freed =
        async { while !served.all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").await.contains("200 OK") {} };
    timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn connections_over_the_cap_are_told() {
    let served = Served::start(Options { open: true, max_connections: 1, ..Options::default() }).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut first = served.connect().await;
    first.write_all(request).await.unwrap();
    assert!(one(&mut first).await.starts_with("HTTP/1.1 200 "));
    let refused = served.all(request).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("OVERLOADED"), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    first.write_all(request).await.unwrap();
    assert!(one(&mut first).await.starts_with("HTTP/1.1 200 "));
    drop(first);
    // The place is free again once the daemon has seen that.
    let freed =
        async { while !served.all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").await.contains("200 OK") {} };
    timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn stopping_lets_a_running_request_finish_and_closes_the_rest() {
    let served = Served::open().await;
    let mut idle = served.connect().await;
    let mut running = served.connect().await;
    let body = r#"{"prompt":"hang"}"#;
    let request = format!("POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    running.write_all(request.as_bytes()).await.unwrap();
    until_a_session(&served.daemon).await;
    served.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(!served.task.is_finished());
    served.daemon.echo.release();
    let answered = rest(&mut running).await;
    assert!(answered.starts_with("HTTP/1.1 200 ") && answered.contains("at last"), "{answered}");
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_turn_running() {
    let served = Served::start(Options { open: true, max_connections: 1, ..Options::default() }).await;
    let mut stream = served.connect().await;
    let body = r#"{"prompt":"hang"}"#;
    let request = format!("POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let session = until_a_session(&served.daemon).await;
    drop(stream);
    // Only when the wait has ended is there a place for another.
    let freed =
        async { while !served.all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").await.contains("200 OK") {} };
    timeout(PATIENCE, freed).await.unwrap();
    served.daemon.echo.release();
    let turn = served.daemon.engine.history(&session.id).await.unwrap().remove(0).turn;
    let turn = served.daemon.finished(&turn).await.unwrap();
    assert_eq!(turn.answer.as_deref(), Some("at last"));
}

async fn until_a_session(daemon: &Daemon) -> types::Session {
    timeout(PATIENCE, async {
        loop {
            if let Some(session) = daemon.engine.sessions(1).await.unwrap().pop() {
                return session;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a session")
}

#[cfg(unix)]
#[tokio::test]
async fn the_same_user_is_local_on_the_socket() {
    let daemon = Daemon::start(Options::default()).await;
    let path = daemon.dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (api, stop) = (daemon.api.clone(), CancellationToken::new());
    let token = stop.clone();
    let task = tokio::spawn(async move { api.serve_unix(listener, token).await });
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = "GET /v1/agent HTTP/1.1\r\nHost: codexd\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answered = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answered)).await.unwrap().unwrap();
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    stop.cancel();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}
