//! What Codex's errors mean. It tells most of them apart by their text alone; the texts stand here and nowhere else.

use types::{TurnError, TurnErrorCode};

use super::{login_hint, wire};
use crate::domain::AskError;

/// Why a request was refused.
pub(super) fn of_request(error: &wire::RpcError) -> AskError {
    let text = error.message.as_str();
    let data = error.data.as_ref();
    let number = |name: &str| data.and_then(|data| data.get(name)).and_then(serde_json::Value::as_u64);
    if error.code == wire::OVERLOADED {
        AskError::Overloaded
    } else if data.is_some_and(|data| data["input_error_code"] == "input_too_large") {
        AskError::TooLarge { max: number("max_chars").unwrap_or(0), actual: number("actual_chars").unwrap_or(0) }
    } else if text.contains("thread not found") || text.contains("thread not loaded") {
        AskError::NotLoaded
    } else if text.contains("no rollout found")
        || text.contains("invalid session id")
        || text.contains("invalid thread id")
        || (text.contains("rollout") && text.contains("is empty"))
    {
        AskError::NoRecord(text.to_owned())
    } else if text.contains("already has an active writer") {
        AskError::Held(text.to_owned())
    } else if text.starts_with("Invalid request: unknown variant") && text.contains("expected one of `initialize`") {
        // The names of methods begin with that one; other words that it does not know are the caller's.
        AskError::NotSupported
    } else if text.ends_with("requires experimentalApi capability") {
        AskError::NotSupported
    } else {
        AskError::Refused(text.to_owned())
    }
}

/// Why a running turn took no more input.
pub(super) fn of_steer(error: &wire::RpcError) -> AskError {
    let text = error.message.as_str();
    if text.contains("no active turn to steer") || text.contains("expected active turn id") {
        return AskError::NoTurn;
    }
    of_request(error)
}

/// Why a turn failed.
pub(super) fn of_turn(failure: Option<&wire::TurnFailure>) -> TurnError {
    let Some(failure) = failure else {
        return TurnError::new(TurnErrorCode::Other, "Codex did not say why");
    };
    let info = &failure.codex_error_info;
    let name = info.as_str().or_else(|| info.as_object()?.keys().next().map(String::as_str)).unwrap_or_default();
    let status = info
        .as_object()
        .and_then(|object| object.values().next())
        .and_then(|detail| detail.get("httpStatusCode"))
        .and_then(serde_json::Value::as_u64);
    let mut message = failure.message.clone();
    if let Some(details) = &failure.additional_details {
        message = format!("{message} ({details})");
    }
    let code = code(name, status, &message);
    if let Some(hint) = login_hint(code) {
        message = format!("{message}; {hint}");
    }
    TurnError::new(code, message)
}

fn code(name: &str, status: Option<u64>, message: &str) -> TurnErrorCode {
    match (name, status) {
        ("contextWindowExceeded", _) => TurnErrorCode::ContextExceeded,
        ("usageLimitExceeded", _) | (_, Some(429)) => TurnErrorCode::RateLimited,
        ("unauthorized", _) | (_, Some(401)) => TurnErrorCode::LoginRequired,
        ("responseStreamDisconnected", _) => TurnErrorCode::StreamCut,
        ("internalServerError" | "serverOverloaded" | "badRequest" | "httpConnectionFailed", _)
        | ("responseTooManyFailedAttempts" | "responseStreamConnectionFailed", _) => TurnErrorCode::ModelError,
        // Older versions, and some failures of the newest, say `other`: the sentence is all there is.
        _ => of_text(message),
    }
}

fn of_text(message: &str) -> TurnErrorCode {
    if message.contains("401 Unauthorized") {
        TurnErrorCode::LoginRequired
    } else if message.contains("429 Too Many Requests") {
        TurnErrorCode::RateLimited
    } else if message.starts_with("stream disconnected") {
        TurnErrorCode::StreamCut
    } else if message.starts_with("unexpected status") || message.trim_start().starts_with('{') {
        TurnErrorCode::ModelError
    } else {
        TurnErrorCode::Other
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn failures_of_the_model_have_codes() {
        let cases = [
            (json!("contextWindowExceeded"), "room", TurnErrorCode::ContextExceeded),
            (json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), "x", TurnErrorCode::RateLimited),
            (json!({"httpConnectionFailed": {"httpStatusCode": 401}}), "x", TurnErrorCode::LoginRequired),
            (json!("internalServerError"), "x", TurnErrorCode::ModelError),
            (json!("other"), "stream disconnected before completion: x", TurnErrorCode::StreamCut),
            (json!("other"), "unexpected status 401 Unauthorized: x", TurnErrorCode::LoginRequired),
            (json!("other"), "{\"error\": 1}", TurnErrorCode::ModelError),
            (json!(null), "?", TurnErrorCode::Other),
        ];
        for (info, message, code) in cases {
            let failure = serde_json::from_value(json!({"message": message, "codexErrorInfo": info})).unwrap();
            assert_eq!(of_turn(Some(&failure)).code, code, "{info} {message}");
        }
    }
}
