//! How a refusal looks: the one table from code to status, and the two forms that a body has.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use engine::Refusal;
use serde::Serialize;
use types::{Code, SessionId, TurnId, redact};
use utoipa::ToSchema;

/// Says that the work had been begun by the same request before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The status of each code, and its title.
pub(crate) const fn meaning(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::BadRequest => (StatusCode::BAD_REQUEST, "The request can't be understood"),
        Code::BadCwd => (StatusCode::BAD_REQUEST, "The folder can't be used"),
        Code::Unauthorized => (StatusCode::UNAUTHORIZED, "A token is needed"),
        Code::Forbidden => (StatusCode::FORBIDDEN, "The token does not allow this"),
        Code::CwdForbidden => (StatusCode::FORBIDDEN, "The folder is not allowed"),
        Code::SandboxForbidden => (StatusCode::FORBIDDEN, "The sandbox is wider than allowed"),
        Code::ApprovalPolicyForbidden => (StatusCode::FORBIDDEN, "The approval policy is wider than allowed"),
        Code::ConfigForbidden => (StatusCode::FORBIDDEN, "The configuration is not allowed"),
        Code::BadOrigin => (StatusCode::FORBIDDEN, "The web page may not call this daemon"),
        Code::NoSession => (StatusCode::NOT_FOUND, "There is no such session"),
        Code::NoTurn => (StatusCode::NOT_FOUND, "There is no such turn"),
        Code::NoApproval => (StatusCode::NOT_FOUND, "There is no such approval"),
        Code::NotFound => (StatusCode::NOT_FOUND, "There is nothing at this path"),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "The path does not take this method"),
        Code::TurnActive => (StatusCode::CONFLICT, "A turn is active"),
        Code::TurnEnded => (StatusCode::CONFLICT, "The turn has ended"),
        Code::ThreadHeld => (StatusCode::CONFLICT, "Another process uses the thread"),
        Code::ApprovalResolved => (StatusCode::CONFLICT, "The approval has been answered"),
        Code::NotSupported => (StatusCode::CONFLICT, "This can't be done here"),
        Code::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
        Code::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON"),
        Code::BadHost => (StatusCode::MISDIRECTED_REQUEST, "The Host is not this daemon"),
        Code::IdempotencyMismatch => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request")
        }
        Code::InputTooLarge => (StatusCode::UNPROCESSABLE_ENTITY, "The input is larger than Codex takes"),
        Code::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "The session's queue is full"),
        Code::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "Too many failed authentications"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Something in the daemon went wrong"),
        Code::AgentError => (StatusCode::BAD_GATEWAY, "Codex failed"),
        Code::AgentUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Codex is not running"),
        Code::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "The daemon has too much to do"),
        Code::StoreFull => (StatusCode::SERVICE_UNAVAILABLE, "The store can't be written"),
        Code::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "The daemon is stopping"),
        Code::AgentTimeout => (StatusCode::GATEWAY_TIMEOUT, "The turn took longer than the request waits"),
    }
}

/// A request that was not done. As a response it is empty until the outermost layer gives it its form ([`Shape`]).
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    refusal: Refusal,
    status: StatusCode,
    replayed: bool,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal::new(code, detail).into()
    }

    /// The sentence.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn detail(&self) -> &str {
        &self.refusal.detail
    }

    /// A body that does not come. The closed set of codes has none for it, HTTP has a status.
    pub(crate) fn slow_body(detail: String) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, ..Self::new(Code::BadRequest, detail) }
    }

    /// Why, for programs.
    pub(crate) const fn code(&self) -> Code {
        self.refusal.code
    }

    /// Says which turn it was, unless that is known.
    pub(crate) fn of_turn(mut self, session: &SessionId, turn: &TurnId) -> Self {
        self.refusal.session.get_or_insert_with(|| session.clone());
        self.refusal.turn.get_or_insert_with(|| turn.clone());
        self
    }

    /// Says that the work had been begun by the same request before.
    pub(crate) fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, _) = meaning(refusal.code);
        Self { refusal, status, replayed: false }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The form of a body that tells of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `application/problem+json`.
    Problem,
    /// `{"error", "code"}`: the routes of the first version.
    Legacy,
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// `urn:codexd:problem:` and the code.
    r#type: String,
    /// What the code means, in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// For people: what is wrong, and what to do.
    detail: String,
    code: Code,
    /// Whether the same request may succeed later, unchanged.
    retryable: bool,
    /// The session that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    /// The turn that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
}

