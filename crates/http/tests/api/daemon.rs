//! A daemon without its wiring. Each of its answers is compared with its own OpenAPI document, and with those of older
//! releases, as a client of theirs would see it.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use engine::{Engine, Policy, Refusal};
use http_api::{Api, Options, Peer};
use http_body_util::BodyExt as _;
use openapi_check::{Exchange, Kept};
use serde_json::Value;
use store::Store;
use tower::ServiceExt as _;
use types::{Sandbox, Turn, TurnId};

use crate::double::{Echo, EchoPort};

/// Long enough for anything that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Compares an exchange with the daemon's own document, and with those of older releases.
#[track_caller]
fn check(exchange: Exchange<'_>) {
    static KEPT: OnceLock<Kept> = OnceLock::new();
    if let Err(wrong) = KEPT.get_or_init(|| Kept::with(http_api::openapi()).unwrap()).check(exchange) {
        panic!("{wrong}");
    }
}

pub(crate) struct Daemon {
    pub(crate) api: Api,
    pub(crate) engine: Engine,
    pub(crate) echo: Arc<Echo>,
    pub(crate) store: Store,
    /// Where sessions work when they don't say.
    pub(crate) work: PathBuf,
    pub(crate) dir: tempfile::TempDir,
}

/// What a test looks at of a response.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        self.with(200)
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json
    }

    /// The sentence of a refusal.
    pub(crate) fn said(&self) -> &str {
        let of = |name: &str| self.json[name].as_str();
        of("detail").or_else(|| of("error")).unwrap_or_default()
    }

    /// The status and code of a refusal, whose form must be right.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, &str) {
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(!self.headers.contains_key("access-control-allow-origin"));
        match self.header("content-type") {
            "application/problem+json" => {
                assert_eq!(self.json["type"], format!("urn:codexd:problem:{}", self.code()));
                assert_eq!(self.json["status"], self.status.as_u16());
                assert!(self.json["title"].is_string() && self.json["detail"].is_string());
                assert!(self.json["retryable"].is_boolean());
            }
            "application/json" => assert!(self.json["error"].is_string(), "{}", self.json),
            other => panic!("{other:?} {}", self.json),
        }
        (self.status.as_u16(), self.code())
    }
}

impl Daemon {
    pub(crate) async fn start(options: Options) -> Self {
        Self::with(options, |_| {}).await
    }

    /// One that lets everybody in.
    pub(crate) async fn open() -> Self {
        Self::start(open()).await
    }

    /// One whose operator decided something else.
    pub(crate) async fn with(options: Options, decide: impl FnOnce(&mut Policy)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().canonicalize().unwrap().join("work");
        std::fs::create_dir(&work).unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let (echo, inbox) = Echo::start().await;
        let mut policy = Policy { sandbox: Sandbox::WorkspaceWrite, ..Policy::narrowest(work.clone()) };
        decide(&mut policy);
        let settings = engine::Options {
            audit: audit::Audit::nowhere(),
            policy,
            max_inject_chars: 10_000,
            turn_limit: Duration::from_secs(60),
            approval_limit: Duration::from_secs(60),
            on_expiry: engine::OnExpiry::Cancel,
            queue_limit: 16,
            awake_limit: 64,
            linger: Duration::from_secs(10),
            stop_grace: Duration::from_secs(10),
            hold: true,
            git: engine::Git::nowhere(),
        };
        let engine = Engine::start(store.clone(), Arc::new(EchoPort(echo.clone())), inbox, settings).await.unwrap();
        Self { api: Api::new(engine.clone(), options), engine, echo, store, work, dir }
    }

    /// Sends a request, and compares what it is answered with the documents.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        let (parts, body) = request.into_parts();
        let sent = body.collect().await.unwrap().to_bytes();
        let (method, target) = (parts.method.clone(), parts.uri.clone());
        let request = Request::from_parts(parts, Body::from(sent.clone()));
        let response = self.api.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        check(Exchange {
            method: method.as_str(),
            target: target.path_and_query().map_or(target.path(), |target| target.as_str()),
            sent: &sent,
            status: parts.status.as_u16(),
            media: parts.headers.get("content-type").map(|media| media.to_str().unwrap()),
            body: if method == "HEAD" { b"" } else { &bytes },
        });
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answered { status: parts.status, headers: parts.headers, json, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answered {
        self.send(request("DELETE", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        self.send(json("POST", path, &body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answered {
        self.send(json("PATCH", path, &body)).await
    }

    /// Without a body.
    pub(crate) async fn post_nothing(&self, path: &str) -> Answered {
        self.send(request("POST", path).body(Body::empty()).unwrap()).await
    }

    /// Under a key.
    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: &str) -> Answered {
        let builder = request("POST", path).header("content-type", "application/json").header("idempotency-key", key);
        self.send(builder.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// By the socket, as the command line does.
    pub(crate) async fn post_local(&self, path: &str, body: Value) -> Answered {
        let builder = Request::builder().method("POST").uri(path).extension(Peer::SameUser);
        let builder = builder.header("x-codexd-origin", "cli").header("content-type", "application/json");
        self.send(builder.body(Body::from(body.to_string())).unwrap()).await
    }

    /// With a token.
    pub(crate) async fn as_holder(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answered {
        let builder = request(method, path).header("authorization", format!("Bearer {token}"));
        let builder = builder.header("content-type", "application/json");
        self.send(builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
    }

    /// A session whose first turn has ended: the id.
    pub(crate) async fn session(&self, prompt: &str) -> String {
        let made = self.post("/v1/sessions?wait=600", serde_json::json!({ "prompt": prompt })).await.with(201);
        made["session"]["id"].as_str().unwrap().to_owned()
    }

    /// The turn, once it has ended.
    pub(crate) async fn finished(&self, turn: &TurnId) -> Result<Turn, Refusal> {
        self.engine.turn_after(turn, PATIENCE).await
    }
}

/// Everybody may come in.
pub(crate) fn open() -> Options {
    Options { open: true, ..Options::default() }
}

/// A request that passes the first check.
pub(crate) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "127.0.0.1:8787")
}

fn json(method: &str, path: &str, body: &Value) -> Request<Body> {
    let builder = request(method, path).header("content-type", "application/json");
    builder.body(Body::from(body.to_string())).unwrap()
}
