//! Codex's lines by way of its host.
//!
//! What is sent goes within a window ([`WINDOW`]), so that a Codex that does not read fills neither the host's memory nor the
//! socket, on which acknowledgements go as well. What the host has not confirmed is kept here, and sent again should the connection
//! break while the host lives; it drops what it knows by its tag. A line that comes a second time on such a connection is not handed on again.
//!
//! Nothing here waits but [`Transport::next`], which also writes.

#[cfg(unix)]
#[path = "stream/unix.rs"]
mod stream;
#[cfg(windows)]
#[path = "stream/windows.rs"]
mod stream;

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    time::{Instant, sleep, timeout, timeout_at},
};

use self::stream::Stream;
use super::Transport;
use crate::{
    adapter::Line,
    host::{
        birth::{Card, Folder},
        wire::{Hello, Inbox, OLDEST, PROTOCOL, Welcome, kind, put, put_input},
    },
    hosts,
    words::Log,
};

/// So many bytes may be with the host and not yet with Codex; or one line, whatever its length.
const WINDOW: usize = 4 * 1024 * 1024;

/// How long a host may take to answer, and to take a connection again that broke.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// So many connections that break one after another, with nothing said in between, are enough.
const MOST_BROKEN: u32 = 5;

/// How much longer than Codex's own time a host may take to end it.
const END_LIMIT: Duration = Duration::from_secs(5);

const CHUNK: usize = 64 * 1024;

/// A line for Codex that the host has not confirmed.
struct Unconfirmed {
    number: u64,
    line: Line,
}

/// See the module.
pub(crate) struct Hosted {
    folder: Folder,
    socket: PathBuf,
    secret: String,
    /// None while it is broken.
    stream: Option<Stream>,
    inbox: Inbox,
    out: Vec<u8>,
    written: usize,
    /// In order; the first `sent` are on their way, with so many bytes.
    unconfirmed: VecDeque<Unconfirmed>,
    sent: usize,
    window: usize,
    number: u64,
    /// The last line that was handed on, and those that were and are not acknowledged.
    seen: u64,
    owed: BTreeSet<u64>,
    exit: Option<String>,
    codex_pid: u32,
    /// Codex has shaken hands with somebody: it is worth keeping.
    kept: bool,
    /// Another codexd has it now; it is not ours to end.
    taken: bool,
    broken: u32,
    log: Log,
}

impl Hosted {
    /// Becomes the client of a host that is there.
    pub(crate) async fn attach(folder: Folder, card: Card) -> io::Result<(Self, Welcome)> {
        let (socket, secret) = (PathBuf::from(card.socket), folder.secret()?);
        let (stream, inbox, welcome) = greet(&socket, &secret).await?;
        let hosted = Self {
            folder,
            socket,
            secret,
            stream: Some(stream),
            inbox,
            out: Vec::new(),
            written: 0,
            unconfirmed: VecDeque::new(),
            sent: 0,
            window: 0,
            number: 0,
            seen: 0,
            owed: BTreeSet::new(),
            exit: None,
            codex_pid: welcome.codex_pid,
            kept: welcome.note.is_some(),
            taken: false,
            broken: 0,
            log: Log::new(),
        };
        Ok((hosted, welcome))
    }

    pub(crate) fn codex_pid(&self) -> u32 {
        self.codex_pid
    }

    /// Codex has shaken hands; the next codexd is told this note.
    pub(crate) fn keep(&mut self, note: &str) {
        self.kept = true;
        self.say(kind::NOTE, 0, note.as_bytes());
    }

    /// Writes what waits to be written, and lets go: the host and Codex go on.
    pub(crate) async fn flush(mut self, limit: Duration) {
        let _ = timeout(limit, self.write_out()).await;
    }

    async fn write_out(&mut self) {
        while let Some(stream) = self.stream.as_mut().filter(|_| self.written < self.out.len()) {
            match stream.write(&self.out[self.written..]).await {
                Ok(count) => self.written += count,
                Err(_) => break,
            }
        }
    }

