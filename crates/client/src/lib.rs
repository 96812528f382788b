//! How to reach a running codexd.
//!
//! # Theory of operation
//!
//! A daemon leaves `daemon.json` in its store dir ([`types::DaemonFile`]): where its socket is (on Windows a named pipe), and what it listens on.
//! [`Client::from_store_dir`] reads it and goes by the socket (`socket`), where being the same user is authority enough; without a
//! socket, or elsewhere ([`Client::tcp`]), it goes by TCP with a token; where the file says, only after it has made sure that it is that daemon
//! who listens there (`listener`). From inside an agent the socket gives an agent's little authority. What it refuses there is asked again by TCP, after the
//! same check, when the client was given a token: who has been given one is to have what it opens. Elsewhere the socket is the better way also for who has a
//! token, since it refuses the user nothing.
//!
//! Each call is one connection and one request: the daemon is on the same machine, so that a connection costs less than
//! keeping one alive, and a client that is held for hours never meets a dead one. Nothing waits without a limit:
//! connecting takes [`CONNECT_LIMIT`] at most, and each call takes what its caller gives it. Dropping the future of a call
//! closes its connection; what the daemon was asked to do goes on.
//!
//! The typed calls are those of the v1 API, one file a resource. They decode the fields that are used here and keep the JSON
//! as it came ([`Reply`]), so that a caller can pass on what a newer daemon says. [`Client::request`] is the same without
//! any typing, for tests.
//!
//! What happens comes as a stream of events that is connected anew when it was cut ([`Client::events`]; `events` has its theory).
//!
//! Calls deliberately lack retries: a POST that starts work may have been heard, and only its caller knows what to do then.
//! The calls that start work take an idempotency key for that: with the same key the daemon starts nothing twice.
//! [`Error::is_cut`] tells which errors may go by themselves.
//!
//! It reads no environment and no home folder.

mod calls;
mod client;
mod connection;
mod daemon_file;
mod download;
mod error;
mod events;
mod listener;
mod socket;
mod v1;

pub use calls::Reply;
pub use client::{Client, SHORT_LIMIT};
pub use connection::CONNECT_LIMIT;
pub use download::Download;
pub use error::Error;
#[cfg(feature = "fuzzing")]
pub use events::fuzzing;
pub use events::{BIGGEST_FRAME, Event, EventQuery, Events, SILENCE, Text, TextKind, Told};
/// For [`Client::request`].
pub use hyper::{Method, StatusCode};
pub use listener::process_start;
pub use v1::{
    ApprovalQuery, Approvals, Archived, Changes, Created, Forked, Found, Hit, Imported, NewSession, NewToken, NewTurn,
    OfFile, OnBusy, OnHeld, PageQuery, SessionPage, SessionQuery, Stopping, Submitted, TokenMade, Tokens,
    TranscriptFormat, TurnPage, Verdict,
};
