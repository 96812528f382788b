//! A Codex that echoes, and a daemon around it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use agent::{Answer, Ask, AskError, Capabilities, Message, Outcome, Port, Report, RequestId, Route, What};
use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use engine::{Engine, Policy, Refusal};
use http_api::{Api, Options, Peer};
use http_body_util::BodyExt as _;
use serde_json::Value;
use store::Store;
use tokio::sync::{Notify, mpsc};
use tower::ServiceExt as _;
use types::{
    AgentId, AskId, ItemBody, ItemStatus, Sandbox, ThreadId, TurnError, TurnErrorCode,
    agent::{AgentInfo, AgentStatus, Backend, Supported},
};

/// Answers every prompt with `echo: ...`, at once. `fail` fails after a few words, `stop` is interrupted, and `hang` ends
/// only when [`Echo::release`] is called.
pub(crate) struct Echo {
    agent: AgentId,
    messages: mpsc::Sender<Message>,
    info: Mutex<AgentInfo>,
    count: AtomicU64,
    released: Arc<Notify>,
}

impl Echo {
    fn report(&self, route: Route, what: What) {
        let seq = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let report = Report { agent: self.agent.clone(), seq, route, what };
        self.messages.try_send(Message::Report(report)).expect("the engine listens");
    }

    pub(crate) fn set_status(&self, status: AgentStatus, error: Option<&str>) {
        let mut info = self.info.lock().unwrap();
        info.status = status;
        info.last_error = error.map(str::to_owned);
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

fn item(codex_id: &str, body: ItemBody) -> What {
    What::ItemCompleted { codex_id: codex_id.to_owned(), status: ItemStatus::Completed, body }
}

fn message(text: String) -> What {
    item("answer", ItemBody::AgentMessage { text })
}

/// The port, which needs a handle of its own for turns that end later.
struct EchoPort(Arc<Echo>);

impl Port for EchoPort {
    fn ask(&self, _: &AgentId, id: AskId, ask: Ask) {
        let echo = &self.0;
        let answer = |answer| echo.report(Route::Ask(id), What::Answer(id, answer));
        match ask {
            Ask::StartThread(_) => {
                let thread = ThreadId::parse(&format!("thread-{id}")).ok();
                answer(Ok(Answer::Thread { thread, applied: None }));
            }
            Ask::ResumeThread { thread, .. } => answer(Ok(Answer::Thread { thread: Some(thread), applied: None })),
            Ask::StartTurn(turn) => {
                let codex_turn = format!("codex-{id}");
                answer(Ok(Answer::Turn { codex_turn: codex_turn.clone() }));
                let thread = turn.thread.expect("a thread was named");
                let prompt = turn.prompt;
                let user = ItemBody::UserMessage { text: prompt.clone(), images: Vec::new() };
                echo.report(Route::Thread(thread.clone()), item("user", user));
                let end = {
                    let (echo, thread) = (echo.clone(), thread.clone());
                    move |outcome| {
                        let ended = What::TurnEnded { codex_turn: Some(codex_turn), outcome, last_message: None };
                        echo.report(Route::Thread(thread), ended);
                    }
                };
                match prompt.as_str() {
                    "fail" => {
                        echo.report(Route::Thread(thread), message("so far".to_owned()));
                        end(Outcome::Failed(TurnError::new(TurnErrorCode::ModelError, "the model said no")));
                    }
                    "stop" => end(Outcome::Interrupted),
                    "hang" => {
                        let echo = echo.clone();
                        tokio::spawn(async move {
                            echo.released.notified().await;
                            echo.report(Route::Thread(thread), message("at last".to_owned()));
                            end(Outcome::Completed);
                        });
                    }
                    _ => {
                        echo.report(Route::Thread(thread), message(format!("echo: {prompt}")));
                        end(Outcome::Completed);
                    }
                }
            }
            Ask::Inject { .. } | Ask::Interrupt { .. } => answer(Err(AskError::NotSupported)),
        }
    }

    fn reply(&self, _: &AgentId, _: RequestId, _: agent::Reply) {}

    fn ack(&self, _: &AgentId, _: u64) {}

    fn info(&self) -> AgentInfo {
        self.0.info.lock().unwrap().clone()
    }
}

/// A daemon without its wiring.
pub(crate) struct Daemon {
    pub(crate) api: Api,
    pub(crate) engine: Engine,
    pub(crate) echo: Arc<Echo>,
    pub(crate) dir: tempfile::TempDir,
}

/// What a test looks at of a response.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
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
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self.json
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
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().canonicalize().unwrap().join("work");
        std::fs::create_dir(&work).unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let (messages, inbox) = mpsc::channel(1024);
        let info = AgentInfo {
            status: AgentStatus::Ready,
            backend: Some(Backend::AppServer),
            version: Some("0.160.0".to_owned()),
            supported: Supported { from: "0.98.0".to_owned(), to: "0.160.0".to_owned(), tested: Some(true) },
            program: None,
            pid: Some(4321),
            started_at: None,
            restarts: 0,
            last_error: None,
        };
        let agent = AgentId::fresh();
        let up = Message::Up {
            agent: agent.clone(),
            backend: Backend::AppServer,
            capabilities: Capabilities { inject: false, interrupt: false },
        };
        messages.send(up).await.unwrap();
        let released = Arc::new(Notify::new());
        let echo = Arc::new(Echo { agent, messages, info: Mutex::new(info), count: AtomicU64::new(0), released });
        let policy = Policy { sandbox: Sandbox::WorkspaceWrite, ..Policy::narrowest(work) };
        let settings = engine::Options {
            policy,
            max_inject_chars: 10_000,
            turn_limit: Duration::from_secs(60),
            queue_limit: 16,
            awake_limit: 64,
            linger: Duration::from_secs(10),
        };
        let engine = Engine::start(store, Arc::new(EchoPort(echo.clone())), inbox, settings).await.unwrap();
        Self { api: Api::new(engine.clone(), options), engine, echo, dir }
    }

    /// One that lets everybody in.
    pub(crate) async fn open() -> Self {
        Self::start(Options { open: true, ..Options::default() }).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.api.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answered { status: parts.status, headers: parts.headers, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answered {
        self.send(request("POST", path).body(Body::from(body.to_string())).unwrap()).await
    }

    /// By the socket, as the command line does.
    pub(crate) async fn post_local(&self, path: &str, body: Value) -> Answered {
        let builder = Request::builder().method("POST").uri(path).extension(Peer::SameUser);
        self.send(builder.header("x-codexd-origin", "cli").body(Body::from(body.to_string())).unwrap()).await
    }
}

/// A request that passes the first check.
pub(crate) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "127.0.0.1:8787")
}

/// The turn, once it has ended.
pub(crate) async fn finished(
    engine: &Engine,
    session: &types::SessionId,
    turn: &types::TurnId,
) -> Result<types::Turn, Refusal> {
    let submitted = engine.watch(session, turn).await?;
    engine.wait(&submitted, std::time::Duration::from_secs(30)).await?;
    engine.turn(turn).await
}
