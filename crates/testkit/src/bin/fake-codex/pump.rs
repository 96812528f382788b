//! Lines in, lines out, and timers: the loop that drives a server.
//!
//! A server is a state machine without I/O of its own: it is given a line or the time and appends its answers to an [`Out`]. A thread reads
//! stdin; the loop writes to stdout once for all the lines that have come meanwhile. When stdin ends, the process does too, like 0.169.0's,
//! whatever is going on. Unlike the real one it stops reading its timers while nobody reads its stdout.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::journal::Journal;

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
    /// Set when the process is to end as soon as that is written.
    pub(crate) exit: Option<i32>,
}

impl Out {
    pub(crate) fn send(&mut self, message: &impl Serialize) {
        // Serialising our own values into memory cannot fail.
        if serde_json::to_writer(&mut self.bytes, message).is_ok() {
            self.bytes.push(b'\n');
        }
    }

    /// A line as it is.
    pub(crate) fn raw(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.bytes.is_empty() {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&self.bytes)?;
            stdout.flush()?;
            self.bytes.clear();
        }
        if let Some(status) = self.exit {
            std::process::exit(status);
        }
        Ok(())
    }
}

/// Runs a server until stdin ends or nobody reads stdout any more.
pub(crate) fn run(mut server: impl Server) -> io::Result<()> {
    let mut journal = Journal::open()?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut stdin = io::BufReader::with_capacity(1 << 16, io::stdin().lock());
        loop {
            let mut line = Vec::new();
            match stdin.read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {
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
    let mut out = Out::default();
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
            next = if out.exit.is_some() { None } else { lines.try_recv().ok() };
        }
        if let Some(line) = next {
            journal.received(&line)?;
            server.line(&line, &mut out);
        }
        if server.wake_at().is_some_and(|at| at <= Instant::now()) {
            server.wake(&mut out);
        }
        if out.flush().is_err() {
            // The reader of stdout has gone: a quiet end, as with SIGPIPE.
            return Ok(());
        }
    }
}
