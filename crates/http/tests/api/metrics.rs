//! What is counted.

use std::collections::BTreeMap;

use serde_json::json;
use types::agent::AgentStatus;

use crate::daemon::Daemon;

/// The values, by name and labels.
async fn read(daemon: &Daemon) -> BTreeMap<String, f64> {
    let answered = daemon.get("/metrics").await;
    assert_eq!(answered.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answered.text.ends_with("# EOF\n"), "{}", answered.text);
    let lines = answered.text.lines().filter(|line| !line.starts_with('#'));
    let values = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("codexd_"), "{line}");
        (name.to_owned(), value.parse().unwrap())
    });
    values.collect()
}

fn requests(method: &str, route: &str, status: u16) -> String {
    format!("codexd_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}")
}

#[tokio::test]
async fn requests_turns_and_codex_are_counted() {
    let daemon = Daemon::open().await;
    let session = daemon.session("hello").await;
    daemon.post(&format!("/v1/sessions/{session}/turns?wait=30"), json!({"prompt": "fail"})).await.ok();
    daemon.get(&format!("/v1/sessions/{session}")).await.ok();
    daemon.get("/v1/sessions/nobody").await.refused();
    daemon.delete("/v1/agent").await.refused();
    for path in ["/nothing", "/v1/nothing/at/all", "/v1/agent/x"] {
        daemon.get(path).await.refused();
    }
    let values = read(&daemon).await;
    for (name, value) in [
        (requests("POST", "/v1/sessions", 201), 1.0),
        (requests("POST", "/v1/sessions/{id}/turns", 200), 1.0),
        (requests("GET", "/v1/sessions/{id}", 200), 1.0),
        (requests("GET", "/v1/sessions/{id}", 404), 1.0),
        (requests("DELETE", "/v1/agent", 405), 1.0),
        (requests("GET", "other", 404), 3.0),
        (format!("codexd_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
        ("codexd_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/sessions/{id}\"}".to_owned(), 2.0),
        ("codexd_connections".to_owned(), 0.0),
        ("codexd_turns_accepted_total".to_owned(), 2.0),
        ("codexd_turns_total{status=\"completed\"}".to_owned(), 1.0),
        ("codexd_turns_total{status=\"failed\"}".to_owned(), 1.0),
        ("codexd_turns_total{status=\"interrupted\"}".to_owned(), 0.0),
        ("codexd_sessions_awake".to_owned(), 1.0),
        ("codexd_agent_ready".to_owned(), 1.0),
        ("codexd_agent_restarts_total".to_owned(), 0.0),
    ] {
        assert_eq!(values.get(&name), Some(&value), "{name} in {values:#?}");
    }
    assert!(values["codexd_store_commits_total"] >= 2.0);
    daemon.echo.set_status(AgentStatus::Restarting, None);
    assert_eq!(read(&daemon).await["codexd_agent_ready"], 0.0);
}

#[tokio::test]
async fn nobody_fills_the_memory_with_new_labels() {
    let daemon = Daemon::open().await;
    let before = read(&daemon).await.len();
    for n in 0..100 {
        daemon.get(&format!("/nothing/{n}")).await.refused();
        let odd = crate::daemon::request(&format!("BREW{n}"), "/v1/agent").body(axum::body::Body::empty()).unwrap();
        daemon.send(odd).await.refused();
        let local =
            axum::http::Request::get(format!("/v1/x{n}")).header("host", "evil").body(axum::body::Body::empty());
        daemon.send(local.unwrap()).await.refused();
    }
    let after = read(&daemon).await;
    assert!(after.len() - before < 70, "{before} {}", after.len());
    assert_eq!(after[&requests("other", "/v1/agent", 405)], 100.0);
}

#[tokio::test]
async fn the_time_that_a_request_waits_is_not_ours() {
    let daemon = Daemon::open().await;
    let made = daemon.post("/v1/sessions", json!({"prompt": "hang"})).await.with(201);
    let path = format!("/v1/turns/{}?wait=2", made["turn"]["id"].as_str().unwrap());
    assert_eq!(daemon.get(&path).await.ok()["status"], "running");
    let values = read(&daemon).await;
    let took = values["codexd_http_request_duration_seconds_sum{method=\"GET\",route=\"/v1/turns/{id}\"}"];
    assert!(took < 1.5, "{took}");
    daemon.echo.release();
}
