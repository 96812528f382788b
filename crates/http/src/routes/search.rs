//! Search, over titles and messages.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use types::{Session, TurnId};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    request::{Bounded, Query},
};

/// How many results there are when the request does not say.
const RESULTS: u32 = 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// The words. All of them are in a result, each as a part of its title or of one of its messages, whatever the case.
    q: String,
    /// The most results; 20 without.
    #[param(inline)]
    limit: Option<Bounded<1, 50>>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchResults)]
pub(super) struct Results {
    /// Those with all words in their titles first, then by their latest activity.
    results: Vec<Hit>,
}

/// A session that was found.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchHit)]
#[serde(rename_all = "camelCase")]
struct Hit {
    session: Session,
    /// The turn in which a word was said; absent when all are in the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
    /// The text around the first word.
    snippet: String,
    /// 1 when the title has all words, else 0.5.
    score: f64,
}

/// Search sessions
#[utoipa::path(
    get,
    path = "/v1/search",
    operation_id = "searchSessions",
    tag = "sessions",
    params(Search),
    responses((status = 200, description = "The best matches", body = Results)),
    extensions(("x-codes" = json!(["INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn search(
    State(api): State<Api>,
    _: Caller,
    Query(Search { q, limit }): Query<Search>,
) -> Result<Json<Results>, Failure> {
    let found = api.engine().search(&q, limit.map_or(RESULTS, u32::from)).await?;
    let hit = |found: engine::Found| {
        let engine::Found { session, turn, snippet, score } = found;
        Hit { session, turn_id: turn, snippet, score }
    };
    Ok(Json(Results { results: found.into_iter().map(hit).collect() }))
}
