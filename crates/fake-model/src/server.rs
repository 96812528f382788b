//! The HTTP server: accepts, records, and has each request played.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::conversation::Conversation;
use crate::events;
use crate::player::Player;
use crate::script::Answer;

const BIGGEST_BODY: usize = 64 << 20;
const MOST_RECORDED: usize = 10_000;
const MOST_RECORDED_BYTES: usize = 64 << 20;

/// A running scripted model. Dropping it ends it.
#[derive(Debug)]
pub struct FakeModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// A request that Codex sent.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// When it had arrived in full.
    pub at: SystemTime,
    /// Codex's thread, from the header `thread-id`.
    pub thread_id: Option<String>,
    /// The header `x-codex-turn-metadata` (0.153 and later): JSON text with `turn_id`, `sandbox_mode` and more.
    pub turn_metadata: Option<String>,
    /// The header `originator`: the `clientInfo.name` of whoever drives Codex.
    pub originator: Option<String>,
    /// The body; null if it was not JSON.
    pub body: Value,
}

impl RecordedRequest {
    /// The last message of the user in it.
    #[must_use]
    pub fn prompt(&self) -> String {
        Conversation::read(&self.body).prompt
    }

    /// How many of the tools that were called since then have said what came of it. None: the prompt is asked for the first time.
    #[must_use]
    pub fn outputs(&self) -> usize {
        Conversation::read(&self.body).outputs.len()
    }
}

/// A request as it is kept: a parsed body would need several times the memory.
#[derive(Debug)]
struct Kept {
    at: SystemTime,
    thread_id: Option<String>,
    turn_metadata: Option<String>,
    originator: Option<String>,
    body: Bytes,
}

impl Kept {
    fn read(&self) -> RecordedRequest {
        RecordedRequest {
            at: self.at,
            thread_id: self.thread_id.clone(),
            turn_metadata: self.turn_metadata.clone(),
            originator: self.originator.clone(),
            body: serde_json::from_slice(&self.body).unwrap_or_default(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    recorded: Mutex<Recorded>,
    count: watch::Sender<usize>,
    /// When the model started, in microseconds since 1970: makes ids differ from those of an earlier model, for whoever stores them.
    epoch: u128,
    /// Numbers responses.
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Recorded {
    requests: VecDeque<Kept>,
    bytes: usize,
}

impl FakeModel {
    /// Starts a model on a free port of `127.0.0.1`. Needs a running tokio runtime, on which it lives.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            recorded: Mutex::default(),
            count: watch::Sender::new(0),
            epoch: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros()),
            next: AtomicU64::new(1),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { address, shared, _stop: stop.drop_guard() })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What Codex calls `base_url`: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The text of a `config.toml` for `CODEX_HOME` that makes any Codex from 0.98.0 to 0.169.0 use this model.
    ///
    /// `remote_models = false` keeps 0.98.0 from trying the network for three seconds at each start of a thread; later versions ignore it.
    #[must_use]
    pub fn codex_config(&self) -> String {
        format!(
            "model = \"fake-model\"\nmodel_provider = \"fake\"\n\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}\"\n\
             wire_api = \"responses\"\nrequest_max_retries = 1\nstream_max_retries = 1\nstream_idle_timeout_ms = 20000\n\n\
             [features]\nremote_models = false\n",
            self.base_url()
        )
    }

    /// The recorded requests to `/v1/responses`, oldest first. A request is recorded before it is answered.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.shared.recorded).requests.iter().map(Kept::read).collect()
    }

    /// The same, and they are not kept any longer: for whoever wants every one of more than are kept.
    #[must_use]
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        let taken = std::mem::take(&mut *lock(&self.shared.recorded));
        taken.requests.iter().map(Kept::read).collect()
    }

    /// How many requests there were, also those that are no longer kept.
    #[must_use]
    pub fn request_count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Waits until there were at least that many requests. Has no deadline of its own.
    pub async fn wait_for_requests(&self, n: usize) {
        let mut count = self.shared.count.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = count.wait_for(|count| *count >= n).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, or a client that was gone at once: others may still come.
                Err(_) => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let shared = Arc::clone(&shared);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(stream, shared) => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Deltas are small; without this they wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    // A broken connection is the client's affair, and what `CUT` is for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Events> {
    let (parts, body) = request.into_parts();
    match (parts.method, parts.uri.path()) {
        (Method::GET, "/v1/models") => whole(StatusCode::OK, r#"{"object":"list","data":[],"models":[]}"#.to_owned()),
        (Method::POST, "/v1/responses") => match Limited::new(body, BIGGEST_BODY).collect().await {
            Ok(body) => respond(&parts.headers, body.to_bytes(), shared),
            Err(_) => whole(StatusCode::PAYLOAD_TOO_LARGE, events::error_body(413)),
        },
        _ => whole(StatusCode::NOT_FOUND, events::error_body(404)),
    }
}

fn respond(headers: &HeaderMap, body: Bytes, shared: &Arc<Shared>) -> Response<Events> {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let size = body.len();
    shared.record(headers, body);
    let conversation = Conversation::read(&request);
    let script = conversation.script();
    if let Some(Answer::Fail(status)) = script.answer {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return whole(code, events::error_body(status));
    }
    let (sender, receiver) = mpsc::channel(16);
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    let player =
        Player { id: format!("{:x}_{number}", shared.epoch), input: size, prompt: conversation.prompt.len(), sender };
    tokio::spawn(async move {
        // The error is that the client has gone, and with it the wish for an answer.
        let _ = player.play(&request, &conversation, &script).await;
    });
    let mut response = Response::new(Events::new(receiver));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

impl Shared {
    fn record(&self, headers: &HeaderMap, body: Bytes) {
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let kept = Kept {
            at: SystemTime::now(),
            thread_id: header("thread-id"),
            turn_metadata: header("x-codex-turn-metadata"),
            originator: header("originator"),
            body,
        };
        let mut recorded = lock(&self.recorded);
        recorded.bytes += kept.body.len();
        recorded.requests.push_back(kept);
        while recorded.requests.len() > MOST_RECORDED
            || (recorded.bytes > MOST_RECORDED_BYTES && recorded.requests.len() > 1)
        {
            if let Some(oldest) = recorded.requests.pop_front() {
                recorded.bytes -= oldest.body.len();
            }
        }
        drop(recorded);
        self.count.send_modify(|count| *count += 1);
    }
}

/// The body of a response: what a [`Player`] writes, or one text.
#[derive(Debug)]
struct Events {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    /// An error that waits for its turn. hyper drops what it has not flushed when a body fails, and flushes when a body pauses: so pause first.
    broken: Option<io::Error>,
}

impl Events {
    fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, broken: None }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        match self.receiver.poll_recv(context) {
            Poll::Ready(Some(Err(broken))) => {
                self.broken = Some(broken);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn whole(status: StatusCode, json: String) -> Response<Events> {
    let (sender, receiver) = mpsc::channel(1);
    // The channel has room for one.
    let _ = sender.try_send(Ok(Bytes::from(json)));
    let mut response = Response::new(Events::new(receiver));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
