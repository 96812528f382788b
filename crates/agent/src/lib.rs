//! Codex, and everything that only this crate knows of it: its JSON, its processes, its versions.
//!
//! # Theory of operation
//!
//! ```text
//!  engine --ask, reply, ack--> Agent (a handle)
//!                                |  one task owns the process and everything about it
//!                          supervisor: locate, spawn, shake hands, run, restart
//!                                |
//!                          connection: one loop over { transport, adapter, commands, clock }
//!                           /          \
//!                  transport            adapter (app_server or mcp_server): pure, no I/O, no clock of its own
//!            numbered lines, acks       lines in -> reports out; asks in -> lines out
//! ```
//!
//! What goes in are [`Ask`]s: what the engine wants, in the domain's words, under a number that the engine has already
//! stored. What comes out is one stream of [`Message`]s: the agent came up, it went down, or it reports something about a
//! thread. Each report carries the number of the line that it was read from; the engine acknowledges the number once what
//! the line meant is committed.
//!
//! Every ask gets exactly one answer, whatever happens: Codex's own, an overload that outlasted the retries, a deadline, or
//! the end of the process. The answer says whether Codex may have heard the question.
//!
//! Architecture invariant: no other crate sees JSON of Codex's, names a method of it, or parses one of its error texts.
//! Architecture invariant: only fields that are used are decoded; an item that is not known is handed on as it came.

mod adapter;
mod app_server;
mod connection;
mod domain;
mod handshake;
#[cfg(unix)]
pub mod host;
mod hosts;
pub mod locate;
mod mcp_server;
mod process;
#[cfg(unix)]
mod processes;
mod question;
mod rpc;
mod supervisor;
mod transport;
mod upkeep;
mod version;
mod words;

pub use domain::{
    Answer, Applied, ApprovalRequest, Ask, AskError, AskKind, Capabilities, DeltaKind, Message, Outcome, PendingAsk,
    Port, Reply, Report, RequestId, Route, ThreadSpec, TurnSpec, What,
};
pub use hosts::HostOptions;
pub use supervisor::{Agent, Options};
pub use upkeep::Upkeep;
pub use version::{TESTED, Version};