/// Why a request was refused, as the first version told it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LegacyError {
    /// For people: what is wrong, and what to do.
    error: String,
    code: Code,
    /// The session that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    /// The turn that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
}

impl Shape {
    /// The form that belongs to a path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/health" | "/start" | "/continue" | "/reply" | "/sessions" => Self::Legacy,
            path if path.starts_with("/sessions/") => Self::Legacy,
            _ => Self::Problem,
        }
    }

    /// The status of a code in this form.
    pub(crate) const fn status(self, code: Code) -> StatusCode {
        match (self, code) {
            // Its scripts know 400 for everything that is wrong with a folder.
            (Self::Legacy, Code::CwdForbidden) => StatusCode::BAD_REQUEST,
            _ => meaning(code).0,
        }
    }

    /// Gives a response the body and the headers that it must have.
    pub(crate) fn finish(self, mut response: Response) -> Response {
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            self.render(failure, &mut response);
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn render(self, failure: Failure, response: &mut Response) {
        let Refusal { code, detail, session: session_id, turn: turn_id } = failure.refusal;
        let mut status = failure.status;
        // What was asked is quoted, in the path or a name.
        let detail = redact(&detail).into_owned();
        let (body, media) = match self {
            Self::Problem => {
                let (r#type, title) = (format!("urn:codexd:problem:{code}"), meaning(code).1);
                let (status, retryable) = (status.as_u16(), code.retryable());
                let problem = Problem { r#type, title, status, detail, code, retryable, session_id, turn_id };
                (serde_json::to_vec(&problem), "application/problem+json")
            }
            Self::Legacy => {
                if code == Code::CwdForbidden {
                    status = self.status(code);
                }
                let error = LegacyError { error: detail, code, session_id, turn_id };
                (serde_json::to_vec(&error), "application/json")
            }
        };
        *response.status_mut() = status;
        // Only a map with keys that are no text fails to serialise; these have none.
        let body = body.unwrap_or_default();
        let mut set = |name: HeaderName, value: &'static str| {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        set(header::CONTENT_TYPE, media);
        if failure.replayed {
            set(REPLAYED, "true");
        }
        match (code, status) {
            (Code::Unauthorized, _) => set(header::WWW_AUTHENTICATE, "Bearer"),
            (Code::TooManyRequests | Code::Overloaded, _) => set(header::RETRY_AFTER, "1"),
            // By then Codex has been tried again.
            (Code::AgentUnavailable, _) => set(header::RETRY_AFTER, "30"),
            // The rest of the body is not read, so nothing can follow it.
            (Code::BodyTooLarge, _) | (_, StatusCode::REQUEST_TIMEOUT) => set(header::CONNECTION, "close"),
            _ => {}
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_path() {
        for path in ["/health", "/start", "/continue", "/reply", "/sessions", "/sessions/search", "/sessions/a/b"] {
            assert_eq!(Shape::of(path), Shape::Legacy, "{path}");
        }
        for path in ["/", "", "*", "/healthz", "/readyz", "/v1/sessions", "/sessionsx", "/start/", "/v1/agent"] {
            assert_eq!(Shape::of(path), Shape::Problem, "{path}");
        }
    }

    #[test]
    fn a_folder_that_is_not_allowed_is_400_for_old_scripts_and_403_for_others() {
        let failure = || Failure::new(Code::CwdForbidden, "no").into_response();
        assert_eq!(Shape::Problem.finish(failure()).status(), StatusCode::FORBIDDEN);
        assert_eq!(Shape::Legacy.finish(failure()).status(), StatusCode::BAD_REQUEST);
    }
}
