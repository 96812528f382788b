//! Somebody who is posted to, and does with it as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use sha2::{Digest as _, Sha256};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Vec<Post>>,
    /// What the next ones are answered; 200 when there is none.
    answers: Mutex<VecDeque<u16>>,
    silent: bool,
}

impl Receiver {
    /// Answers these, and 200 from then on.
    pub(crate) async fn start(answers: &[u16]) -> Result<Self> {
        Self::with(answers, false).await
    }

    /// Takes everything and never answers.
    pub(crate) async fn silent() -> Result<Self> {
        Self::with(&[], true).await
    }

    async fn with(answers: &[u16], silent: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let answers = Mutex::new(answers.iter().copied().collect());
        let shared = Arc::new(Shared { seen: Mutex::default(), answers, silent });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&of_task);
                tokio::spawn(async move { take(stream, &shared).await });
            }
        });
        Ok(Self { port, shared, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Post> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the next ones are answered.
    pub(crate) fn answer(&self, answers: &[u16]) {
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers.iter().copied().collect();
    }

    /// All that came, once there are so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Result<Vec<Post>> {
        eventually(&format!("{count} posts"), async || Some(self.seen()).filter(|seen| seen.len() >= count)).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "the request ended early");
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Ok(0), |(_, value)| value.parse())?;
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        ensure!(stream.read_buf(&mut body).await? > 0, "the body ended early");
    }
    // The answer is settled before anybody can see that it came.
    let answer = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(200);
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Post { line, headers, body });
    if shared.silent {
        let _ = stream.read_u8().await;
        return Ok(());
    }
    let answer = format!("HTTP/1.1 {answer} x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// HMAC-SHA256 as RFC 2104 writes it, from nothing but the hash: a second opinion. For keys of at most a block.
pub(crate) fn signature(key: &[u8], body: &[u8]) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    let hex: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}
