//! What is counted, for `GET /metrics`.
//!
//! What the engine and the store count is read when somebody asks. Requests are counted here, by method, the template of
//! their route and their status: all of them from small closed sets, so that nobody can fill the memory with new ones.
//!
//! The time of a request is what codexd took for it. The time that a request chose to wait for a turn is left out, or the
//! histogram would tell how long people wait and nothing about codexd. Where a body is streamed, it is the time to its head.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use engine::Engine;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};
use types::agent::AgentStatus;

use crate::error::Failure;

/// What all names begin with.
const PREFIX: &str = "codexd";

/// The template of what has none.
const OTHER: &str = "other";

/// The upper ends of the histogram, in seconds: from a read of the store to a turn.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

/// All of them.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    connections: Gauge,
}

impl Metrics {
    pub(crate) fn new(engine: Engine) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let requests = Family::default();
        let durations: Family<Route, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let connections = Gauge::default();
        registry.register("build", "The version of codexd", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("http_requests", "Requests that were answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "The time until the head of the answer, without the time that a request chose to wait for a turn",
            durations.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        registry.register_collector(Box::new(Counted(engine)));
        Self { registry, requests, durations, connections }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, method: &Method, watch: &Watch, response: &Response) {
        let method = word(method);
        let route = response.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str).to_owned();
        let status = response.status().as_u16();
        self.durations.get_or_create(&Route { method, route: route.clone() }).observe(watch.worked().as_secs_f64());
        self.requests.get_or_create(&Answer { method, route, status }).inc();
    }

    /// Counts a connection until what is returned is dropped.
    pub(crate) fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// All of them in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// An open connection.
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Lets the outermost layer know which route it was.
pub(crate) async fn remember_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// A clock that stands still while a request waits for a turn.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    began: Instant,
    waited: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), waited: Arc::default() }
    }

    /// Waits off the clock.
    pub(crate) async fn pause<T>(&self, waiting: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = waiting.await;
        let waited = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(waited, Ordering::Relaxed);
        result
    }

    /// Whether the request waited for something.
    pub(crate) fn waited(&self) -> bool {
        self.waited.load(Ordering::Relaxed) > 0
    }

    fn worked(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_nanos(self.waited.load(Ordering::Relaxed)))
    }
}

impl<S: Sync> FromRequestParts<S> for Watch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::start))
    }
}

/// The methods that there are; anything else is one word.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// What the engine counts, read when somebody asks.
struct Counted(Engine);

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (counts, agent) = (self.0.counts(), self.0.agent());
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter("turns_accepted", "Turns that were accepted", counts.accepted)?;
        counter("agent_restarts", "How often Codex was started again after it ended by itself", agent.restarts)?;
        counter("store_commits", "Commits of the store", counts.commits)?;
        let ended = Family::<[(&str, &str); 1], Counter>::default();
        for (status, count) in
            [("completed", counts.completed), ("failed", counts.failed), ("interrupted", counts.interrupted)]
        {
            ended.get_or_create(&[("status", status)]).inc_by(count);
        }
        ended.encode(encoder.encode_descriptor("turns", "Turns that ended", None, ended.metric_type())?)?;
        let mut gauge = |name: &str, help: &str, value: i64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let awake = i64::try_from(counts.awake).unwrap_or(i64::MAX);
        gauge("sessions_awake", "Sessions with work, or that had some a moment ago", awake)?;
        gauge("agent_ready", "Whether Codex takes turns", (agent.status == AgentStatus::Ready).into())
    }
}
