//! The agent, what it offers, and what the caller may do.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{
    PolicyInfo,
    agent::{AgentInfo, Model},
};
use utoipa::ToSchema;

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    request::{Given, Input, Nothing, Query},
};

/// How Codex is to be started anew.
#[derive(Deserialize, ToSchema)]
#[schema(as = RestartAgent)]
#[serde(deny_unknown_fields)]
pub(super) struct Restart {
    /// The turns that run may end first, and new ones wait meanwhile; true unless told. Without, those that run are interrupted.
    drain: Option<bool>,
}

impl Input for Restart {
    const MAY_BE_EMPTY: bool = true;
}

/// How the daemon is to end.
#[derive(Deserialize, ToSchema)]
#[schema(as = StopDaemon)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// Turns that run are interrupted, and Codex and its host end as well; false unless told. Without, they go on for the next codexd.
    agents: Option<bool>,
}

impl Input for Stop {
    const MAY_BE_EMPTY: bool = true;
}

/// The daemon stops.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stopping {
    /// Its process.
    pid: u32,
    /// How many turns Codex runs now.
    running: usize,
    /// Whether they are interrupted, and Codex ends.
    agents: bool,
}

/// The models.
#[derive(Serialize, ToSchema)]
pub(super) struct Models {
    /// In Codex's order.
    models: Vec<Model>,
}

/// What is left of the account.
#[derive(Serialize, ToSchema)]
pub(super) struct Limits {
    /// As Codex tells it.
    limits: Value,
}

/// The agent: one Codex process and how it is spoken to
#[utoipa::path(
    get,
    path = "/v1/agent",
    operation_id = "getAgent",
    tag = "service",
    responses((status = 200, description = "How it is", body = AgentInfo)),
)]
pub(super) async fn agent(State(api): State<Api>, _: Caller, _: Query<Nothing>) -> Json<AgentInfo> {
    Json(api.engine().agent())
}

/// Start Codex anew
///
/// With `drain` (the default) the turns that run may end first, for as long as a turn may take (`--turn-timeout`): new ones are taken
/// and wait, and what Codex asks can be answered. Without, turns that run end `interrupted` with `AGENT_EXITED`. While it is under way the
/// agent's `status` is `restarting` and `restart` says what was asked; then come `agent.exited` and `agent.restarted`. Asked again it changes
/// nothing, except that a restart without `drain` hurries one with it. A Codex that is unavailable is tried again at once.
#[utoipa::path(
    post,
    path = "/v1/agent/restart",
    operation_id = "restartAgent",
    tag = "service",
    request_body = Option<Restart>,
    responses((status = 202, description = "It is under way", body = AgentInfo)),
    extensions(("x-codes" = json!(["SHUTTING_DOWN"]))),
)]
pub(super) async fn restart(
    State(api): State<Api>,
    who: Caller,
    _: Query<Nothing>,
    Given(Restart { drain }): Given<Restart>,
) -> Result<(StatusCode, Json<AgentInfo>), Failure> {
    let agent = api.engine().restart_agent(&who.principal, drain.unwrap_or(true)).await?;
    Ok((StatusCode::ACCEPTED, Json(agent)))
}

/// Stop the daemon
///
/// It answers, ends its streams, and is gone within seconds.
#[utoipa::path(
    post,
    path = "/v1/stop",
    operation_id = "stop",
    tag = "service",
    request_body = Option<Stop>,
    responses((status = 202, description = "It stops", body = Stopping)),
)]
pub(super) async fn stop(
    State(api): State<Api>,
    who: Caller,
    _: Query<Nothing>,
    Given(Stop { agents }): Given<Stop>,
) -> (StatusCode, Json<Stopping>) {
    let agents = agents.unwrap_or_default();
    let running = api.engine().running().await;
    tracing::info!(by = %who.principal, agents, "codexd is told to stop");
    api.ask_to_stop(crate::Stop { agents });
    (StatusCode::ACCEPTED, Json(Stopping { pid: std::process::id(), running, agents }))
}

/// The models that Codex offers
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "service",
    responses((status = 200, description = "All of them", body = Models)),
    extensions(("x-codes" = json!([
        "NOT_SUPPORTED", "AGENT_ERROR", "AGENT_UNAVAILABLE", "AGENT_TIMEOUT", "OVERLOADED", "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn models(State(api): State<Api>, _: Caller, _: Query<Nothing>) -> Result<Json<Models>, Failure> {
    Ok(Json(Models { models: api.engine().models().await? }))
}

/// The account's rate limits
#[utoipa::path(
    get,
    path = "/v1/limits",
    operation_id = "getLimits",
    tag = "service",
    responses((status = 200, description = "What is left of them", body = Limits)),
    extensions(("x-codes" = json!([
        "NOT_SUPPORTED", "AGENT_ERROR", "AGENT_UNAVAILABLE", "AGENT_TIMEOUT", "OVERLOADED", "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn limits(State(api): State<Api>, _: Caller, _: Query<Nothing>) -> Result<Json<Limits>, Failure> {
    Ok(Json(Limits { limits: api.engine().limits().await? }))
}

/// What the caller may do
#[utoipa::path(
    get,
    path = "/v1/policy",
    operation_id = "getPolicy",
    tag = "service",
    responses((status = 200, description = "The operator's settings, as far as they apply to the caller", body = PolicyInfo)),
)]
pub(super) async fn policy(
    State(api): State<Api>,
    who: Caller,
    _: Query<Nothing>,
) -> Result<Json<PolicyInfo>, Failure> {
    Ok(Json(api.engine().policy().of(&who.principal)?))
}
