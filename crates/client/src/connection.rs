//! One connection, one request, one answer.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1, header::HeaderMap};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{Error, listener::Expected, socket};

/// How long connecting may take. The daemon is on this machine, or behind a tunnel that is.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The largest answer that is taken: more than a whole history of the longest messages.
const BIGGEST_ANSWER: usize = 512 << 20;

/// What is done while an answer is read, as it fits after "can't".
pub(crate) const ASK: &str = "get an answer from the daemon";

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// A socket of this daemon's.
    Socket {
        /// Where it is: a file, or the name of a pipe.
        path: PathBuf,
        /// The daemon's process.
        pid: u32,
    },
    /// TCP.
    Tcp {
        /// A name or an address, without the brackets of IPv6.
        host: String,
        /// The port.
        port: u16,
        /// As the header `Host` names it.
        authority: String,
        /// The daemon that must be there.
        expected: Option<Box<Expected>>,
    },
}

/// An answer that has come whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer whose body is still coming.
pub(crate) struct Open {
    pub(crate) response: Response<Incoming>,
    /// Drives the connection; it ends when this is dropped.
    pub(crate) driver: JoinSet<hyper::Result<()>>,
}

impl Address {
    /// Takes `http://HOST[:PORT]` apart.
    pub(crate) fn tcp(url: &str) -> Result<Self, Error> {
        let bad = || Error::BadAddress { url: url.to_owned() };
        let uri: hyper::Uri = url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
            return Err(bad());
        }
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(bad());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, authority) = (authority.port_u16().unwrap_or(80), authority.to_string());
        Ok(Self::Tcp { host, port, authority, expected: None })
    }

    /// Nothing is said there unless that daemon listens.
    pub(crate) fn of(self, daemon: Expected) -> Self {
        match self {
            Self::Tcp { host, port, authority, .. } => {
                Self::Tcp { host, port, authority, expected: Some(Box::new(daemon)) }
            }
            socket @ Self::Socket { .. } => socket,
        }
    }

    /// The header `Host`.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Socket { .. } => "localhost",
            Self::Tcp { authority, .. } => authority,
        }
    }

    /// As people are told.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Socket { path, .. } => path.display().to_string(),
            Self::Tcp { authority, .. } => format!("http://{authority}"),
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        Error::Transport { doing, address: self.shown(), source }
    }

    /// Sends the request on a new connection and reads the whole answer.
    pub(crate) async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let Open { response, driver } = self.open(request).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BIGGEST_ANSWER).collect().await;
        drop(driver);
        let body = body.map_err(|error| self.failed(ASK, io::Error::other(error)))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Sends the request on a new connection and reads the head of the answer.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Result<Open, Error> {
        match self {
            Self::Socket { path, pid } => {
                let stream = self.connect(socket::connect(path)).await?;
                if let Err(why) = socket::is_ours(&stream) {
                    return Err(Error::Stranger { address: self.shown(), pid: *pid, why });
                }
                self.converse(stream, request).await
            }
            Self::Tcp { host, port, expected, .. } => {
                let stream = self.connect(TcpStream::connect((host.as_str(), *port))).await?;
                if let Some(expected) = expected {
                    let peer = stream.peer_addr().map_err(|error| self.failed(ASK, error))?;
                    // Some small files that are in memory.
                    if let Some(why) = expected.is_somebody_else(peer) {
                        let pid = expected.daemon.pid;
                        return Err(Error::Stranger { address: self.shown(), pid, why });
                    }
                }
                self.converse(stream, request).await
            }
        }
    }

    async fn connect<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, Error> {
        let connected =
            timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => Error::MayNotConnect { address: self.shown(), source },
            _ => self.failed("connect to the daemon", source),
        })
    }

    async fn converse<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Open, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let failed = |error: hyper::Error| self.failed(ASK, io::Error::other(error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Dropped with this future, or with what it returns, and with it the connection.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = sender.send_request(request).await.map_err(failed)?;
        Ok(Open { response, driver })
    }
}
