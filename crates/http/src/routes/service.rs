//! The agent, what it offers, and what the caller may do.

use axum::{Json, extract::State};
use serde::Serialize;
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
    request::{Nothing, Query},
};

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
