//! The checks, their order, and the forms of what they refuse.

use axum::{body::Body, http::Request};
use http_api::{Options, Peer};
use serde_json::Value;
use types::agent::AgentStatus;

use crate::daemon::{Daemon, open, request};

const PATHS: [(&str, &str); 8] = [
    ("POST", "/start"),
    ("GET", "/sessions"),
    ("GET", "/sessions/abc"),
    ("GET", "/v1/agent"),
    ("POST", "/v1/agent"),
    ("GET", "/v1/nothing"),
    ("DELETE", "/nothing"),
    ("OPTIONS", "/start"),
];

async fn with_token() -> Daemon {
    let options = Options { max_body_bytes: 1000, ..Options::default() };
    Daemon::with(options, |policy| policy.grants.add_at_start("right")).await
}

#[tokio::test]
async fn each_check_wins_over_those_behind_it() {
    let daemon = with_token().await;
    // Everything is wrong; from row to row one thing more is put right.
    let wrong = [
        ("host", "evil"),
        ("origin", "http://evil"),
        ("authorization", "Bearer wrong"),
        ("content-type", "text/plain"),
    ];
    let right = [
        ("host", "localhost:8787"),
        ("origin", "http://localhost:8787"),
        ("authorization", "Bearer right"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let codes =
        [(421, "BAD_HOST"), (403, "BAD_ORIGIN"), (401, "UNAUTHORIZED"), (415, "NOT_JSON"), (413, "BODY_TOO_LARGE")];
    for (method, path) in PATHS {
        for (righted, expected) in codes.iter().enumerate() {
            let mut builder = Request::builder().method(method).uri(path);
            for (at, (good, bad)) in right.iter().zip(&wrong).enumerate() {
                let (name, value) = if at < righted { good } else { bad };
                builder = builder.header(*name, *value);
            }
            // Failed authentications are bounded for everybody: 8 paths, one each.
            let answered = daemon.send(builder.body(Body::from(vec![b'x'; 1001])).unwrap()).await;
            assert_eq!(answered.refused(), *expected, "{method} {path}");
            assert!(!answered.headers.contains_key("allow"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_come_after_the_checks() {
    let daemon = with_token().await;
    for (method, path, status, allow) in [
        ("GET", "/start", 405, "POST"),
        ("OPTIONS", "/start", 405, "POST"),
        ("OPTIONS", "/sessions", 405, "GET,HEAD"),
        ("DELETE", "/sessions/abc", 405, "GET,HEAD"),
        ("OPTIONS", "/v1/agent", 405, "GET,HEAD"),
        ("OPTIONS", "/healthz", 405, "GET,HEAD"),
        ("BREW", "/v1/agent", 405, "GET,HEAD"),
        ("OPTIONS", "*", 405, "GET,HEAD,POST,PATCH,DELETE"),
        ("GET", "/", 404, ""),
        ("GET", "/v1/nothing", 404, ""),
        ("POST", "/nothing", 404, ""),
        ("GET", "/sessions/", 404, ""),
        ("GET", "/sessions/a/b", 404, ""),
        ("GET", "/health/", 404, ""),
        ("GET", "//v1/agent", 404, ""),
    ] {
        let answered = daemon.send(request(method, path).body(Body::empty()).unwrap()).await;
        assert_eq!(answered.refused(), (401, "UNAUTHORIZED"), "{method} {path}");
        assert_eq!(answered.header("www-authenticate"), "Bearer");
        assert!(answered.json.to_string().contains("codexd token new"));

        let builder = request(method, path).header("authorization", "Bearer right");
        let answered = daemon.send(builder.body(Body::empty()).unwrap()).await;
        let code = if status == 404 { "NOT_FOUND" } else { "METHOD_NOT_ALLOWED" };
        assert_eq!(answered.refused(), (status, code), "{method} {path}");
        assert_eq!(answered.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn errors_have_the_form_of_their_path() {
    let daemon = with_token().await;
    for (path, media) in [
        ("/start", "application/json"),
        ("/sessions/x", "application/json"),
        ("/health", "application/json"),
        ("/v1/agent", "application/problem+json"),
        ("/nothing", "application/problem+json"),
        ("/healthz", "application/problem+json"),
    ] {
        let answered = daemon.send(Request::get(path).header("host", "evil").body(Body::empty()).unwrap()).await;
        assert_eq!(answered.refused(), (421, "BAD_HOST"), "{path}");
        assert_eq!(answered.header("content-type"), media, "{path}");
    }
}

#[tokio::test]
async fn one_host_that_names_us() {
    let daemon = Daemon::open().await;
    let get = |hosts: &[&str]| {
        let mut builder = Request::get("/healthz");
        for host in hosts {
            builder = builder.header("host", *host);
        }
        daemon.send(builder.body(Body::empty()).unwrap())
    };
    for hosts in
        [&[][..], &[""], &["evil"], &["localhost."], &["localhost", "localhost"], &["localhost", "evil"], &["lo\u{e9}"]]
    {
        assert_eq!(get(hosts).await.refused(), (421, "BAD_HOST"), "{hosts:?}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8787", "LOCALHOST:8787"] {
        get(&[host]).await.ok();
    }
    let absolute = |uri: &str| daemon.send(Request::get(uri).header("host", "localhost").body(Body::empty()).unwrap());
    absolute("http://localhost:8787/healthz").await.ok();
    assert_eq!(absolute("http://evil/healthz").await.refused(), (421, "BAD_HOST"));
    assert_eq!(absolute("http://user@localhost/healthz").await.refused(), (421, "BAD_HOST"));
    // Nobody reaches the socket by a name.
    let local = Request::get("/healthz").extension(Peer::SameUser).header("host", "whatever");
    daemon.send(local.body(Body::empty()).unwrap()).await.ok();
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_also_on_the_socket() {
    let daemon = Daemon::open().await;
    let foreign = request("GET", "/healthz").header("origin", "http://127.0.0.1:3000");
    assert_eq!(daemon.send(foreign.body(Body::empty()).unwrap()).await.refused(), (403, "BAD_ORIGIN"));
    let local = Request::get("/healthz").extension(Peer::SameUser).header("origin", "http://localhost");
    assert_eq!(daemon.send(local.body(Body::empty()).unwrap()).await.refused(), (403, "BAD_ORIGIN"));
    let own = request("GET", "/healthz").header("origin", "http://127.0.0.1:8787");
    daemon.send(own.body(Body::empty()).unwrap()).await.ok();
}

#[tokio::test]
async fn details_of_health_need_authority() {
    let daemon = with_token().await;
    let bearer = |path: &str, token: &str| {
        let builder = request("GET", path).header("authorization", format!("Bearer {token}"));
        daemon.send(builder.body(Body::empty()).unwrap())
    };
    let bare = serde_json::json!({ "ok": true, "pid": 4321, "ready": true, "authRequired": true });
    assert_eq!(daemon.get("/health").await.ok(), bare);
    assert_eq!(bearer("/health", "wrong").await.ok(), bare);
    let whole = bearer("/health", "right").await.ok();
    assert_eq!(whole["agent"]["version"], "0.160.0");
    assert!(whole["version"].is_string());

    assert_eq!(daemon.get("/healthz").await.ok()["ok"], true);
    assert_eq!(daemon.get("/readyz").await.ok()["ready"], true);
    daemon.echo.set_status(AgentStatus::Unavailable, Some("no codex in /secret/place"));
    let unready = daemon.get("/readyz").await;
    assert_eq!(unready.refused(), (503, "AGENT_UNAVAILABLE"));
    assert!(!unready.json.to_string().contains("secret"));
    assert!(bearer("/readyz", "right").await.json["detail"].as_str().unwrap().contains("/secret/place"));
    assert_eq!(daemon.get("/health").await.ok()["ready"], false);
    daemon.get("/healthz").await.ok();
    // Only for those who look.
    let post = request("POST", "/health").body(Body::empty()).unwrap();
    assert_eq!(daemon.send(post).await.refused(), (401, "UNAUTHORIZED"));
    let head = request("HEAD", "/health").body(Body::empty()).unwrap();
    let head = daemon.send(head).await;
    assert_eq!((head.status.as_u16(), head.json), (200, Value::Null));
}

#[tokio::test]
async fn too_many_wrong_tokens_are_told_so_and_right_ones_pass() {
    let daemon = with_token().await;
    let ask = |token: &str| {
        let builder = request("GET", "/v1/agent").header("authorization", format!("Bearer {token}"));
        daemon.send(builder.body(Body::empty()).unwrap())
    };
    let mut refused = 0;
    for attempt in 0..200 {
        let answered = ask(&format!("guess-{attempt}")).await;
        match answered.refused() {
            (401, "UNAUTHORIZED") => {}
            (429, "TOO_MANY_REQUESTS") => {
                refused += 1;
                assert_eq!(answered.header("retry-after"), "1");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 100, "{refused}");
    ask("right").await.ok();
    // Showing none is not guessing.
    assert_eq!(daemon.get("/v1/agent").await.refused(), (401, "UNAUTHORIZED"));
}

#[tokio::test]
async fn turns_know_who_asked_and_by_which_way() {
    let daemon = Daemon::with(open(), |policy| policy.grants.add_at_start("right")).await;
    let body = || Body::from(r#"{"prompt":"hello"}"#);
    for (shown, principal) in
        [(None, "anonymous"), (Some("Bearer wrong"), "anonymous"), (Some("Bearer right"), "token:start")]
    {
        let mut builder = request("POST", "/start").header("x-codexd-origin", "cli");
        if let Some(shown) = shown {
            builder = builder.header("authorization", shown);
        }
        daemon.send(builder.body(body()).unwrap()).await.ok();
        assert_eq!(last_turn(&daemon).await, (principal.to_owned(), "http".to_owned()));
    }
    daemon.post_local("/start", serde_json::json!({ "prompt": "hello" })).await.ok();
    assert_eq!(last_turn(&daemon).await, ("local".to_owned(), "cli".to_owned()));
}

async fn last_turn(daemon: &Daemon) -> (String, String) {
    let session = daemon.engine.sessions(1).await.unwrap().remove(0);
    let message = daemon.engine.history(&session.id).await.unwrap().remove(0);
    let turn = daemon.engine.turn(&message.turn).await.unwrap();
    (turn.principal, turn.origin.as_str().to_owned())
}

#[tokio::test]
async fn json_is_asked_for_where_a_page_could_send_something_else() {
    let daemon = Daemon::open().await;
    let post = |path: &str, headers: &[(&str, &str)]| {
        let mut builder = request("POST", path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        daemon.send(builder.body(Body::from(r#"{"prompt":"hi"}"#)).unwrap())
    };
    let own = ("origin", "http://127.0.0.1:8787");
    post("/start", &[]).await.ok();
    post("/start", &[("content-type", "text/plain")]).await.ok();
    post("/start", &[own, ("content-type", "Application/JSON")]).await.ok();
    for headers in [
        &[own][..],
        &[own, ("content-type", "text/plain")],
        &[own, ("content-type", "application/x-www-form-urlencoded")],
        &[own, ("content-type", "text/plain; application/json")],
        &[own, ("content-type", "application/json"), ("content-type", "text/plain")],
    ] {
        assert_eq!(post("/start", headers).await.refused(), (415, "NOT_JSON"), "{headers:?}");
    }
    assert_eq!(post("/v1/agent", &[]).await.refused(), (415, "NOT_JSON"));
    assert_eq!(post("/v1/agent", &[("content-type", "application/json")]).await.refused(), (405, "METHOD_NOT_ALLOWED"));
}
