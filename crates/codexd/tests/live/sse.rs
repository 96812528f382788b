//! A client of the event streams that breaks off when it likes.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use testkit::wire::Door;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<i64>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A stream that is open.
pub(crate) struct Stream {
    socket: TcpStream,
    came: Vec<u8>,
}

impl Stream {
    /// Opens a stream, from behind an event if one is given.
    pub(crate) async fn open(door: &Door, path: &str, after: Option<i64>) -> Result<Self> {
        let Door::Tcp(address) = door else { anyhow::bail!("by TCP") };
        let mut socket = TcpStream::connect(address).await?;
        let last = after.map(|after| format!("Last-Event-ID: {after}\r\n")).unwrap_or_default();
        // Without chunks, so that what comes is the stream itself.
        socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{last}\r\n").as_bytes()).await?;
        let mut stream = Self { socket, came: Vec::new() };
        loop {
            if let Some(end) = stream.came.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&stream.came[..end]).into_owned();
                ensure!(head.contains(" 200 ") && head.contains("text/event-stream"), "{head}");
                stream.came.drain(..end + 4);
                return Ok(stream);
            }
            ensure!(stream.more().await?, "no answer");
        }
    }

    async fn more(&mut self) -> Result<bool> {
        let read = timeout(Duration::from_secs(60), self.socket.read_buf(&mut self.came)).await;
        Ok(read.context("the stream was silent")?? > 0)
    }

    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(end) = self.came.windows(2).position(|two| two == b"\n\n") {
                let text = String::from_utf8(self.came.drain(..end + 2).collect())?;
                if let Some(frame) = parse(&text)? {
                    return Ok(Some(frame));
                }
                continue;
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }
}

fn parse(text: &str) -> Result<Option<Frame>> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let Some(name) = field("event: ") else { return Ok(None) };
    let data = serde_json::from_str(field("data: ").context("no data")?).with_context(|| text.to_owned())?;
    Ok(Some(Frame { id: field("id: ").map(str::parse).transpose()?, name: name.to_owned(), data }))
}

/// What a client has made of what it was told.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) events: Vec<i64>,
    pub(crate) names: Vec<String>,
    pub(crate) texts: HashMap<String, String>,
    pub(crate) asked: Vec<String>,
}

impl Client {
    pub(crate) fn last(&self) -> i64 {
        self.events.last().copied().unwrap_or(0)
    }

    pub(crate) fn hear(&mut self, frame: &Frame) {
        if let Some(id) = frame.id {
            assert!(id > self.last(), "in order and once: {id} behind {}", self.last());
            self.events.push(id);
            self.names.push(frame.name.clone());
        }
        let text = |name: &str| frame.data[name].as_str().unwrap_or_default();
        let offset = usize::try_from(frame.data["offset"].as_u64().unwrap_or(0)).unwrap_or(0);
        match frame.name.as_str() {
            "item.snapshot" => {
                let have = self.texts.entry(text("itemId").to_owned()).or_default();
                // A long one comes in pieces: it replaces what was there, and deltas follow.
                let agree = text("text").starts_with(have.as_str()) || have.starts_with(text("text"));
                assert!(offset == 0 && agree, "{frame:?} behind {have:?}");
                text("text").clone_into(have);
            }
            "item.delta" => {
                let have = self.texts.entry(text("itemId").to_owned()).or_default();
                assert_eq!(offset, have.len(), "a join is exact: {frame:?}");
                have.push_str(text("delta"));
            }
            "approval.requested" | "approval.pending" => {
                let id = frame.data["approval"]["id"].as_str().unwrap_or_default().to_owned();
                if !self.asked.contains(&id) {
                    self.asked.push(id);
                }
            }
            _ => {}
        }
    }
}
