//! A process inside an agent reads its own session, and nothing else.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use http_api::{Options, Peer};
use types::{ThreadId, agent::Descent};

use crate::daemon::{Answered, Daemon};

fn inside(thread: Option<&str>) -> Peer {
    let thread = thread.map(|thread| ThreadId::parse(thread).unwrap());
    Peer::Inside(Arc::new(Descent::Inside { agent: "agent-1".to_owned(), thread }))
}

async fn ask(daemon: &Daemon, peer: Peer, method: &str, path: &str) -> Answered {
    let builder = Request::builder().method(method).uri(path).extension(peer);
    // What it says of itself is believed of nobody.
    let builder = builder.header("x-codexd-origin", "cli").header("content-type", "application/json");
    daemon.send(builder.body(Body::from("{}")).unwrap()).await
}

/// Two sessions: the ids of one, its thread and its turn; and of another.
async fn two(daemon: &Daemon) -> ([String; 3], [String; 3]) {
    let mut both = Vec::new();
    for prompt in ["mine", "of others"] {
        let made = daemon.post_local("/v1/sessions?wait=600", serde_json::json!({ "prompt": prompt })).await.with(201);
        let session = made["session"]["id"].as_str().unwrap().to_owned();
        let local = Request::get(format!("/v1/sessions/{session}")).extension(Peer::SameUser);
        let found = daemon.send(local.body(Body::empty()).unwrap()).await.ok();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        both.push([session, text(&found["threadId"]), text(&made["turn"]["id"])]);
    }
    let other = both.pop().unwrap();
    (both.pop().unwrap(), other)
}

#[tokio::test]
async fn it_reads_its_own_session_and_nothing_else() {
    let daemon = Daemon::start(Options { open: true, ..Options::default() }).await;
    let ([own, thread, turn], [other, other_thread, other_turn]) = two(&daemon).await;
    let me = || inside(Some(&thread));
    for path in [
        format!("/v1/sessions/{own}"),
        format!("/v1/sessions/{thread}"),
        format!("/v1/sessions/{own}/turns"),
        format!("/v1/sessions/{own}/transcript"),
        format!("/v1/turns/{turn}"),
        format!("/sessions/{own}"),
    ] {
        assert_eq!(ask(&daemon, me(), "GET", &path).await.status, 200, "{path}");
    }
    for path in ["/health", "/healthz", "/readyz"] {
        let free = ask(&daemon, me(), "GET", path).await;
        assert_eq!(free.status, 200, "{path}");
        assert!(free.json["version"].is_null(), "{path}: no details");
    }
    let mut refused = 0;
    for (method, path) in [
        ("GET", format!("/v1/sessions/{other}")),
        ("GET", format!("/v1/sessions/{other_thread}")),
        ("GET", format!("/v1/sessions/{other}/events")),
        ("GET", format!("/v1/sessions/{other}/transcript")),
        ("GET", format!("/v1/turns/{other_turn}")),
        ("GET", format!("/sessions/{other}")),
        ("GET", "/v1/sessions/nothing".to_owned()),
        ("GET", "/v1/sessions".to_owned()),
        ("GET", "/v1/sessions/".to_owned()),
        ("GET", "/sessions".to_owned()),
        ("GET", "/sessions/search?q=others".to_owned()),
        ("GET", "/v1/search?q=others".to_owned()),
        ("GET", "/v1/events?after=0".to_owned()),
        ("GET", "/v1/approvals".to_owned()),
        ("GET", "/v1/tokens".to_owned()),
        ("GET", "/v1/policy".to_owned()),
        ("GET", "/v1/agent".to_owned()),
        ("GET", "/metrics".to_owned()),
        ("GET", "/nothing".to_owned()),
        ("POST", "/v1/sessions".to_owned()),
        ("POST", "/start".to_owned()),
        ("POST", "/continue".to_owned()),
        ("POST", format!("/v1/sessions/{own}/turns")),
        ("POST", format!("/v1/sessions/{own}/fork")),
        ("PATCH", format!("/v1/sessions/{own}")),
        ("DELETE", format!("/v1/sessions/{own}")),
        ("POST", format!("/v1/turns/{turn}/interrupt")),
        ("POST", "/v1/approvals/0199".to_owned()),
        ("POST", "/v1/tokens".to_owned()),
        ("POST", "/v1/import".to_owned()),
        ("POST", "/v1/agent/restart".to_owned()),
        ("OPTIONS", format!("/v1/sessions/{own}")),
    ] {
        let answered = ask(&daemon, me(), method, &path).await;
        assert_eq!(answered.refused(), (403, "FORBIDDEN"), "{method} {path}");
        let said = answered.said();
        assert!(said.contains("inside an agent (agent-1)") && said.contains(&own) && said.contains("TCP"), "{said}");
        refused += 1;
    }
    assert_eq!(refused, 32);
    // None of it did anything: both are as they were, and there is no third.
    let counted = daemon.engine.sessions(10).await.unwrap();
    assert_eq!(counted.iter().map(|session| session.turn_count).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn whose_session_can_not_be_told_reads_none() {
    let daemon = Daemon::start(Options::default()).await;
    let ([own, ..], _) = two(&daemon).await;
    let path = format!("/v1/sessions/{own}");
    let mut said = Vec::new();
    for peer in [inside(None), inside(Some("0199-no-thread-of-ours")), Peer::Inside(Arc::new(Descent::Gone))] {
        let answered = ask(&daemon, peer.clone(), "GET", &path).await;
        assert_eq!(answered.refused(), (403, "FORBIDDEN"));
        said.push(answered.said().to_owned());
        assert_eq!(ask(&daemon, peer, "GET", "/healthz").await.status, 200);
    }
    assert!(said[0].contains("can't be told"), "{said:?}");
    assert!(said[1].contains("no session that is here"), "{said:?}");
    assert!(said[2].contains("ended before it could be told"), "{said:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn each_connection_is_told_by_its_process() {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::new(Mutex::new(vec![
        Descent::Outside,
        Descent::Gone,
        Descent::Inside { agent: "agent-1".to_owned(), thread: None },
    ]));
    let (seen, left) = (asked.clone(), answers.clone());
    let descents = http_api::Descents::new(move |pid| {
        seen.lock().unwrap().push(pid);
        left.lock().unwrap().pop().unwrap()
    });
    let daemon = Daemon::start(Options { descents: Some(descents), ..Options::default() }).await;
    let path = daemon.dir.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (api, token) = (daemon.api.clone(), stop.clone());
    let served = tokio::spawn(async move { api.serve_unix(listener, token).await });
    for wanted in ["HTTP/1.1 403 ", "HTTP/1.1 403 ", "HTTP/1.1 200 "] {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /v1/policy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(wanted), "{answer}");
    }
    assert_eq!(*asked.lock().unwrap(), [std::process::id(); 3]);
    stop.cancel();
    served.await.unwrap();
}
