//! The routes: one file a resource. What is not here is 404, what is here by another method 405.
//!
//! Each handler says in its `utoipa::path` what it takes and answers, so the router and the OpenAPI document are one list.

mod approvals;
pub(crate) mod events;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod import;
mod legacy_sessions;
mod legacy_turns;
mod running;
mod search;
mod service;
mod session_work;
mod sessions;
mod tokens;
mod transcript;
mod turns;

use axum::{
    Router,
    http::{HeaderValue, Method, Uri, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use types::Code;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{Api, error::Failure, metrics};

/// All of them, without the checks, and the document that tells of them.
pub(crate) fn all(document: OpenApi) -> (Router<Api>, OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(document)
        .routes(routes!(sessions::create, sessions::list))
        .routes(routes!(sessions::show, sessions::change, sessions::delete))
        .routes(routes!(sessions::autoname))
        .routes(routes!(session_work::compact))
        .routes(routes!(session_work::resume))
        .routes(routes!(session_work::fork))
        .routes(routes!(turns::create, turns::list))
        .routes(routes!(turns::show))
        .routes(routes!(turns::retry))
        .routes(routes!(running::interrupt))
        .routes(routes!(running::steer))
        .routes(routes!(events::everything))
        .routes(routes!(events::of_session))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::show, approvals::decide))
        .routes(routes!(search::search))
        .routes(routes!(transcript::transcript))
        .routes(routes!(service::agent))
        .routes(routes!(service::restart))
        .routes(routes!(service::stop))
        .routes(routes!(service::models))
        .routes(routes!(service::limits))
        .routes(routes!(service::policy))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::end))
        .routes(routes!(tokens::rotate))
        .routes(routes!(import::import))
        .routes(routes!(health::health))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(health::document))
        .routes(routes!(legacy_turns::start))
        .routes(routes!(legacy_turns::go_on))
        .routes(routes!(legacy_turns::reply))
        .routes(routes!(legacy_sessions::list))
        .routes(routes!(legacy_sessions::search))
        .routes(routes!(legacy_sessions::rename))
        .routes(routes!(legacy_sessions::autoname))
        .routes(routes!(legacy_sessions::show))
        .split_for_parts();
    let router = router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(metrics::remember_route));
    (router, document)
}

async fn unknown_path(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS && uri.path() == "*" {
        let mut response = wrong_method(method).await.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD,POST,PATCH,DELETE"));
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
