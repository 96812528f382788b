//! Turns: asked for, listed, shown, asked for again; and waiting for their ends.

use std::{str::FromStr, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponseParts, ResponseParts},
};
use engine::{Accepted, OnBusy, Prompt, Refusal, Submitted, TurnCursor, Work};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::{Code, InputPart, OnHeld, Turn, TurnId};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    checks::Caller,
    error::{Failure, REPLAYED},
    metrics::Watch,
    request::{Asked, Bounded, Id, Input, Query, bad},
};

/// How many turns a page has when the request does not say.
const PAGE: u32 = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Answer when the turn has ended, or after so many seconds as it then is.
    #[param(inline)]
    wait: Option<Bounded<0, 600>>,
}

/// A turn to begin. What is left out is as in the session.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateTurn {
    /// The prompt; this or `input`.
    prompt: Option<String>,
    /// The prompt with pictures.
    input: Option<Vec<InputPart>>,
    /// The model of this turn.
    model: Option<String>,
    /// How much the model is to think, in Codex's words. Codex keeps it until another one is named, or its configuration does.
    effort: Option<String>,
    /// The JSON Schema of the answer.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    output_schema: Option<Map<String, Value>>,
    /// What happens when the session has work already; it queues without.
    on_busy: Option<WhenBusy>,
    /// What happens when another Codex process is using the session's thread; it fails without.
    on_held: Option<OnHeld>,
}

impl Input for CreateTurn {}

/// What happens with a turn whose session has work already.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WhenBusy {
    /// It waits.
    Queue,
    /// It is refused.
    Reject,
    /// Its words are added to the turn that runs, which is answered; when none runs it is a turn of its own.
    Steer,
}

/// A turn that is begun.
#[derive(Serialize, ToSchema)]
pub(super) struct TurnBegun {
    turn: Turn,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTurns {
    /// The most of one page; 50 without.
    #[param(inline)]
    limit: Option<Bounded<1, 200>>,
    /// Where the page begins: the `nextCursor` of the one before, in the same order.
    cursor: Option<String>,
    /// Oldest first (`asc`, which it is without) or newest first (`desc`).
    #[param(inline)]
    order: Option<Order>,
}

/// An order of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// A page of turns.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TurnPage {
    /// In the order that was asked for, with their items.
    turns: Vec<Turn>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// How a prompt is to be sent again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Also when Codex has recorded the prompt, and would hear it twice.
    force: Option<bool>,
}

impl Input for Retry {
    const MAY_BE_EMPTY: bool = true;
}

/// Begin a turn
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/turns",
    operation_id = "createTurn",
    tag = "turns",
    params(("id" = String, Path, description = "The session's id, or that of any thread that it has had"), Wait),
    request_body = CreateTurn,
    responses(
        (status = 200, description = "The turn; it has ended within `wait`", body = TurnBegun, headers(("location" = String))),
        (status = 202, description = "The turn, or the one that its words were added to", body = TurnBegun,
            headers(("location" = String))),
    ),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_SESSION", "NO_TURN", "BAD_CWD", "CWD_FORBIDDEN", "SANDBOX_FORBIDDEN", "APPROVAL_POLICY_FORBIDDEN", "TURN_ACTIVE",
        "TURN_ENDED", "THREAD_HELD", "NOT_SUPPORTED", "INPUT_TOO_LARGE", "QUEUE_FULL", "AGENT_ERROR", "AGENT_TIMEOUT"
    ]))),
)]
pub(super) async fn create(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Id(session): Id,
    Query(wait): Query<Wait>,
    asked: Asked<CreateTurn>,
) -> Result<Begun<TurnBegun>, Failure> {
    let body = asked.body;
    let words =
        Words { prompt: body.prompt, input: body.input, effort: body.effort, output_schema: body.output_schema };
    let prompt = words.prompt(named("model", body.model)?)?;
    let mut prompt = prompt.ok_or_else(|| bad("`prompt` is missing; it must be a string, or give `input` instead"))?;
    prompt.options.on_held = body.on_held.unwrap_or_default();
    let on_busy = match body.on_busy {
        None | Some(WhenBusy::Queue) => OnBusy::Queue,
        Some(WhenBusy::Reject) => OnBusy::Reject,
        Some(WhenBusy::Steer) => OnBusy::Steer,
    };
    let work = Work::Submit { session, prompt: Box::new(prompt), on_busy };
    let accepted = api.engine().work(&who.principal, who.origin, work, asked.key).await?;
    begun(&api, &watch, accepted, &wait, |turn| TurnBegun { turn }).await
}

/// List the turns of a session
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/turns",
    operation_id = "listTurns",
    tag = "turns",
    params(("id" = String, Path, description = "The session's id, or that of any thread that it has had"), ListTurns),
    responses((status = 200, description = "A page of them", body = TurnPage)),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    Query(asked): Query<ListTurns>,
) -> Result<Json<TurnPage>, Failure> {
    let after = cursor::<TurnCursor>(asked.cursor.as_deref())?;
    let session = api.engine().session(&id).await?;
    let (newest_first, limit) = (asked.order == Some(Order::Desc), asked.limit.map_or(PAGE, u32::from));
    let (turns, next) = api.engine().turns_page(&session.id, newest_first, after, limit).await?;
    Ok(Json(TurnPage { turns, next_cursor: next.map(|next| next.to_string()) }))
}

