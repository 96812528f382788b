//! Taking over the store of the first version. It needs the scope `admin`.

use std::path::PathBuf;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    metrics::Watch,
    request::{Given, Input, Nothing, Query, bad},
};

/// What to import.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportStore)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    /// The folder with the first version's `sessions.json`, absolute.
    #[schema(value_type = String)]
    dir: PathBuf,
}

impl Input for Import {}

/// Take over the sessions of a first version's store
///
/// Answers when it is done, which may take minutes. It can be asked for again at any time: what is here already is compared.
#[utoipa::path(
    post,
    path = "/v1/import",
    operation_id = "import",
    tag = "sessions",
    request_body = Import,
    responses((status = 200, description = "What came of it; what was damaged is named, and the rest is in", body = ::import::Report)),
    extensions(("x-codes" = json!(["STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn import(
    State(api): State<Api>,
    watch: Watch,
    _: Caller,
    _: Query<Nothing>,
    Given(Import { dir }): Given<Import>,
) -> Result<Json<::import::Report>, Failure> {
    if !dir.is_absolute() {
        return Err(bad(format!("`dir` must be an absolute path, not {:?}", dir.display().to_string())));
    }
    Ok(Json(watch.pause(api.engine().import(&dir)).await?))
}
