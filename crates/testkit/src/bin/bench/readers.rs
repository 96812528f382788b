//! Readers, and when what the model said reached them.
//!
//! What a reader does when something comes is to note the moment and the bytes; they are looked at when the turn is over, so that looking
//! takes no time from the other readers. All arms have the same readers, on a thread of their own with nothing else on it.

use std::{net::SocketAddr, path::PathBuf, thread::JoinHandle, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use fake_model::answers;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};

/// What is in the first thing that a reader is told, and in the last one of a turn.
pub(crate) const FIRST: &str = "server.connected";
pub(crate) const LAST: &str = "turn.completed";

/// How long a stream may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many digits a moment has.
const DIGITS: usize = 19;

/// Nanoseconds since 1970, by the clock of [`answers::moment`].
pub(crate) fn now() -> u64 {
    answers::moment().trim_end().parse().unwrap_or(0)
}

/// What came, and when.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    bytes: Vec<u8>,
    /// For each read where it ends and when it was.
    reads: Vec<(usize, u64)>,
}

impl Heard {
    pub(crate) fn hear(&mut self, bytes: &[u8], at: u64) {
        self.bytes.extend_from_slice(bytes);
        self.reads.push((self.bytes.len(), at));
    }

    /// When the last of it came.
    pub(crate) fn end(&self) -> u64 {
        self.reads.last().map_or(0, |(_, at)| *at)
    }

    /// For each delta of `TIMES` the milliseconds from when it was said to when it came. The end of the item says all of them again:
    /// the first time counts.
    ///
    /// # Errors
    /// When it is not that many deltas that came.
    pub(crate) fn delays(&self, deltas: usize) -> Result<Vec<f64>> {
        let (mut said, mut delays, mut digits) = (0, Vec::new(), 0);
        for (place, byte) in self.bytes.iter().enumerate() {
            if byte.is_ascii_digit() {
                digits += 1;
                continue;
            }
            if digits == DIGITS && *byte == b' ' {
                let moment: u64 = std::str::from_utf8(&self.bytes[place - DIGITS..place])?.parse()?;
                if moment > said {
                    said = moment;
                    let read = self.reads.partition_point(|(end, _)| *end <= place);
                    let (_, at) = self.reads.get(read).context("a byte that never came")?;
                    delays.push((*at as f64 - moment as f64) / 1e6);
                }
            }
            digits = 0;
        }
        ensure!(
            delays.len() == deltas,
            "{} of {deltas} deltas: {}",
            delays.len(),
            String::from_utf8_lossy(&self.bytes)
        );
        Ok(delays)
    }
}

/// Where a stream of events is to be had.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// Either kind of connection.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl Connection for UnixStream {}
impl Connection for TcpStream {}

/// A stream of events that is open.
pub(crate) struct Reader {
    socket: Box<dyn Connection>,
    heard: Heard,
}

impl Reader {
    /// Connects, sends this, and waits for the first thing that it is told.
    pub(crate) async fn open(door: &Door, request: &str) -> Result<Self> {
        let socket: Box<dyn Connection> = match door {
            Door::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Door::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        };
        let mut reader = Self { socket, heard: Heard::default() };
        reader.socket.write_all(request.as_bytes()).await?;
        reader.until(FIRST).await?;
        Ok(reader)
    }

    /// Reads until a turn is over.
    pub(crate) async fn turn(mut self) -> Result<Heard> {
        self.until(LAST).await?;
        Ok(self.heard)
    }

    async fn until(&mut self, mark: &str) -> Result<()> {
        let mut buffer = [0; 64 * 1024];
        loop {
            let read = timeout(PATIENCE, self.socket.read(&mut buffer)).await.context("the stream was silent")??;
            let at = now();
            ensure!(read > 0, "the stream ended: {}", String::from_utf8_lossy(&self.heard.bytes));
            // The mark may be cut in two.
            let from = self.heard.bytes.len().saturating_sub(mark.len());
            self.heard.hear(&buffer[..read], at);
            if self.heard.bytes[from..].windows(mark.len()).any(|window| window == mark.as_bytes()) {
                return Ok(());
            }
        }
    }
}

/// Readers on a thread of their own.
pub(crate) struct Readers {
    thread: JoinHandle<Result<Vec<Heard>>>,
}

impl Readers {
    /// Opens that many streams; they read from then on.
    pub(crate) async fn open(door: &Door, request: &str, count: usize) -> Result<Self> {
        let (ready, opened) = oneshot::channel();
        let (door, request) = (door.clone(), request.to_owned());
        let readers = Self { thread: std::thread::spawn(move || read(door, request, count, ready)) };
        if opened.await.is_ok() {
            return Ok(readers);
        }
        readers.turn().await?;
        Err(anyhow!("the readers ended at once"))
    }

    /// What each of them heard, once the turn is over.
    pub(crate) async fn turn(self) -> Result<Vec<Heard>> {
        tokio::task::spawn_blocking(|| self.thread.join())
            .await?
            .map_err(|_| anyhow!("the readers' thread panicked"))?
    }
}

#[tokio::main(flavor = "current_thread")]
async fn read(door: Door, request: String, count: usize, ready: oneshot::Sender<()>) -> Result<Vec<Heard>> {
    let mut tasks = Vec::new();
    for _ in 0..count {
        tasks.push(tokio::spawn(Reader::open(&door, &request).await?.turn()));
    }
    let _ = ready.send(());
    let mut heard = Vec::new();
    for task in tasks {
        heard.push(task.await??);
    }
    Ok(heard)
}
