//! The agent.

use axum::{Json, extract::State};
use types::agent::AgentInfo;

use crate::{Api, checks::Caller};

/// `GET /v1/agent`.
pub(super) async fn show(State(api): State<Api>, _: Caller) -> Json<AgentInfo> {
    Json(api.engine().agent())
}
