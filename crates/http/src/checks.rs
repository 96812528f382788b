//! What every request passes before a route sees it, in the order that the API promises: Host, Origin, authority and scope,
//! content type, length.
//!
//! They stand around the router. So an unknown path is 404, and a wrong method 405, only for those who passed; and none of a
//! body is read before.

mod authority;
mod host;
mod inside;
mod origin;
mod scopes;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, Method, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use engine::{Grants, Key};
use http_body_util::Limited;
use tower::Layer as _;
use types::{Code, Grant, Origin, Principal, Scope, Timestamp, agent::Descent};

pub(crate) use authority::{Attempts, Shown};
pub(crate) use host::Hosts;
pub(crate) use origin::Origins;
pub(crate) use scopes::needed;

use crate::{
    Api,
    audited::{self, Asked},
    error::{Failure, Shape},
    metrics::Watch,
    request::too_large,
};

/// By this header a client of the command line says that it is one.
const ORIGIN_HEADER: HeaderName = HeaderName::from_static("x-codexd-origin");

/// The paths that need no authority.
pub(crate) const FREE: [&str; 3] = ["/health", "/healthz", "/readyz"];

/// By which way a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// By TCP: anybody on this machine, web pages included, or from wherever a tunnel begins.
    Tcp,
    /// By the socket, and the system says that it is the same user.
    SameUser,
    /// By the socket, from a process that is an agent's, or that may be one.
    Inside(Arc<Descent>),
}

/// Who asks, once that is known.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// What the turns of this request say of their origin.
    pub(crate) origin: Origin,
    /// Stands for the token that was shown.
    key: Option<Key>,
}

impl Caller {
    /// Whether they would be let in now as well: who is answered over a longer time is asked for no token again.
    pub(crate) fn holds(&self, grants: &Grants) -> bool {
        grants.hold(&self.principal, self.key)
    }
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

async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let shape = Shape::of(request.uri().path());
    let (watch, method) = (Watch::start(), request.method().clone());
    let asked = Asked {
        at: Timestamp::now(),
        method: method.clone(),
        uri: request.uri().clone(),
        peer: request.extensions().get().cloned().unwrap_or(Peer::Tcp),
        from: request.extensions_mut().remove(),
    };
    request.extensions_mut().insert(watch.clone());
    request.extensions_mut().insert(asked.clone());
    let mut caller: Option<Caller> = None;
    let mut response = match admit(&api, request, &mut caller).await {
        Ok(request) => {
            let response = next.run(request).await;
            // Whoever was let in may not be any more, when the answer has been waited for.
            let ended = |caller: &Caller| !caller.holds(&api.engine().policy().grants);
            if watch.waited() && caller.as_ref().is_some_and(ended) {
                Failure::new(Code::Unauthorized, "the token ended while the request waited").into_response()
            } else {
                response
            }
        }
        Err(failure) => failure.into_response(),
    };
    audited::note(&api, asked, caller.as_ref(), &mut response);
    let response = shape.finish(response);
    api.inner.metrics.answered(&method, &watch, &response);
    response
}

/// `who`: whoever asks, once that is known, also when they may not ask this.
async fn admit(api: &Api, mut request: Request, who: &mut Option<Caller>) -> Result<Request, Failure> {
    let peer = request.extensions().get().cloned().unwrap_or(Peer::Tcp);
    if peer == Peer::Tcp {
        api.inner.hosts.check(&request)?;
    }
    api.inner.origins.check(request.headers())?;
    let caller = match &peer {
        Peer::Inside(_) if is_free(&request) => None,
        Peer::Inside(descent) => {
            let asked = inside::Asked::of(&request);
            Some(inside::admit(api, descent, asked, who).await?)
        }
        Peer::Tcp | Peer::SameUser => authority(api, &request, &peer, who)?,
    };
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    content_type(&request)?;
    let max = api.options().max_body_bytes;
    if request.body().size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    Ok(request.map(|body| Body::new(Limited::new(body, max))))
}

/// Who asks, if they may ask this. Nobody, where nobody need be.
fn authority(api: &Api, request: &Request, peer: &Peer, who: &mut Option<Caller>) -> Result<Option<Caller>, Failure> {
    let (caller, scopes) = match known(api, request, peer)? {
        Some(known) => known,
        None => return Ok(None),
    };
    *who = Some(caller.clone());
    match scopes::check(request.method(), request.uri().path(), &scopes) {
        Ok(()) => {
            if let Principal::Grant(name) = &caller.principal {
                api.engine().used_grant(name);
            }
            Ok(Some(caller))
        }
        Err(_) if is_free(request) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Who asks, and what they may do.
fn known(api: &Api, request: &Request, peer: &Peer) -> Result<Option<(Caller, Vec<Scope>)>, Failure> {
    if *peer == Peer::SameUser {
        let marked = request.headers().get(ORIGIN_HEADER).is_some_and(|mark| mark == "cli");
        let origin = if marked { Origin::Cli } else { Origin::Http };
        return Ok(Some((Caller { principal: Principal::Local, origin, key: None }, Scope::ALL.to_vec())));
    }
    let options = api.options();
    let by = |principal, key, scopes| Ok(Some((Caller { principal, origin: Origin::Http, key }, scopes)));
    match authority::shown(request.headers(), &api.engine().policy().grants) {
        Shown::Token(grant, key) => {
            let Grant { name, scopes, .. } = &*grant;
            by(Principal::Grant(name.clone()), Some(key), scopes.clone())
        }
        Shown::Nothing | Shown::Wrong if options.open => by(Principal::Anonymous, None, vec![Scope::Read, Scope::Run]),
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
    matches!(*request.method(), Method::GET | Method::HEAD) && FREE.contains(&request.uri().path())
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
