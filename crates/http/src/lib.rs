//! The HTTP API: the only crate that knows status codes.
//!
//! # Theory of operation
//!
//! ```text
//!  listener -> serve: an accept loop, a task for each connection, limits of time and number
//!                |
//!              checks: Host, Origin, authority, scope, content type, length; then the router; then how errors look
//!                |
//!              request: bodies and queries become types, or a sentence that names the mistake
//!                |
//!              routes: one file a resource. They ask the engine and say what it answered
//! ```
//!
//! The checks stand around the whole router, not in front of single routes: an unknown path and a wrong method are told only
//! to those who may know, and a route that is added later can't forget one of them.
//!
//! Whatever is refused, by a check, a route or the engine, is a `error::Failure`: a code out of the closed set and a
//! sentence. Its status comes from one table, and its form from the path: the routes of the first version have one of their
//! own.
//!
//! What a handler takes and answers is said once, in its types and its `utoipa::path`: the router, what is refused, and the
//! OpenAPI document (`openapi`) come from there.
//!
//! Nobody's work hangs on a connection. A request that waits for a turn is only a reader of it: when the client goes away the
//! future is dropped and the turn goes on.
//!
//! # What is bounded
//!
//! Connections (beyond the cap: 503, and beyond a few of those: closed), the size of headers and bodies, the time that each
//! may take, and the time that a request waits for a turn. A connection that is idle for as long as headers may take is
//! closed, and so is one whose peer does not read for a while. A transcript is held a page at a time, and what is counted has labels out of small closed sets.
//!
//! Architecture invariant: no other crate names a status code, and none of a body is kept beyond `max_body_bytes`.
//! Architecture invariant: every response passes the outermost layer; no error is plain text.

mod audited;
mod checks;
mod descents;
mod error;
mod metrics;
mod openapi;
mod outlet;
mod request;
mod routes;
mod serve;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use audit::Audit;
use axum::Router;
use engine::Engine;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use checks::Peer;
pub use descents::Descents;
pub use openapi::text as openapi;
#[cfg(feature = "fuzzing")]
pub use routes::fuzzing;

use crate::{
    checks::{Attempts, Hosts, Origins},
    metrics::Metrics,
};

/// What the operator decides. [`Options::default`] has the documented values and lets nobody in by TCP.
#[derive(Debug, Clone)]
pub struct Options {
    /// More names by which we may be called, besides those of loopback.
    pub allow_hosts: Vec<String>,
    /// Web origins whose pages may call, such as `https://box.example`.
    pub allow_origins: Vec<String>,
    /// What TCP is bound to; its address is one of our names.
    pub bound: Option<SocketAddr>,
    /// TCP needs no token: who shows none of ours is `anonymous`.
    pub open: bool,
    /// Where it is noted who did what.
    pub audit: Audit,
    /// The longest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// How many connections each listener has at once.
    pub max_connections: usize,
    /// The sentence of a 401 that says how to get a token.
    pub token_hint: String,
    /// How long a request of the first version waits for its turn.
    pub legacy_wait: Duration,
    /// How long the headers of a request may take; also how long a connection may be idle.
    pub header_limit: Duration,
    /// How long a body may take.
    pub body_limit: Duration,
    /// Tells who came by the socket from inside an agent. Without, all that came by it are the user.
    pub descents: Option<Descents>,
    /// How long a connection may go on whose peer reads nothing of what it is sent.
    pub unread_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            bound: None,
            open: false,
            audit: Audit::nowhere(),
            max_body_bytes: 256 * 1024,
            max_connections: 1024,
            token_hint: "make one with `codexd token new NAME` and send it as `Authorization: Bearer TOKEN`".to_owned(),
            legacy_wait: Duration::from_secs(1800),
            header_limit: Duration::from_secs(10),
            body_limit: Duration::from_secs(30),
            descents: None,
            unread_limit: Duration::from_secs(300),
        }
    }
}

/// Somebody wants the daemon to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Running turns and Codex are to end as well.
    pub agents: bool,
}

/// The API over an engine; cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    options: Options,
    hosts: Hosts,
    origins: Origins,
    attempts: Attempts,
    refusals: Arc<Semaphore>,
    metrics: Metrics,
    stop: watch::Sender<Option<Stop>>,
    /// Without the API that they are routes of, which holds them.
    routes: Router<Api>,
}

impl Api {
    /// The API over this engine.
    #[must_use]
    pub fn new(engine: Engine, options: Options) -> Self {
        let hosts = Hosts::new(&options.allow_hosts, options.bound);
        let origins = Origins::new(&options.allow_origins);
        let refusals = Arc::new(Semaphore::new(serve::REFUSALS));
        let (attempts, metrics) = (Attempts::default(), Metrics::new(engine.clone()));
        let routes = openapi::routes();
        let stop = watch::Sender::new(None);
        Self { inner: Arc::new(Inner { engine, options, hosts, origins, attempts, refusals, metrics, stop, routes }) }
    }

    /// All routes with all checks. A request is taken for one that came by TCP unless it has a [`Peer`] as an extension.
    pub fn router(&self) -> Router {
        checks::around(self.clone(), self.inner.routes.clone().with_state(self.clone()))
    }

    /// Serves TCP until `stop`. Then running requests finish, and this returns when the last connection is gone; it sets no
    /// deadline for that.
    pub async fn serve_tcp(&self, listener: tokio::net::TcpListener, stop: CancellationToken) {
        serve::serve(self, listener, stop).await;
    }

    /// Serves a Unix socket until `stop`, as [`Api::serve_tcp`] does. Another user's connection is closed unread.
    #[cfg(unix)]
    pub async fn serve_unix(&self, listener: tokio::net::UnixListener, stop: CancellationToken) {
        serve::serve(self, listener, stop).await;
    }

    /// Serves a named pipe that only this user can open until `stop`, as [`Api::serve_tcp`] does.
    #[cfg(windows)]
    pub async fn serve_pipe(&self, listener: win32::pipe::Listener, stop: CancellationToken) {
        serve::serve(self, listener, stop).await;
    }

    /// Completes when somebody who may has asked for the daemon's end, and says how it is to end. Whoever serves decides what follows.
    pub async fn asked_to_stop(&self) -> Stop {
        let mut stop = self.inner.stop.subscribe();
        match stop.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            _ => std::future::pending().await,
        }
    }

    fn ask_to_stop(&self, stop: Stop) {
        self.inner.stop.send_replace(Some(stop));
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn options(&self) -> &Options {
        &self.inner.options
    }
}