/// Show a turn
#[utoipa::path(
    get,
    path = "/v1/turns/{id}",
    operation_id = "getTurn",
    tag = "turns",
    params(("id" = String, Path, description = "Its id"), Wait),
    responses((status = 200, description = "It, with its items", body = Turn)),
    extensions(("x-codes" = json!(["NO_TURN", "NO_SESSION", "OVERLOADED", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn show(
    State(api): State<Api>,
    watch: Watch,
    _: Caller,
    Id(id): Id,
    Query(wait): Query<Wait>,
) -> Result<Json<Turn>, Failure> {
    let limit = wait.limit().unwrap_or_default();
    Ok(Json(watch.pause(api.engine().turn_after(&turn_id(&id)?, limit)).await?))
}

/// Send the prompt of a turn that ended again
///
/// It makes a new turn, whose `retryOf` is the old one.
#[utoipa::path(
    post,
    path = "/v1/turns/{id}/retry",
    operation_id = "retryTurn",
    tag = "turns",
    params(("id" = String, Path, description = "The id of the turn that ended"), Wait),
    request_body = Option<Retry>,
    responses(
        (status = 200, description = "The new turn; it has ended within `wait`", body = Turn, headers(("location" = String))),
        (status = 202, description = "The new turn", body = Turn, headers(("location" = String))),
    ),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_TURN", "NO_SESSION", "BAD_CWD", "CWD_FORBIDDEN", "TURN_ACTIVE", "TURN_ENDED", "THREAD_HELD", "NOT_SUPPORTED",
        "QUEUE_FULL"
    ]))),
)]
pub(super) async fn retry(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Id(id): Id,
    Query(wait): Query<Wait>,
    asked: Asked<Retry>,
) -> Result<Begun<Turn>, Failure> {
    let work = Work::Retry { turn: turn_id(&id)?, force: asked.body.force.unwrap_or_default() };
    let accepted = api.engine().work(&who.principal, who.origin, work, asked.key).await?;
    begun(&api, &watch, accepted, &wait, |turn| turn).await
}

impl Wait {
    pub(super) fn limit(&self) -> Option<Duration> {
        self.wait.map(|seconds| Duration::from_secs(u32::from(seconds).into()))
    }
}

/// The parts of a prompt, as a request gives them.
pub(super) struct Words {
    pub(super) prompt: Option<String>,
    pub(super) input: Option<Vec<InputPart>>,
    pub(super) effort: Option<String>,
    pub(super) output_schema: Option<Map<String, Value>>,
}

impl Words {
    /// The prompt, if there is one.
    pub(super) fn prompt(self, model: Option<String>) -> Result<Option<Prompt>, Failure> {
        let effort = named("effort", self.effort)?;
        let mut prompt = match (self.prompt, self.input) {
            (Some(_), Some(_)) => return Err(bad("`prompt` and `input` can't both be given")),
            (Some(text), None) => Prompt::from(text),
            (None, Some(input)) => Prompt::of_parts(input),
            (None, None) => {
                let lonely = [("effort", effort.is_some()), ("outputSchema", self.output_schema.is_some())];
                return match lonely.into_iter().find(|(_, given)| *given) {
                    Some((name, _)) => Err(bad(format!("`{name}` needs a `prompt` or `input` that it is for"))),
                    None => Ok(None),
                };
            }
        };
        prompt.options.model = model;
        prompt.options.effort = effort;
        prompt.options.output_schema = self.output_schema.map(Value::Object);
        Ok(Some(prompt))
    }
}

/// A word that is not empty, if there is one.
pub(super) fn named(field: &str, word: Option<String>) -> Result<Option<String>, Failure> {
    match word {
        Some(word) if word.trim().is_empty() => Err(bad(format!("`{field}` is empty; leave it out instead"))),
        word => Ok(word),
    }
}

/// Where a page begins.
pub(super) fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Failure> {
    let read = |text: &str| text.parse().map_err(|_| bad("`cursor` is none of ours; take the `nextCursor` of a page"));
    text.map(read).transpose()
}

pub(super) fn turn_id(text: &str) -> Result<TurnId, Failure> {
    let shown = || text.chars().take(64).collect::<String>();
    TurnId::parse(text).map_err(|_| Failure::new(Code::NoTurn, format!("there is no turn {:?}", shown())))
}

/// Says that the work had been begun by the same request before.
pub(super) struct Replayed(pub(super) bool);

impl IntoResponseParts for Replayed {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if self.0 {
            parts.headers_mut().insert(REPLAYED, axum::http::HeaderValue::from_static("true"));
        }
        Ok(parts)
    }
}

/// The answer to a request that began a turn.
pub(super) type Begun<T> = (StatusCode, Replayed, [(HeaderName, String); 1], Json<T>);

/// Waits for the turn as long as the request says, and answers.
pub(super) async fn begun<T>(
    api: &Api,
    watch: &Watch,
    accepted: Accepted,
    wait: &Wait,
    body: impl FnOnce(Turn) -> T,
) -> Result<Begun<T>, Failure> {
    let Some(submitted) = accepted.turn else {
        return Err(Failure::new(Code::Internal, "the request began no turn"));
    };
    let turn = after(api, watch, &submitted, wait).await.map_err(|failure| failure.replayed(accepted.replayed))?;
    let seen = wait.wait.is_some() && turn.status.ended();
    let status = if seen { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = [(header::LOCATION, format!("/v1/turns/{}", turn.id))];
    Ok((status, Replayed(accepted.replayed), location, Json(body(turn))))
}

/// The turn, when it has ended or after the time that the request waits.
pub(super) async fn after(api: &Api, watch: &Watch, submitted: &Submitted, wait: &Wait) -> Result<Turn, Failure> {
    let about = |refusal: Refusal| Failure::from(refusal).of_turn(&submitted.session, &submitted.turn);
    if let Some(limit) = wait.limit() {
        watch.pause(api.engine().wait(submitted, limit)).await.map_err(about)?;
    }
    api.engine().turn(&submitted.turn).await.map_err(about)
}
