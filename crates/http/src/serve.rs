//! Connections: accepted, counted, given their time, and ended without losing an answer.
//!
//! A connection that we end is ended in two steps: first our side of it, then, when the client has read that (or a moment has
//! passed), the rest. Closed at once, with some of a refused body unread, the system would throw away the answer too.

mod lengths;
mod unread;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use types::Code;

use self::{lengths::Lengths, unread::Unread};
use crate::{
    Api, Peer,
    audited::CameFrom,
    descents::Looking,
    error::{Failure, Shape},
    metrics::Connected,
    outlet::{Outlet, Socket, Wire},
    routes::events::Stopping,
};

/// So many connections over the cap are told so; any more are closed.
pub(crate) const REFUSALS: usize = 64;

/// The most that the headers of a request may take, in bytes.
const HEADER_BYTES: usize = 64 * 1024;

/// How long nothing is accepted when the system can't.
const PAUSE: Duration = Duration::from_millis(100);

/// How long, and how much, is read and thrown away from a client that we have answered for the last time.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Something that connections come from.
pub(crate) trait Listener: Send {
    type Stream: Socket;
    /// By which way its connections come.
    const PEER: Peer;
    /// The next connection, and from where it is; `None` for one that may not be.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<(Self::Stream, CameFrom)>>> + Send;

    /// The process at its other end, where the system tells.
    fn pid(_stream: &Self::Stream) -> Option<u32> {
        None
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    const PEER: Peer = Peer::Tcp;

    async fn next(&mut self) -> io::Result<Option<(TcpStream, CameFrom)>> {
        let (stream, address) = self.accept().await?;
        // Without it an answer is only slower.
        let _ = stream.set_nodelay(true);
        Ok(Some((stream, CameFrom(address.to_string()))))
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;
    const PEER: Peer = Peer::SameUser;

    async fn next(&mut self) -> io::Result<Option<(Self::Stream, CameFrom)>> {
        let (stream, _) = self.accept().await?;
        let own = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == own => {
                let pid = peer.pid().map(|pid| format!(", pid {pid}")).unwrap_or_default();
                Ok(Some((stream, CameFrom(format!("uid {own}{pid}")))))
            }
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "another user connected to the socket; closed");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, "can't tell who connected to the socket; closed");
                Ok(None)
            }
        }
    }

    fn pid(stream: &Self::Stream) -> Option<u32> {
        // 0 is one outside of our container: no agent's, because those are in it, or in one within.
        u32::try_from(stream.peer_cred().ok()?.pid()?).ok().filter(|pid| *pid != 0)
    }
}

#[cfg(windows)]
impl Listener for win32::pipe::Listener {
    type Stream = tokio::net::windows::named_pipe::NamedPipeServer;
    const PEER: Peer = Peer::SameUser;

    /// Windows lets nobody else in.
    async fn next(&mut self) -> io::Result<Option<(Self::Stream, CameFrom)>> {
        let Some(stream) = self.accept().await? else { return Ok(None) };
        let from = win32::pipe::client(&stream).map_or_else(|| "pipe".to_owned(), |pid| format!("pipe, pid {pid}"));
        Ok(Some((stream, CameFrom(from))))
    }

    fn pid(stream: &Self::Stream) -> Option<u32> {
        win32::pipe::client(stream)
    }
}

/// Accepts until `stop`, then waits for the connections. Each listener has a house of its own: a crowd on TCP does not shut out the
/// user at the socket.
pub(crate) async fn serve<L: Listener>(api: &Api, mut listener: L, stop: CancellationToken) {
    let (routes, refuse, unclear) = (api.router(), overloaded(), unclear());
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(api.options().max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.next() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                pause(&error, &stop).await;
                continue;
            }
        };
        let inner = &api.inner;
        let (permit, router, keep_alive) = if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            (permit, &routes, true)
        } else if let Ok(permit) = Arc::clone(&inner.refusals).try_acquire_owned() {
            (permit, &refuse, false)
        } else {
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            unclear: unclear.clone(),
            peer: L::PEER,
            descent: L::pid(&stream).and_then(|pid| inner.options.descents.as_ref().map(|descents| descents.look(pid))),
            from,
            keep_alive,
            header_limit: api.options().header_limit,
            unread_limit: api.options().unread_limit,
            stop: stop.clone(),
            _permit: permit,
            _counted: inner.metrics.connected(),
        };
        connections.spawn(connection.run(stream));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Some errors are about one connection that is gone already, the others (no file descriptors) pass when others end.
async fn pause(error: &io::Error, stop: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "can't accept connections; trying again");
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(PAUSE) => {}
    }
}

fn overloaded() -> Router {
    refused(Code::Overloaded, "there are too many connections; --max-connections sets how many may be")
}

fn unclear() -> Router {
    let detail = "it says in more than one way how long the request is: one Content-Length, or one Transfer-Encoding, which must be chunked";
    refused(Code::BadRequest, detail)
}

/// What answers everything with this.
fn refused(code: Code, detail: &'static str) -> Router {
    Router::new().fallback(async move |request: Request| -> Response {
        let failure = Failure::new(code, detail);
        Shape::of(request.uri().path()).finish(failure.into_response())
    })
}

struct Connection {
    router: Router,
    /// Answers the requests that say in more than one way how long they are.
    unclear: Router,
    peer: Peer,
    /// Whose the process at the other end is; looked for at once, because it may end.
    descent: Option<Looking>,
    from: CameFrom,
    keep_alive: bool,
    header_limit: Duration,
    unread_limit: Duration,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _counted: Connected,
}

impl Connection {
    async fn run<S: Socket>(self, stream: S) {
        let peer = match self.descent {
            Some(looking) => looking.peer(self.peer).await,
            None => self.peer,
        };
        let outlet = Outlet::default();
        let stream = Lengths::new(Wire::new(stream, outlet.clone()));
        let (clear, requests) = (stream.clear(), AtomicU64::new(0));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            let clear = clear.is(requests.fetch_add(1, Ordering::Relaxed));
            let last = !clear || request.headers().contains_key(header::TRANSFER_ENCODING);
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(self.from.clone());
            request.extensions_mut().insert(Stopping(self.stop.clone()));
            request.extensions_mut().insert(outlet.clone());
            let router = if clear { &self.router } else { &self.unclear };
            let answer = router.clone().oneshot(request);
            Box::pin(async move {
                let mut answer = answer.await?;
                if last {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            })
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_limit)
            .max_buf_size(HEADER_BYTES)
            .keep_alive(self.keep_alive);
        let mut connection = http.serve_connection(TokioIo::new(Unread::new(stream, self.unread_limit)), service);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection");
        }
        let stream = connection.into_parts().io.into_inner().into_inner().into_inner();
        tokio::select! {
            () = linger(stream) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let rest = async {
        stream.shutdown().await?;
        let (mut sink, mut left) = (vec![0; 8 * 1024], LINGER_BYTES);
        while left > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    let _ = timeout(LINGER, rest).await;
}
