//! The API over a real engine and a real store; only Codex is a double. Every answer is compared with the OpenAPI document.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod approvals;
mod bodies;
mod checks;
mod daemon;
mod double;
mod idempotency;
mod interrupt;
mod legacy;
mod metrics;
mod mistakes;
mod openapi;
mod operate;
mod pages;
mod scopes;
mod service;
mod sessions;
mod tokens;
mod transcript;
mod turns;
mod waiting;
mod wire;