    /// Has Codex ended, with some time for it to do so by itself, and says what ended it. Nothing of it is left then.
    pub(crate) async fn finish(mut self, grace: Duration) -> String {
        if self.exit.is_none() && !self.taken {
            self.say(kind::STOP, u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), b"");
            let ending = async { while let Ok(Some(_)) = self.next().await {} };
            let _ = timeout(grace + END_LIMIT, ending).await;
        }
        self.owed.clear();
        let ending = self.ending();
        self.gone().await;
        ending
    }

    /// What ended Codex.
    pub(crate) fn ending(&self) -> String {
        self.exit.clone().unwrap_or_else(|| "its host ended, and it with it".to_owned())
    }

    /// Codex ended, or its host died: makes sure that nothing is left but what is not acknowledged.
    pub(crate) async fn gone(mut self) {
        // What was said last goes before the connection does.
        let _ = timeout(ANSWER_LIMIT, self.write_out()).await;
        let (folder, ended) = (self.folder.clone(), self.exit.is_some());
        let stays = self.taken || (ended && self.is_owed_acks());
        drop(self);
        // A host whose Codex ended stays until all is acknowledged; a later codexd may do that.
        if !stays {
            let until = Instant::now() + END_LIMIT;
            while ended && folder.0.exists() && Instant::now() < until {
                sleep(RETRY).await;
            }
            hosts::end(folder).await;
        }
    }

    fn say(&mut self, kind: u8, number: u64, body: &[u8]) {
        put(&mut self.out, kind, number, &[body]);
        self.write();
    }

    /// Sends what the window has room for.
    fn offer(&mut self) {
        while let Some(next) = self.unconfirmed.get(self.sent) {
            let size = next.line.bytes.len();
            if self.window > 0 && self.window + size > WINDOW {
                break;
            }
            put_input(&mut self.out, next.number, &next.line.tag, &next.line.bytes);
            self.window += size;
            self.sent += 1;
        }
        self.write();
    }

    fn confirmed(&mut self, number: u64) {
        let Some(index) = self.unconfirmed.iter().take(self.sent).position(|sent| sent.number == number) else {
            return;
        };
        if let Some(gone) = self.unconfirmed.remove(index) {
            self.sent -= 1;
            self.window -= gone.line.bytes.len();
            self.offer();
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self) {
        while let Some(stream) = self.stream.as_ref().filter(|_| self.written < self.out.len()) {
            match stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The reading side has what came before.
                Err(_) => break,
            }
        }
        self.out.clear();
        self.out.shrink_to(CHUNK);
        self.written = 0;
    }

    /// The connection broke. The host may live.
    async fn again(&mut self) -> io::Result<()> {
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            if !self.folder.is_alive() {
                return Err(io::Error::other("the process that holds its pipes (codexd agent-host) ended"));
            }
            match greet(&self.socket, &self.secret).await {
                Ok((stream, inbox, welcome)) => {
                    self.resume(stream, inbox, &welcome);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied || Instant::now() > until => {
                    return Err(error);
                }
                Err(_) => sleep(RETRY).await,
            }
        }
        self.broken += 1;
        if self.broken > MOST_BROKEN {
            return Err(io::Error::other("the connection to its host breaks again and again"));
        }
        Ok(())
    }

    fn resume(&mut self, stream: Stream, inbox: Inbox, welcome: &Welcome) {
        (self.stream, self.inbox) = (Some(stream), inbox);
        self.out.clear();
        self.written = 0;
        let sent = std::mem::take(&mut self.sent);
        self.window = 0;
        let mut index = 0;
        self.unconfirmed.retain(|unconfirmed| {
            index += 1;
            let tag = &unconfirmed.line.tag;
            // Without a tag nobody knows whether it arrived; it is not given twice.
            let on_its_way = index <= sent && tag.is_empty();
            !on_its_way && (tag.is_empty() || !welcome.passed.contains(tag))
        });
        self.offer();
    }
}

impl Transport for Hosted {
    async fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        loop {
            if let Some(frame) = self.inbox.take()? {
                match frame.kind {
                    kind::LINE => {
                        self.broken = 0;
                        let seq = frame.number;
                        if seq > self.seen {
                            self.seen = seq;
                            self.owed.insert(seq);
                            return Ok(Some((seq, Bytes::from(frame.body))));
                        }
                        // It comes again on a new connection. An acknowledgement may have been lost with the old one.
                        if !self.owed.contains(&seq) {
                            self.say(kind::ACK, seq, b"");
                        }
                    }
                    kind::PASSED => self.confirmed(frame.number),
                    kind::EXITED => self.exit = Some(frame.text()),
                    kind::STDERR => self.log.line(&frame.text()),
                    kind::REPLACED => {
                        self.taken = true;
                        return Err(io::Error::other("another codexd has taken it over"));
                    }
                    kind::REFUSED => return Err(io::Error::other(frame.text())),
                    _ => {}
                }
                continue;
            }
            if self.exit.is_some() {
                return Ok(None);
            }
            let Some(stream) = &self.stream else {
                self.again().await?;
                continue;
            };
            let writes = self.written < self.out.len();
            let interest = if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let ready = stream.ready(interest).await?;
            if ready.is_readable() {
                let mut chunk = [0; CHUNK / 4];
                match stream.try_read(&mut chunk) {
                    Ok(0) => self.stream = None,
                    Ok(count) => self.inbox.push(&chunk[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.stream = None,
                }
            }
            if ready.is_writable() {
                self.write();
            }
        }
    }

    fn send(&mut self, line: Line) {
        self.number += 1;
        self.unconfirmed.push_back(Unconfirmed { number: self.number, line });
        self.offer();
    }

    fn ack(&mut self, seq: u64) {
        if self.owed.remove(&seq) {
            self.say(kind::ACK, seq, b"");
        }
    }

    fn is_owed_acks(&self) -> bool {
        !self.owed.is_empty()
    }

    fn never_given(&self) -> HashSet<String> {
        // The host confirms what went before it tells the end.
        let tags = self.unconfirmed.iter().filter(|_| self.exit.is_some()).map(|waiting| waiting.line.tag.clone());
        tags.filter(|tag| !tag.is_empty()).collect()
    }
}

impl Drop for Hosted {
    /// A Codex that has not shaken hands is of use to nobody.
    fn drop(&mut self) {
        if !self.kept && !self.taken {
            self.say(kind::STOP, 0, b"");
        }
    }
}

/// The first words on a connection.
async fn greet(socket: &Path, secret: &str) -> io::Result<(Stream, Inbox, Welcome)> {
    let greeting = async {
        let mut stream = stream::connect(socket).await?;
        let hello = Hello {
            protocol: (OLDEST, PROTOCOL),
            secret: secret.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut out = Vec::new();
        put(&mut out, kind::HELLO, 0, &[&serde_json::to_vec(&hello)?]);
        stream.write_all(&out).await?;
        let (mut inbox, mut chunk) = (Inbox::default(), vec![0; CHUNK]);
        loop {
            if let Some(frame) = inbox.take()? {
                return match frame.kind {
                    kind::WELCOME => Ok((stream, inbox, serde_json::from_slice(&frame.body)?)),
                    kind::REFUSED => Err(io::Error::new(io::ErrorKind::PermissionDenied, frame.text())),
                    _ => continue,
                };
            }
            match stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => inbox.push(&chunk[..count]),
            }
        }
    };
    let limit = Instant::now() + ANSWER_LIMIT;
    timeout_at(limit, greeting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
