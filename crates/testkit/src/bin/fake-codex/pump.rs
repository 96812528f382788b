//! Lines in, lines out, and timers: the loop that drives a server.
//!
//! A server is a state machine without I/O of its own: it is given a line or the time and appends its answers to an [`Out`]. A thread reads
//! stdin; the loop writes to stdout once for all the lines that have come meanwhile. When stdin ends, the process does too, like 0.169.0's,
//! whatever is going on. Unlike the real one it stops reading its timers while nobody reads its stdout.

use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::journal::Journal;

/// What a slow reader takes at a time.
const SIP: usize = 1024;

/// How long half a line stays alone.
const HALF: Duration = Duration::from_millis(1);

/// Nothing is read any more either.
static HUNG: AtomicBool = AtomicBool::new(false);

/// A server on stdio.
pub(crate) trait Server {
    /// Before the first line.
    fn start(&mut self, _out: &mut Out) {}
    /// A line of the client, without its end.
    fn line(&mut self, line: &str, out: &mut Out);
    /// When it wants to be woken.
    fn wake_at(&self) -> Option<Instant>;
    /// The time to be woken has come.
    fn wake(&mut self, out: &mut Out);
}

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    /// Replies that come late.
    replies: Vec<Vec<u8>>,
    faults: Faults,
    /// Set when the process is to end as soon as that is written.
    pub(crate) exit: Option<i32>,
    /// Set when the process is to do nothing more as soon as that is written.
    pub(crate) hang: bool,
}

impl Out {
    pub(crate) fn send(&mut self, message: &impl Serialize) {
        // Serialising our own values into memory cannot fail.
        if serde_json::to_writer(&mut self.bytes, message).is_ok() {
            self.bytes.push(b'\n');
        }
    }

    /// The reply to a request.
    pub(crate) fn reply(&mut self, message: &Value) {
        if self.faults.odd_ids {
            self.send(message);
            for id in
                [json!(null), json!(-7), json!(0.5), json!("7"), json!({"a": 7}), json!(u64::MAX), json!(1_u64 << 62)]
            {
                self.send(&json!({"id": id, "result": {}}));
                self.send(&json!({"id": id, "error": {"code": -32001, "message": "Server overloaded; retry later."}}));
            }
        }
        if self.faults.late_replies {
            self.replies.push(format!("{message}\n").into_bytes());
        } else {
            self.send(message);
        }
    }

    /// A line as it is.
    pub(crate) fn raw(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// Whether the process has nothing to do any more but to write.
    pub(crate) fn is_over(&self) -> bool {
        self.exit.is_some() || self.hang
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(reply) = self.replies.pop() {
            self.bytes.extend(reply);
        }
        if self.exit.is_some() && self.faults.torn {
            let whole = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
            let last = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.bytes.truncate(last.midpoint(whole.len()));
        }
        if !self.bytes.is_empty() {
            let mut stdout = io::stdout().lock();
            if self.faults.half_lines {
                write_halves(&mut stdout, &self.bytes)?;
            } else {
                stdout.write_all(&self.bytes)?;
                stdout.flush()?;
            }
            self.bytes.clear();
        }
        if self.hang {
            HUNG.store(true, Ordering::Relaxed);
            hang();
        }
        if let Some(status) = self.exit {
            std::process::exit(status);
        }
        Ok(())
    }
}

fn write_halves(stdout: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (first, second) = line.split_at(line.len() / 2);
        stdout.write_all(first)?;
        stdout.flush()?;
        thread::sleep(HALF);
        stdout.write_all(second)?;
        stdout.flush()?;
    }
    Ok(())
}

/// Does nothing until the process is killed.
pub(crate) fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// Something that is read slowly, when a fault wants that.
struct Sipped<R>(R, Option<Duration>);

impl<R: Read> Read for Sipped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pause) = self.1 else { return self.0.read(buffer) };
        thread::sleep(pause);
        let most = buffer.len().min(SIP);
        self.0.read(&mut buffer[..most])
    }
}

/// Runs a server until stdin ends or nobody reads stdout any more.
pub(crate) fn run(mut server: impl Server, faults: &Faults) -> io::Result<()> {
    let mut journal = Journal::open()?;
    let (sender, lines) = mpsc::channel();
    let pause = faults.slow_stdin;
    thread::spawn(move || {
        let mut stdin = io::BufReader::with_capacity(1 << 16, Sipped(io::stdin().lock(), pause));
        loop {
            let mut line = Vec::new();
            match stdin.read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {
                    if HUNG.load(Ordering::Relaxed) {
                        hang();
                    }
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    });
    let mut out = Out { faults: faults.clone(), ..Out::default() };
    server.start(&mut out);
    out.flush()?;
    loop {
        let next = match server.wake_at() {
            Some(at) => match lines.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Ok(line) => Some(line),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            },
            None => match lines.recv() {
                Ok(line) => Some(line),
                Err(_) => return Ok(()),
            },
        };
        let mut next = next;
        // Whatever has come meanwhile is answered with the same write, within reason.
        for _ in 0..256 {
            let Some(line) = next else { break };
            journal.received(&line)?;
            server.line(&line, &mut out);
            next = if out.is_over() { None } else { lines.try_recv().ok() };
        }
        if let Some(line) = next {
            journal.received(&line)?;
            server.line(&line, &mut out);
        }
        if !out.is_over() && server.wake_at().is_some_and(|at| at <= Instant::now()) {
            server.wake(&mut out);
        }
        if out.flush().is_err() {
            // The reader of stdout has gone: a quiet end, as with SIGPIPE.
            return Ok(());
        }
    }
}
