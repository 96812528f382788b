//! The API over a real engine and a real store; only Codex is a double.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

mod bodies;
mod checks;
mod double;
mod legacy;
mod wire;
