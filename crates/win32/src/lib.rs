//! What Windows does and tells only by calls that are `unsafe` in Rust. Empty elsewhere.
//!
//! # Theory of operation
//!
//! The rest of the workspace forbids unsafe code; here each block of it says why it is sound. Nothing here knows anything of codexd: there are pipes
//! that are one user's (`pipe`), who is who among processes (`process`), and a job around this one (`job`).
//!
//! Architecture invariant: no other crate calls Windows itself. What can be had from `std` and tokio is taken from there.

#![cfg(windows)]

pub mod job;
pub mod pipe;
pub mod process;
mod sid;
