//! Whether we are alive, whether Codex is, and what was counted. The first three are free of authority; with it they tell more.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use serde::Serialize;
use types::{
    Code,
    agent::{AgentInfo, AgentStatus},
};
use utoipa::ToSchema;

use crate::{Api, checks::Caller, error::Failure, openapi};

/// What Prometheus calls the format of its successor's.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the daemon is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    /// Always true.
    ok: bool,
    /// The process of Codex.
    #[schema(required)]
    pid: Option<u32>,
    /// Whether Codex takes turns.
    ready: bool,
    /// Whether TCP needs a token.
    auth_required: bool,
    /// The version of codexd; only with authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// Only with authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentInfo>,
}

/// That the daemon lives.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    /// Always true.
    ok: bool,
}

/// That the daemon works.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always true.
    ready: bool,
}

/// How the daemon is, as in the first version
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "health",
    responses((status = 200, description = "It lives", body = Health)),
)]
pub(super) async fn health(State(api): State<Api>, caller: Option<Caller>) -> Json<Health> {
    let agent = api.engine().agent();
    Json(Health {
        ok: true,
        pid: agent.pid,
        ready: agent.status == AgentStatus::Ready,
        auth_required: !api.options().open,
        version: caller.is_some().then_some(env!("CARGO_PKG_VERSION")),
        agent: caller.map(|_| agent),
    })
}

/// Whether the daemon lives
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "alive",
    tag = "health",
    responses((status = 200, description = "It does", body = Alive)),
)]
pub(super) async fn alive() -> Json<Alive> {
    Json(Alive { ok: true })
}

/// Whether Codex takes turns and the store can be written
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "health",
    responses((status = 200, description = "Both", body = Ready)),
    extensions(("x-codes" = json!(["AGENT_UNAVAILABLE", "STORE_FULL"]))),
)]
pub(super) async fn ready(State(api): State<Api>, caller: Option<Caller>) -> Result<Json<Ready>, Failure> {
    let agent = api.engine().agent();
    if agent.status != AgentStatus::Ready {
        let restart = agent.restart.map(|restart| format!("Codex is to be started anew: {} asked for it", restart.by));
        let why = restart.or(agent.last_error).filter(|_| caller.is_some());
        return Err(Failure::new(Code::AgentUnavailable, why.unwrap_or_else(|| "Codex is not ready".to_owned())));
    }
    if let Err(refusal) = api.engine().writable().await {
        let why = caller.map(|_| refusal.detail);
        return Err(Failure::new(Code::StoreFull, why.unwrap_or_else(|| "the store can't be written".to_owned())));
    }
    Ok(Json(Ready { ready: true }))
}

/// What was counted, in the text format of OpenMetrics
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses((
        status = 200,
        description = "All metrics; their names begin with `codexd_`",
        body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )),
    extensions(("x-codes" = json!(["INTERNAL"]))),
)]
pub(super) async fn metrics(
    State(api): State<Api>,
    _: Caller,
) -> Result<([(HeaderName, &'static str); 1], String), Failure> {
    let text = api.inner.metrics.text();
    let text = text.map_err(|_| Failure::new(Code::Internal, "a metric can't be written"))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text))
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "service",
    responses((status = 200, description = "It", body = serde_json::Map<String, serde_json::Value>)),
)]
pub(super) async fn document(_: Caller) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text())
}
