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
//!                      |
//!            Codex's pipes, or a host: a process of its own that has them and outlives this one
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
//! # A codexd that attaches
//!
//! With [`Options::hosts`] Codex outlives codexd. What the engine has to do for that, and what it may rely on:
//!
//! 1. It gives the asks that have no answer, and the turns that run, by agent ([`Options::pending`]).
//! 2. The first [`Message::Up`] tells whether a Codex was still there (`attached`), and which. Of every other agent nothing is left, and
//!    nothing of it will be answered.
//! 3. An ask of that agent's that Codex was never given is answered at once, as not heard; one that it was given waits for its answer,
//!    with a fresh deadline. Every one gets one answer.
//! 4. Then comes what was said meanwhile: every line that is not acknowledged, in order, under the number that it had. A line that was
//!    acknowledged may come again, when codexd died before the acknowledgement got through; what it meant is in the store together with
//!    its number, by which the repetition is known.
//! 5. Every answer to a question of Codex's that is on disk can be given once more ([`Port::reply`]): Codex is given it once.
//! 6. [`Agent::leave`] lets Codex go on; [`Agent::stop`] ends it.
//!
//! Architecture invariant: no other crate sees JSON of Codex's, names a method of it, or parses one of its error texts.
//! Architecture invariant: only fields that are used are decoded; an item that is not known is handed on as it came.

mod adapter;
mod app_server;
mod body;
mod breaker;
mod connection;
mod descent;
mod domain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle;
mod handshake;
pub mod host;
mod hosts;
pub mod locate;
mod mcp_server;
mod pin;
mod process;
mod processes;
mod question;
mod record;
mod rpc;
mod supervisor;
mod transport;
mod upkeep;
mod version;
mod words;

pub use descent::descent;
pub use domain::{
    Answer, Applied, ApprovalRequest, Ask, AskError, AskKind, Capabilities, DeltaKind, Message, Outcome, PendingAsk,
    Port, Reply, Report, RequestId, Route, ThreadSpec, TurnSpec, What,
};
pub use handle::{Agent, Options};
pub use hosts::{HostOptions, alive as hosts_alive, end_all as end_hosts};
pub use pin::Pin;
pub use record::{Record, RecordedItem, RecordedTurn};
pub use upkeep::Upkeep;
pub use version::{TESTED, Version};
