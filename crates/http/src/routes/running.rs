//! What is done to a turn that runs: it is stopped, or given more words.

use axum::{Json, extract::State, http::StatusCode};
use engine::{Prompt, Work};
use serde::Deserialize;
use types::{InputPart, Turn};
use utoipa::ToSchema;

use super::turns::{self, Wait, turn_id};
use crate::{
    Api,
    checks::Caller,
    error::Failure,
    metrics::Watch,
    request::{Asked, Given, Id, Input, Query, bad},
};

/// How a turn is to be stopped.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Interrupt {
    /// Start Codex anew when it does not stop the turn, also when that ends turns of other sessions.
    force: Option<bool>,
}

impl Input for Interrupt {
    const MAY_BE_EMPTY: bool = true;
}

/// What is to be added to a turn.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Steer {
    /// The words; these or `input`.
    prompt: Option<String>,
    /// The words with pictures.
    input: Option<Vec<InputPart>>,
}

impl Input for Steer {}

/// Interrupt a turn
///
/// One that is queued never runs. One that runs stops as soon as Codex does; what waits behind it is held. When Codex does not stop it
/// within `--interrupt-grace`, Codex is started anew if that ends no turn of another session, or with `force`.
#[utoipa::path(
    post,
    path = "/v1/turns/{id}/interrupt",
    operation_id = "interruptTurn",
    tag = "turns",
    params(("id" = String, Path, description = "Its id"), Wait),
    request_body = Option<Interrupt>,
    responses(
        (status = 200, description = "It; it has ended within `wait`", body = Turn),
        (status = 202, description = "It, as it is now", body = Turn),
    ),
    extensions(("x-codes" = json!([
        "NO_TURN", "NO_SESSION", "TURN_ENDED", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn interrupt(
    State(api): State<Api>,
    watch: Watch,
    _: Caller,
    Id(id): Id,
    Query(wait): Query<Wait>,
    Given(Interrupt { force }): Given<Interrupt>,
) -> Result<(StatusCode, Json<Turn>), Failure> {
    let turn = api.engine().interrupt(&turn_id(&id)?, force.unwrap_or_default()).await?;
    let Some(limit) = wait.limit() else { return Ok((StatusCode::ACCEPTED, Json(turn))) };
    let turn = watch.pause(api.engine().turn_after(&turn.id, limit)).await?;
    let status = if turn.status.ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(turn)))
}

/// Add to a turn that runs
///
/// Codex hears it while it works. It is answered when Codex took it; the turn says so by `turn.steered`.
#[utoipa::path(
    post,
    path = "/v1/turns/{id}/steer",
    operation_id = "steerTurn",
    tag = "turns",
    params(("id" = String, Path, description = "Its id"), Wait),
    request_body = Steer,
    responses(
        (status = 200, description = "The turn; it has ended within `wait`", body = Turn, headers(("location" = String))),
        (status = 202, description = "The turn, which was given them", body = Turn, headers(("location" = String))),
    ),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_TURN", "NO_SESSION", "BAD_CWD", "CWD_FORBIDDEN", "SANDBOX_FORBIDDEN", "APPROVAL_POLICY_FORBIDDEN", "TURN_ENDED",
        "NOT_SUPPORTED", "INPUT_TOO_LARGE", "QUEUE_FULL", "AGENT_ERROR", "AGENT_TIMEOUT"
    ]))),
)]
pub(super) async fn steer(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Id(id): Id,
    Query(wait): Query<Wait>,
    asked: Asked<Steer>,
) -> Result<turns::Begun<Turn>, Failure> {
    let prompt = match (asked.body.prompt, asked.body.input) {
        (Some(_), Some(_)) => return Err(bad("`prompt` and `input` can't both be given")),
        (Some(text), None) => Prompt::from(text),
        (None, Some(input)) => Prompt::of_parts(input),
        (None, None) => return Err(bad("`prompt` is missing; it must be a string, or give `input` instead")),
    };
    let work = Work::Steer { turn: turn_id(&id)?, prompt: Box::new(prompt) };
    let accepted = api.engine().work(&who.principal, who.origin, work, asked.key).await?;
    turns::begun(&api, &watch, accepted, &wait, |turn| turn).await
}
