//! Check 3b: what whoever asks may do.
//!
//! One table for all paths, whether there is something at them or not. So a route that is added later has a scope, and who
//! may not do a thing does not hear whether it is there.

use axum::http::Method;
use types::{Code, Scope};

use crate::error::Failure;

/// What needs another scope than its method says, reading it as well: a path and what lies below it.
const SPECIAL: [(&str, Scope); 4] = [
    ("/v1/tokens", Scope::Admin),
    ("/v1/import", Scope::Admin),
    ("/v1/agent/restart", Scope::Admin),
    ("/v1/stop", Scope::Admin),
];

/// What anybody who may read can read, and who answers it needs a scope for.
const APPROVALS: &str = "/v1/approvals";

/// The scope that a request needs.
pub(crate) fn needed(method: &Method, path: &str) -> Scope {
    let below = |top: &str| path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some((_, scope)) = SPECIAL.into_iter().find(|(top, _)| below(top)) {
        return scope;
    }
    match *method {
        Method::GET | Method::HEAD => Scope::Read,
        _ if below(APPROVALS) => Scope::Approve,
        _ => Scope::Run,
    }
}

/// Refuses what needs a scope that is not among these.
pub(super) fn check(method: &Method, path: &str, scopes: &[Scope]) -> Result<(), Failure> {
    let needed = needed(method, path);
    if scopes.contains(&needed) {
        return Ok(());
    }
    let has = scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "this needs the scope `{needed}`, and the token has {has}; make one that has it with \
         `codexd token new NAME --scope {needed}`"
    );
    Err(Failure::new(Code::Forbidden, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let look = |method: &str, path: &str| needed(&method.parse().unwrap(), path);
        for (method, path, scope) in [
            ("GET", "/v1/sessions", Scope::Read),
            ("HEAD", "/metrics", Scope::Read),
            ("GET", "/nothing", Scope::Read),
            ("POST", "/v1/sessions", Scope::Run),
            ("PATCH", "/v1/sessions/x", Scope::Run),
            ("DELETE", "/v1/sessions/x", Scope::Run),
            ("OPTIONS", "/v1/sessions", Scope::Run),
            ("BREW", "/v1/sessions", Scope::Run),
            ("POST", "/start", Scope::Run),
            ("GET", "/v1/tokens", Scope::Admin),
            ("GET", "/v1/tokens/", Scope::Admin),
            ("DELETE", "/v1/tokens/x", Scope::Admin),
            ("GET", "/v1/tokens/x/y", Scope::Admin),
            ("POST", "/v1/import", Scope::Admin),
            ("GET", "/v1/import", Scope::Admin),
            ("POST", "/v1/agent/restart", Scope::Admin),
            ("POST", "/v1/stop", Scope::Admin),
            ("GET", "/v1/agent", Scope::Read),
            ("POST", "/v1/agent", Scope::Run),
            ("GET", "/v1/approvals", Scope::Read),
            ("HEAD", "/v1/approvals/x", Scope::Read),
            ("POST", "/v1/approvals/x", Scope::Approve),
            ("DELETE", "/v1/approvals", Scope::Approve),
            ("POST", "/v1/approvalsx", Scope::Run),
            ("POST", "/v1/turns/x/interrupt", Scope::Run),
            ("GET", "/v1/tokensx", Scope::Read),
            ("POST", "/v1/importer", Scope::Run),
        ] {
            assert_eq!(look(method, path), scope, "{method} {path}");
        }
    }
}
