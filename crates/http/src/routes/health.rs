//! Whether we are alive, and whether Codex is. Free of authority; with it they tell more.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};
use types::{
    Code,
    agent::{AgentInfo, AgentStatus},
};

use crate::{Api, checks::Caller, error::Failure};

/// What `GET /health` answers, as in the first version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    ok: bool,
    /// Codex's own.
    pid: Option<u32>,
    ready: bool,
    auth_required: bool,
    #[serde(flatten)]
    details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    /// Of codexd.
    version: &'static str,
    agent: AgentInfo,
}

/// `GET /health`.
pub(super) async fn health(State(api): State<Api>, caller: Option<Caller>) -> Json<Health> {
    let agent = api.engine().agent();
    Json(Health {
        ok: true,
        pid: agent.pid,
        ready: agent.status == AgentStatus::Ready,
        auth_required: !api.options().open,
        details: caller.map(|_| Details { version: env!("CARGO_PKG_VERSION"), agent }),
    })
}

/// `GET /healthz`: that it is answered is the answer.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// `GET /readyz`.
pub(super) async fn ready(State(api): State<Api>, caller: Option<Caller>) -> Result<Json<Value>, Failure> {
    let agent = api.engine().agent();
    if agent.status == AgentStatus::Ready {
        return Ok(Json(json!({ "ready": true })));
    }
    let why = agent.last_error.filter(|_| caller.is_some());
    Err(Failure::new(Code::AgentUnavailable, why.unwrap_or_else(|| "Codex is not ready".to_owned())))
}
