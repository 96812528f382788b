//! The routes: one file a resource. What is not here is 404, what is here by another method 405.

mod agent;
mod health;
mod legacy_sessions;
mod legacy_turns;

use axum::{
    Router,
    http::{HeaderValue, Method, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use types::Code;

use crate::{Api, error::Failure};

/// All of them, without the checks.
pub(crate) fn all(api: &Api) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/agent", get(agent::show))
        .route("/start", post(legacy_turns::start))
        .route("/continue", post(legacy_turns::go_on))
        .route("/reply", post(legacy_turns::reply))
        .route("/sessions", get(legacy_sessions::list))
        .route("/sessions/search", get(legacy_sessions::search))
        .route("/sessions/rename", post(legacy_sessions::rename))
        .route("/sessions/autoname", post(legacy_sessions::autoname))
        .route("/sessions/{id}", get(legacy_sessions::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api.clone())
}

async fn unknown_path(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS && uri.path() == "*" {
        let mut response = wrong_method(method).await.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD,POST"));
        return response;
    }
    let shown: String = uri.path().chars().take(64).collect();
    Failure::new(Code::NotFound, format!("there is nothing at {shown:?}")).into_response()
}

async fn wrong_method(method: Method) -> Failure {
    // The router adds `Allow`.
    let shown: String = method.as_str().chars().take(16).collect();
    Failure::new(
        Code::MethodNotAllowed,
        format!("this path does not take {shown}; the Allow header says what it takes"),
    )
}
