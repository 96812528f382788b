//! What a token may do, and where that is looked at.

use http_api::Options;
use serde_json::{Value, json};

use crate::daemon::{Daemon, open, request};

async fn token(daemon: &Daemon, name: &str, scopes: Value) -> String {
    let body = json!({"name": name, "scopes": scopes});
    daemon.post_local("/v1/tokens", body).await.with(201)["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_request_needs_its_scope() {
    let daemon = Daemon::start(Options::default()).await;
    let mut tokens = Vec::new();
    for scope in ["read", "run", "approve", "approve-own", "admin"] {
        tokens.push((scope, token(&daemon, scope, json!([scope])).await));
    }
    for (method, path, needed) in [
        ("GET", "/v1/sessions", "read"),
        ("HEAD", "/v1/sessions", "read"),
        ("GET", "/v1/nothing", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/openapi.json", "read"),
        ("GET", "/sessions", "read"),
        ("GET", "/start", "read"),
        ("POST", "/v1/sessions", "run"),
        ("POST", "/start", "run"),
        ("PATCH", "/v1/sessions/x", "run"),
        ("DELETE", "/v1/sessions/x", "run"),
        ("DELETE", "/nothing", "run"),
        ("OPTIONS", "/v1/sessions", "run"),
        ("GET", "/v1/approvals", "read"),
        ("GET", "/v1/approvals/x", "read"),
        ("POST", "/v1/approvals/x", "approve"),
        ("POST", "/v1/approvals", "approve"),
        ("POST", "/v1/turns/x/interrupt", "run"),
        ("GET", "/v1/tokens", "admin"),
        ("POST", "/v1/tokens", "admin"),
        ("DELETE", "/v1/tokens/x", "admin"),
        ("PUT", "/v1/tokens", "admin"),
        ("GET", "/v1/tokens/x/y", "admin"),
        ("POST", "/v1/import", "admin"),
        ("GET", "/v1/import", "admin"),
        ("POST", "/v1/agent/restart", "admin"),
        ("GET", "/v1/agent/restart", "admin"),
        ("GET", "/v1/stop", "admin"),
    ] {
        for (scope, token) in &tokens {
            let refused = daemon.as_holder(token, method, path, None).await;
            assert_eq!(refused.status == 403, *scope != needed, "{method} {path} {scope}: {}", refused.text);
            if *scope != needed && method != "HEAD" {
                assert_eq!(refused.refused(), (403, "FORBIDDEN"), "{method} {path} {scope}");
                assert!(refused.said().contains(&format!("`{needed}`")), "{}", refused.said());
                assert!(!refused.headers.contains_key("allow"));
            }
        }
    }
}

/// Before the body is read, and before what is wrong with it.
#[tokio::test]
async fn a_scope_is_looked_at_before_the_body() {
    let daemon = Daemon::start(Options { max_body_bytes: 10, ..Options::default() }).await;
    let token = token_of(&daemon).await;
    let sent = request("POST", "/v1/sessions").header("authorization", format!("Bearer {token}"));
    let refused = daemon.send(sent.body(axum::body::Body::from("much more than ten bytes")).unwrap()).await;
    assert_eq!(refused.refused(), (403, "FORBIDDEN"));
}

async fn token_of(daemon: &Daemon) -> String {
    let grant = types::Grant::new("reader".to_owned(), vec![types::Scope::Read]);
    daemon.engine.add_grant(&types::Principal::Local, grant).await.unwrap().1
}

#[tokio::test]
async fn health_is_free_and_tells_more_to_who_may_read() {
    let daemon = Daemon::start(Options::default()).await;
    let (reader, runner) = (token(&daemon, "r", json!(["read"])).await, token(&daemon, "w", json!(["run"])).await);
    for (token, details) in [(&reader, true), (&runner, false)] {
        let health = daemon.as_holder(token, "GET", "/health", None).await.ok();
        assert_eq!(health.get("agent").is_some(), details);
        daemon.as_holder(token, "GET", "/healthz", None).await.ok();
        daemon.as_holder(token, "GET", "/readyz", None).await.ok();
    }
}

#[tokio::test]
async fn who_comes_without_a_token_may_read_and_run_where_that_is_open() {
    let daemon = Daemon::with(open(), |policy| policy.grants.add_at_start("right")).await;
    daemon.session("hello").await;
    assert_eq!(daemon.get("/v1/policy").await.ok()["scopes"], json!(["read", "run"]));
    assert_eq!(daemon.get("/v1/tokens").await.refused(), (403, "FORBIDDEN"));
    assert_eq!(daemon.post("/v1/import", json!({"dir": "/"})).await.refused(), (403, "FORBIDDEN"));
    let all = json!(["read", "run", "approve", "approve-own", "admin"]);
    assert_eq!(daemon.as_holder("right", "GET", "/v1/policy", None).await.ok()["scopes"], all);
    daemon.as_holder("right", "GET", "/v1/tokens", None).await.ok();
    assert_eq!(daemon.as_holder("wrong", "GET", "/v1/tokens", None).await.refused(), (403, "FORBIDDEN"));
}
