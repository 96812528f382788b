//! The agent, what it offers, and the document.

use serde_json::json;
use types::agent::AgentStatus;

use crate::daemon::{Daemon, request};

#[tokio::test]
async fn the_agent_and_what_it_offers() {
    let daemon = Daemon::open().await;
    assert_eq!(daemon.get("/v1/agent").await.ok()["status"], "ready");
    let models = daemon.get("/v1/models").await.ok();
    assert_eq!(models["models"][0]["id"], "gpt-x");
    assert_eq!(daemon.get("/v1/limits").await.ok(), json!({"limits": {"primary": {"usedPercent": 12}}}));
    let policy = daemon.get("/v1/policy").await.ok();
    assert_eq!(
        (&policy["principal"], &policy["cwd"], &policy["chooseCwd"], &policy["roots"]),
        (&json!("anonymous"), &json!(daemon.work), &json!(false), &json!([daemon.work]))
    );
    let local = axum::http::Request::get("/v1/policy").extension(http_api::Peer::SameUser);
    let local = daemon.send(local.body(axum::body::Body::empty()).unwrap()).await.ok();
    assert_eq!((&local["principal"], local.get("roots"), &local["chooseCwd"]), (&json!("local"), None, &json!(true)));
    daemon.echo.set_status(AgentStatus::Unavailable, Some("gone"));
    assert_eq!(daemon.get("/v1/agent").await.ok()["lastError"], "gone");
}

#[tokio::test]
async fn the_document_is_the_one_that_is_checked_in() {
    let daemon = Daemon::open().await;
    let served = daemon.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.text, http_api::openapi());
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/v1.json");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(kept == served.text, "openapi/v1.json is not what the code says; write it with `cargo xtask openapi`");
}

#[tokio::test]
async fn head_works_where_get_does_and_other_methods_are_told() {
    let daemon = Daemon::open().await;
    let session = format!("/v1/sessions/{}", daemon.session("hello").await);
    let turn = daemon.get(&format!("{session}/turns")).await.ok()["turns"][0]["id"].as_str().unwrap().to_owned();
    for path in [
        "/health",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/agent",
        "/v1/models",
        "/v1/limits",
        "/v1/policy",
        "/v1/approvals",
        "/v1/sessions",
        "/v1/search?q=a",
        &session,
        &format!("{session}/turns"),
        &format!("{session}/transcript"),
        &format!("/v1/turns/{turn}"),
        "/sessions",
        "/sessions/search",
    ] {
        let head = daemon.send(request("HEAD", path).body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), daemon.get(path).await.header("content-type"), "{path}");
    }
    for (path, allow) in [
        ("/v1/sessions", "POST,GET,HEAD"),
        (session.as_str(), "GET,HEAD,PATCH,DELETE"),
        ("/v1/turns/x/retry", "POST"),
        ("/v1/turns/x/interrupt", "POST"),
        ("/v1/agent", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
    ] {
        for method in ["PUT", "OPTIONS", "BREW"] {
            let refused = daemon.send(request(method, path).body(axum::body::Body::empty()).unwrap()).await;
            assert_eq!(refused.refused(), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
            assert_eq!(refused.header("allow"), allow, "{method} {path}");
        }
    }
    // What comes later is not there yet.
    for path in [format!("{session}/knife").as_str(), "/mcp"] {
        assert_eq!(daemon.get(path).await.refused(), (404, "NOT_FOUND"), "{path}");
    }
}
