//! The handle, and the request without types.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use tokio::time::timeout;
use types::DaemonFile;

use crate::{
    Download, Error,
    connection::{Address, Answer, Open},
    daemon_file,
    error::refused,
    listener::Expected,
};

/// What a call that only looks something up is given.
pub const SHORT_LIMIT: Duration = Duration::from_secs(30);

/// How much of a refusal is read.
const BIGGEST_REFUSAL: usize = 1 << 20;

/// Reaches one daemon. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Client {
    address: Address,
    authorization: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    /// The store whose `daemon.json` named the address: nobody there means that no daemon runs.
    store_dir: Option<PathBuf>,
    daemon: Option<DaemonFile>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("Client").field("address", &self.address).field("store_dir", &self.store_dir).finish()
    }
}

impl Client {
    /// Reaches the daemon of a store: by its socket, else by the address that it tells (then see [`Client::with_token`]).
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::NoDaemon`] when none has said where it is; [`Error::DaemonFile`] when what it said can't be used.
    pub fn from_store_dir(store_dir: &Path) -> Result<Self, Error> {
        let daemon = daemon_file::read(store_dir)?;
        let address = address_of(&daemon, store_dir).unwrap_or_else(|| {
            let reason = "it names neither an address nor a socket".to_owned();
            Err(Error::DaemonFile { path: store_dir.join(DaemonFile::NAME), reason })
        })?;
        Ok(Self {
            address,
            authorization: None,
            origin: None,
            store_dir: Some(store_dir.to_owned()),
            daemon: Some(daemon),
        })
    }

    /// Reaches a daemon at `http://HOST:PORT`, with a token if it asks for one.
    ///
    /// # Errors
    /// [`Error::BadAddress`] for anything else.
    pub fn tcp(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let address = Address::tcp(url)?;
        Ok(Self { address, authorization: None, origin: None, store_dir: None, daemon: None }.with_token(token))
    }

    /// Shows this token. The socket needs none, except from inside an agent: what it refuses there is asked again by TCP, in the token's name. An
    /// empty one, and one that no header can carry, is none.
    #[must_use]
    pub fn with_token(mut self, token: Option<&str>) -> Self {
        self.authorization = token.filter(|token| !token.is_empty()).and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        self
    }

    /// Says that a person's command line asks: turns tell it as their origin.
    #[must_use]
    pub fn from_cli(mut self) -> Self {
        self.origin = Some(HeaderValue::from_static("cli"));
        self
    }

    /// What the daemon said of itself in its store dir.
    #[must_use]
    pub fn daemon(&self) -> Option<&DaemonFile> {
        self.daemon.as_ref()
    }

    /// Sends one request and gives its answer, whatever its status is. `path` begins with `/` and is escaped already; a
    /// body is sent as JSON.
    ///
    /// # Errors
    /// [`Error::NoDaemon`], [`Error::Transport`] and [`Error::TimedOut`]; never [`Error::Refused`].
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Error> {
        let answer = self.exchange(method, path, body, None, limit).await?;
        Ok((answer.status, answer.body))
    }

