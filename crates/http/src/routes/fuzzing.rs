//! Promises of this crate about requests, as functions that panic where one does not hold. `crates/fuzzed` says who calls them.
#![expect(clippy::panic, reason = "a panic is what a finding is")]

use std::net::Ipv6Addr;

use axum::{body::Body, extract::Request, http::HeaderValue};

use super::{approvals, events, legacy_sessions, legacy_turns, running, session_work, sessions, tokens, turns};
use crate::{
    checks::Hosts,
    error::Failure,
    request::{Input, parse},
};

/// Whatever `Host` and target say: what passes is one of our names, as somebody reads it who shares no code with the check.
pub fn host(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let request = Request::builder().uri("/healthz").header("host", value.clone()).body(Body::empty());
    let Ok(request) = request else { return };
    if Hosts::new(&[], None).check(&request).is_err() {
        return;
    }
    let text = value.to_str().unwrap_or_else(|_| panic!("{value:?}")).to_ascii_lowercase();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            (name, Some(port))
        }
        _ => (text.as_str(), None),
    };
    let loopback = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.and_then(|name| name.parse::<Ipv6Addr>().ok()).is_some_and(|ip| ip == Ipv6Addr::LOCALHOST)
    };
    let ours = |name: &str| name == "127.0.0.1" || name == "localhost" || loopback(name);
    assert!(ours(name) || (port.is_some() && loopback(&text)), "{text:?} passed");
}

/// Whatever a body says: it is a thing of its route, or a sentence of bounded length without control characters.
pub fn bodies(data: &[u8]) {
    one::<sessions::CreateSession>(data);
    one::<sessions::PatchSession>(data);
    one::<sessions::Autoname>(data);
    one::<turns::CreateTurn>(data);
    one::<turns::Retry>(data);
    one::<running::Steer>(data);
    one::<running::Interrupt>(data);
    one::<session_work::Fork>(data);
    one::<approvals::Decide>(data);
    one::<tokens::NewToken>(data);
    one::<tokens::Rotate>(data);
    one::<legacy_sessions::Rename>(data);
    one::<legacy_turns::Start>(data);
    one::<legacy_turns::Continue>(data);
}

fn one<T: Input>(data: &[u8]) {
    if let Err(failure) = parse::<T>(data) {
        sentence(&failure, data.len());
    }
}

/// Whatever `Last-Event-ID` says: it is a number that is not negative, or a sentence.
pub fn last_event_id(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    match events::behind(Some(&value), None) {
        Ok(after) => assert!(after.is_some_and(|after| after.0 >= 0), "{value:?}"),
        Err(failure) => sentence(&failure, data.len()),
    }
}

fn sentence(failure: &Failure, given: usize) {
    let detail = failure.detail();
    assert!(!detail.is_empty() && detail.len() <= 1_000 + 4 * given, "{detail}");
    assert!(!detail.chars().any(char::is_control), "{detail:?}");
}
