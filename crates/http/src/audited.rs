//! What of a request is for the audit log.
//!
//! This stands around all routes, as the checks do, and goes by what they and the routes have said: the code of a refusal, the scope of a path.
//! So a route that is added later is noted when it is one for `admin` or `approve`, and what is refused there is noted wherever it is. A route may
//! add what it was about ([`About`]).

use audit::{Decision, Fact, Kind, Transport};
use axum::{
    http::{Method, Uri},
    response::Response,
};
use serde_json::{Map, Value, json};
use types::{Code, Scope, SessionId, Timestamp};

use crate::{
    Api, Peer,
    checks::{Caller, needed},
    error::Failure,
};

/// From where a connection comes, as the log tells it.
#[derive(Debug, Clone)]
pub(crate) struct CameFrom(pub(crate) String);

/// What a request was about, in the words of its route; an extension of its response.
#[derive(Debug, Clone, Default)]
pub(crate) struct About(pub(crate) Map<String, Value>);

impl About {
    pub(crate) fn of<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// A request before it is answered; an extension of it, for what a route notes before it answers.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) peer: Peer,
    pub(crate) from: Option<CameFrom>,
}

/// Notes what became of a request, if it is to be noted.
pub(crate) fn note(api: &Api, asked: Asked, who: Option<&Caller>, response: &mut Response) {
    let failure: Option<&Failure> = response.extensions().get();
    let code = failure.map(Failure::code);
    let kind = match code {
        Some(code) => refused(code),
        None if response.status().is_success() => done(&asked.method, asked.uri.path()),
        None => None,
    };
    let Some(what) = kind else { return };
    let about = response.extensions_mut().remove::<About>().unwrap_or_default();
    let decision = if code.is_some() { Decision::Refused } else { Decision::Allowed };
    write(api, &asked, who, (what, decision, code), about);
}

/// Notes what of a request that is done otherwise was refused. At once: who asked waits for the turn, and may be gone before its end.
pub(crate) fn left_out(api: &Api, asked: &Asked, who: &Caller, session: &SessionId, overrides: &[&str]) {
    if !overrides.is_empty() {
        let about = About::of([("session", json!(session)), ("ignoredOverrides", json!(overrides))]);
        write(api, asked, Some(who), (Kind::PolicyRefused, Decision::Refused, None), about);
    }
}

fn write(
    api: &Api,
    asked: &Asked,
    who: Option<&Caller>,
    (what, decision, code): (Kind, Decision, Option<Code>),
    about: About,
) {
    let fact = Fact {
        at: asked.at,
        what,
        decision,
        principal: who.map(|who| who.principal.name()),
        transport: if asked.peer == Peer::Tcp { Transport::Tcp } else { Transport::Socket },
        peer: asked.from.as_ref().map(|from| from.0.clone()),
        code,
        about: about.0,
    };
    let path: String = asked.uri.path().chars().take(200).collect();
    let method: String = asked.method.as_str().chars().take(16).collect();
    api.inner.options.audit.note(fact.about("method", method).about("path", path));
}

/// What kind of refusal is noted.
const fn refused(code: Code) -> Option<Kind> {
    match code {
        Code::Unauthorized | Code::TooManyRequests => Some(Kind::AuthFailed),
        Code::BadHost | Code::BadOrigin => Some(Kind::Foreign),
        Code::Forbidden
        | Code::CwdForbidden
        | Code::SandboxForbidden
        | Code::ApprovalPolicyForbidden
        | Code::ConfigForbidden => Some(Kind::PolicyRefused),
        _ => None,
    }
}

/// What kind of success is noted.
fn done(method: &Method, path: &str) -> Option<Kind> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let tokens = path.strip_prefix("/v1/tokens");
    match needed(method, path) {
        Scope::Approve => Some(Kind::ApprovalAnswered),
        Scope::Admin => Some(match tokens {
            Some(_) if *method == Method::DELETE => Kind::TokenRevoked,
            Some(rest) if rest.ends_with("/rotate") => Kind::TokenRotated,
            Some(_) => Kind::TokenMade,
            None => Kind::AdminDone,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let look = |method: &str, path: &str| done(&method.parse().unwrap(), path);
        for (method, path, kind) in [
            ("GET", "/v1/tokens", None),
            ("POST", "/v1/tokens", Some(Kind::TokenMade)),
            ("DELETE", "/v1/tokens/a", Some(Kind::TokenRevoked)),
            ("POST", "/v1/tokens/a/rotate", Some(Kind::TokenRotated)),
            ("POST", "/v1/import", Some(Kind::AdminDone)),
            ("POST", "/v1/approvals/x", Some(Kind::ApprovalAnswered)),
            ("POST", "/v1/sessions", None),
            ("POST", "/start", None),
        ] {
            assert_eq!(look(method, path), kind, "{method} {path}");
        }
    }
}
