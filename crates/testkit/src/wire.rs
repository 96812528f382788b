//! HTTP by hand: bytes on a connection, and the one answer that comes back.
//!
//! Every request asks for the connection to be closed, and what comes is read to its end, so that a second answer on the same connection
//! cannot hide.

use std::{fmt::Write as _, io::ErrorKind, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::Reply;

/// How long any answer may take; nothing here waits for a model.
const PATIENCE: Duration = Duration::from_secs(75);

/// Where to knock.
#[derive(Debug, Clone)]
pub enum Door {
    /// `HOST:PORT`.
    Tcp(String),
    /// The store's socket; on Windows its pipe.
    Socket(PathBuf),
}

/// A request that is being written.
#[derive(Debug, Clone)]
pub struct Call {
    method: String,
    target: String,
    hosts: Option<Vec<String>>,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, out of its chunks.
    pub body: Vec<u8>,
}

impl Call {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, hosts: None, headers: Vec::new(), body: None, chunked: false }
    }

    /// A GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with this body and no content type.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..Self::new("POST", target) }
    }

    /// A POST of JSON that says so.
    #[must_use]
    pub fn json(target: &str, body: &Value) -> Self {
        Self::post(target, body.to_string()).header("Content-Type", "application/json")
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows this token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// These `Host` headers instead of the right one.
    #[must_use]
    pub fn hosts(mut self, hosts: &[&str]) -> Self {
        self.hosts = Some(hosts.iter().map(|&host| host.to_owned()).collect());
        self
    }

    /// This `Host` instead of the right one.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.hosts(&[host])
    }

    /// Comes from a web page of this origin.
    #[must_use]
    pub fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// Sends the body in chunks, without saying its size before.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The request up to its body; the header `Host` is this one unless others were set.
    #[must_use]
    pub fn head(&self, host: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for host in self.hosts.as_deref().unwrap_or(&[host.to_owned()]) {
            let _ = write!(head, "Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match &self.body {
            Some(_) if self.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(body) => {
                let _ = write!(head, "Content-Length: {}\r\n", body.len());
            }
            None => {}
        }
        head.push_str("Connection: close\r\n\r\n");
        head
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = self.head(host).into_bytes();
        let body = self.body.as_deref().unwrap_or_default();
        if !self.chunked {
            bytes.extend(body);
            return bytes;
        }
        for chunk in body.chunks(10_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(&self, door: &Door) -> Result<Answer> {
        let host = match door {
            Door::Tcp(address) => address,
            Door::Socket(_) => "localhost",
        };
        let answer = exchange(door, &self.bytes(host)).await;
        answer.with_context(|| format!("{} {}", self.method, self.target))
    }

    /// Sends it and reads the answer as JSON.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn ask(&self, door: &Door) -> Result<Reply> {
        self.send(door).await?.reply()
    }
}

impl Answer {
    /// All values of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The headers that begin so.
    #[must_use]
    pub fn headers_like(&self, prefix: &str) -> Vec<&str> {
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        names.filter(|name| name.to_ascii_lowercase().starts_with(prefix)).collect()
    }

    /// Status and JSON.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn reply(&self) -> Result<Reply> {
        let kind = self.header("content-type").concat();
        ensure!(kind.contains("json"), "status {} of type {kind:?}, not JSON: {}", self.status, self.text());
        let body = serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))?;
        Ok(Reply { status: self.status, body })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends bytes and reads the answer, to the end of the connection.
///
/// # Errors
/// When there is no whole answer.
pub async fn exchange(door: &Door, request: &[u8]) -> Result<Answer> {
    let came = timeout(PATIENCE, raw(door, request)).await.context("the connection stayed open")??;
    parse(&came)
}

/// Sends bytes and gives all that comes back.
///
/// # Errors
/// When there is no whole answer.
pub async fn raw(door: &Door, request: &[u8]) -> Result<Vec<u8>> {
    match door {
        Door::Tcp(address) => converse(TcpStream::connect(address).await?, request).await,
        #[cfg(unix)]
        Door::Socket(path) => converse(tokio::net::UnixStream::connect(path).await?, request).await,
        #[cfg(windows)]
        Door::Socket(path) => {
            converse(tokio::net::windows::named_pipe::ClientOptions::new().open(path)?, request).await
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite, request: &[u8]) -> Result<Vec<u8>> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut came = Vec::new();
    let write = async {
        // A server that refuses early need not read on.
        let _ = writer.write_all(request).await;
        let _ = writer.flush().await;
    };
    let read = async {
        loop {
            match reader.read_buf(&mut came).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !came.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    let ((), read) = tokio::join!(write, read);
    read.context("the connection broke before an answer")?;
    Ok(came)
}

/// Takes exactly one answer apart.
fn parse(came: &[u8]) -> Result<Answer> {
    let end = came.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.with_context(|| format!("no answer: {:?}", String::from_utf8_lossy(came)))?;
    let head = String::from_utf8(came[..end].to_vec())?;
    let rest = &came[end + 4..];
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    if (100..200).contains(&status) {
        return parse(rest);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let value =
        |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    let (body, left) = if value("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
        unchunk(rest)?
    } else if let Some(length) = value("content-length") {
        let length: usize = length.parse()?;
        ensure!(rest.len() >= length, "the answer was cut: {:?}", String::from_utf8_lossy(came));
        (rest[..length].to_vec(), &rest[length..])
    } else {
        (rest.to_vec(), &[][..])
    };
    ensure!(left.is_empty(), "something follows the answer: {:?}", String::from_utf8_lossy(left));
    Ok(Answer { status, headers, body })
}

/// The body that comes in chunks, and what follows it.
fn unchunk(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { bail!("the answer was cut in a chunk") };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?.trim(), 16)?;
        rest = &rest[end + 2..];
        ensure!(rest.len() >= size + 2, "the answer was cut in a chunk");
        body.extend(&rest[..size]);
        rest = &rest[size + 2..];
        if size == 0 {
            return Ok((body, rest));
        }
    }
}
