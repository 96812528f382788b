//! The agent host, as a process of its own, with real clients and real deaths.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed by failing"
)]

mod agent;
mod ending;
mod lab;
mod lines;
mod real;
mod restart;
mod upkeep;
