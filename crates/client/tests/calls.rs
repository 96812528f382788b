//! The client against a small server of its own: what it sends, and what it makes of what comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[path = "calls/answers.rs"]
mod answers;
#[path = "calls/reaching.rs"]
mod reaching;
#[path = "calls/requests.rs"]
mod requests;
#[path = "calls/script.rs"]
mod script;