    /// The same with an idempotency key, and with the answer's headers.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        key: Option<&str>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let once = async |client: &Self| {
            let request = client.build(method.clone(), path, body.clone(), key)?;
            timeout(limit, client.address.exchange(request)).await.unwrap_or(Err(Error::TimedOut { limit }))
        };
        match once(self).await {
            Err(error) => match self.without_socket(&error) {
                Some(way) => match once(&way.client).await {
                    Ok(answer) if answer.status != StatusCode::UNAUTHORIZED => Ok(answer),
                    Err(stranger @ Error::Stranger { .. }) => Err(stranger),
                    answer => Err(way.closed(answer.is_ok())),
                },
                None => Err(self.nobody_there(error)),
            },
            Ok(answer) if answer.status == StatusCode::FORBIDDEN => match self.by_token(&answer.body) {
                Some(by_tcp) => once(&by_tcp).await,
                None => Ok(answer),
            },
            answer => answer,
        }
    }

    /// Begins to read an answer that may be large. Its head, and each piece of it, may take [`SHORT_LIMIT`].
    pub(crate) async fn download(&self, path: &str) -> Result<Download, Error> {
        self.begin(path, None, SHORT_LIMIT).await
    }

    /// Begins to read a stream of events from behind one. Each piece may take `limit`.
    pub(crate) async fn listen(&self, path: &str, last: Option<&str>, limit: Duration) -> Result<Download, Error> {
        let download = self.begin(path, last, limit).await?;
        if download.is_of("text/event-stream") {
            return Ok(download);
        }
        Err(Error::BadAnswer { call: format!("GET {path}"), reason: "it is no stream of events".to_owned() })
    }

    /// The same daemon, or the one that has its store now. Shows what this one shows.
    pub(crate) fn found_again(&self) -> Self {
        // Until another one tells where it is, the old place is as good as any.
        match self.store_dir.as_deref().map(Self::from_store_dir) {
            Some(Ok(found)) => Self { authorization: self.authorization.clone(), origin: self.origin.clone(), ..found },
            _ => self.clone(),
        }
    }

    async fn begin(&self, path: &str, last: Option<&str>, limit: Duration) -> Result<Download, Error> {
        let open = match self.open(path, last).await {
            Ok(open) => open,
            Err(error) => match self.without_socket(&error) {
                Some(way) => match way.client.open(path, last).await {
                    Ok(open) if open.response.status() != StatusCode::UNAUTHORIZED => open,
                    Err(stranger @ Error::Stranger { .. }) => return Err(stranger),
                    answer => return Err(way.closed(answer.is_ok())),
                },
                None => return Err(self.nobody_there(error)),
            },
        };
        let (status, body) = match self.content(open, limit).await? {
            Ok(download) => return Ok(download),
            Err((StatusCode::FORBIDDEN, body)) => match self.by_token(&body) {
                Some(by_tcp) => match by_tcp.content(by_tcp.open(path, last).await?, limit).await? {
                    Ok(download) => return Ok(download),
                    Err(refusal) => refusal,
                },
                None => (StatusCode::FORBIDDEN, body),
            },
            Err(refusal) => refusal,
        };
        Err(refused(&Method::GET, path, status.as_u16(), &body))
    }

    /// Asks for an answer that may be large.
    async fn open(&self, path: &str, last: Option<&str>) -> Result<Open, Error> {
        let mut request = self.build(Method::GET, path, None, None)?;
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            request.headers_mut().insert("last-event-id", last);
        }
        let opened = timeout(SHORT_LIMIT, self.address.open(request)).await;
        opened.unwrap_or(Err(Error::TimedOut { limit: SHORT_LIMIT }))
    }

    /// What comes; or, read already, why it does not.
    async fn content(&self, open: Open, limit: Duration) -> Result<Result<Download, (StatusCode, Vec<u8>)>, Error> {
        let status = open.response.status();
        let mut download = Download::new(open, self.address.shown(), limit);
        if status.is_success() {
            return Ok(Ok(download));
        }
        let mut body = Vec::new();
        while let Some(piece) = download.piece().await? {
            if body.len() + piece.len() > BIGGEST_REFUSAL {
                break;
            }
            body.extend_from_slice(&piece);
        }
        Ok(Err((status, body)))
    }

    fn build(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let call = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.host());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(origin) = &self.origin {
            request = request.header("x-codexd-origin", origin);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| Error::BadAnswer { call, reason: error.to_string() })
    }

    /// The way by TCP to the same daemon, for the token that was given, when the socket has refused this. By the socket that happens only to what
    /// comes from inside an agent, whoever asks; and a refusal has done nothing, so that the same may be asked again.
    fn by_token(&self, refusal: &[u8]) -> Option<Self> {
        if self.authorization.is_none()
            || !matches!(self.address, Address::Socket { .. })
            || !crate::error::is_forbidden(refusal)
        {
            return None;
        }
        let daemon = self.daemon.as_ref()?;
        let address = by_tcp(daemon.http.as_deref()?, daemon, self.store_dir.as_deref()?).ok()?;
        Some(Self { address, ..self.clone() })
    }

    /// Another way to a daemon that lives and whose socket was removed.
    #[cfg(unix)]
    fn without_socket(&self, error: &Error) -> Option<Way> {
        let Error::Transport { source, .. } = error else { return None };
        let Address::Socket { path: socket, .. } = &self.address else { return None };
        let daemon = self.daemon.as_ref()?;
        if source.kind() != io::ErrorKind::NotFound || !lives(daemon.pid) {
            return None;
        }
        let address = by_tcp(daemon.http.as_deref()?, daemon, self.store_dir.as_deref()?).ok()?;
        Some(Way { client: Self { address, ..self.clone() }, pid: daemon.pid, socket: socket.clone() })
    }

    /// A pipe can't be removed while its daemon lives.
    #[cfg(not(unix))]
    fn without_socket(&self, _: &Error) -> Option<Way> {
        None
    }

    /// A refused connection to where a store's daemon should be means that it is dead.
    fn nobody_there(&self, error: Error) -> Error {
        match (&self.store_dir, &error) {
            (Some(store_dir), Error::Transport { source, .. })
                if matches!(source.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
            {
                Error::NoDaemon { store_dir: store_dir.clone(), stale: true }
            }
            _ => error,
        }
    }
}

/// The way by TCP to a daemon whose socket is gone.
struct Way {
    client: Client,
    pid: u32,
    socket: PathBuf,
}

impl Way {
    /// It is closed, too. `by_tcp`: somebody answered there.
    fn closed(self, by_tcp: bool) -> Error {
        Error::SocketGone { pid: self.pid, socket: self.socket, by_tcp }
    }
}

/// Whether there is such a process.
#[cfg(unix)]
fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Another user's is one, too.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The best of the ways that a daemon offers.
fn address_of(daemon: &DaemonFile, store_dir: &Path) -> Option<Result<Address, Error>> {
    if let Some(socket) = &daemon.socket {
        return Some(Ok(Address::Socket { path: socket.clone(), pid: daemon.pid }));
    }
    daemon.http.as_deref().map(|url| by_tcp(url, daemon, store_dir))
}

/// The way by TCP to the daemon of a store.
fn by_tcp(url: &str, daemon: &DaemonFile, store_dir: &Path) -> Result<Address, Error> {
    Ok(Address::tcp(url)?.of(Expected { file: store_dir.join(DaemonFile::NAME), daemon: daemon.clone() }))
}
