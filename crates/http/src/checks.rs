//! What every request passes before a route sees it, in the order that the API promises: Host, Origin, authority, content
//! type, length.
//!
//! They stand around the router. So an unknown path is 404, and a wrong method 405, only for those who passed; and none of a
//! body is read before.

mod authority;
mod host;
mod origin;

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, Method, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http_body_util::Limited;
use tower::Layer as _;
use types::{Code, Origin, Principal};

pub use authority::Token;
pub(crate) use authority::{Attempts, Shown};
pub(crate) use host::Hosts;
pub(crate) use origin::Origins;

use crate::{
    Api,
    body::too_large,
    error::{Failure, Shape},
};

/// By this header a client of the command line says that it is one.
const ORIGIN_HEADER: HeaderName = HeaderName::from_static("x-codexd-origin");

/// By which way a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By TCP: anybody on this machine, web pages included, or from wherever a tunnel begins.
    Tcp,
    /// By the socket, and the system says that it is the same user.
    SameUser,
}

/// Who asks, once that is known.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// What the turns of this request say of their origin.
    pub(crate) origin: Origin,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // Only the paths that are free of authority get here without one, and they ask for an `Option`.
        parts.extensions.get().cloned().ok_or_else(|| Failure::new(Code::Unauthorized, "this needs a token"))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Failure> {
        Ok(parts.extensions.get().cloned())
    }
}

/// Puts the checks, and the form of errors, around all routes.
pub(crate) fn around(api: Api, routes: Router) -> Router {
    // Not `Router::layer`: that one stands behind the choice of a route, and `Allow` would be added to what a check refused.
    Router::new().fallback_service(middleware::from_fn_with_state(api, pass).layer(routes))
}

async fn pass(State(api): State<Api>, request: Request, next: Next) -> Response {
    let shape = Shape::of(request.uri().path());
    let response = match admit(&api, request) {
        Ok(request) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    shape.finish(response)
}

fn admit(api: &Api, mut request: Request) -> Result<Request, Failure> {
    let peer = request.extensions().get().copied().unwrap_or(Peer::Tcp);
    if peer == Peer::Tcp {
        api.inner.hosts.check(&request)?;
    }
    api.inner.origins.check(request.headers())?;
    if let Some(caller) = authority(api, &request, peer)? {
        request.extensions_mut().insert(caller);
    }
    content_type(&request)?;
    let max = api.options().max_body_bytes;
    if request.body().size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    Ok(request.map(|body| Body::new(Limited::new(body, max))))
}

fn authority(api: &Api, request: &Request, peer: Peer) -> Result<Option<Caller>, Failure> {
    if peer == Peer::SameUser {
        let marked = request.headers().get(ORIGIN_HEADER).is_some_and(|mark| mark == "cli");
        let origin = if marked { Origin::Cli } else { Origin::Http };
        return Ok(Some(Caller { principal: Principal::Local, origin }));
    }
    let options = api.options();
    let by = |principal| Ok(Some(Caller { principal, origin: Origin::Http }));
    match authority::shown(request.headers(), &options.tokens) {
        Shown::Token(name) => by(Principal::Grant(name.to_owned())),
        Shown::Nothing | Shown::Wrong if options.open => by(Principal::Anonymous),
        Shown::Nothing | Shown::Wrong if is_free(request) => Ok(None),
        Shown::Nothing => {
            Err(Failure::new(Code::Unauthorized, format!("this daemon wants a token: {}", options.token_hint)))
        }
        Shown::Wrong if !api.inner.attempts.another() => {
            Err(Failure::new(Code::TooManyRequests, "too many requests with a wrong token; try again in a second"))
        }
        Shown::Wrong => Err(Failure::new(
            Code::Unauthorized,
            format!("this daemon does not know the token that was sent: {}", options.token_hint),
        )),
    }
}

/// What may be asked without authority: whether we are alive.
fn is_free(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.uri().path(), "/health" | "/healthz" | "/readyz")
}

/// A web page can send a form to any address, but JSON only to one that it may talk to.
fn content_type(request: &Request) -> Result<(), Failure> {
    let path = request.uri().path();
    let strict = path.starts_with("/v1/") || request.headers().contains_key(header::ORIGIN);
    if !strict || request.body().is_end_stream() || is_json(request.headers()) {
        return Ok(());
    }
    Err(Failure::new(Code::NotJson, "the body must come with `content-type: application/json`"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else { return false };
    let essence = first.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
