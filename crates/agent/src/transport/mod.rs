//! The seam between Codex's pipes and whoever understands them: numbered lines in, lines out, acknowledgements.
//!
//! A transport numbers each line that Codex writes, from 1. The number is acknowledged when what the line meant is
//! committed. [`Pipes`] holds Codex's pipes in this process; it keeps nothing, since it cannot outlive this process, and an
//! acknowledgement costs it nothing. [`Hosted`] speaks to an agent host, which outlives codexd and keeps each line until it is
//! acknowledged.

mod hosted;

use std::{collections::HashSet, future::Future, io};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
};

pub(crate) use hosted::Hosted;

use crate::adapter::Line;

/// The longest line that is read. Codex has been seen to write 2 MB for a 2 MB answer; what is longer than this is not an
/// answer.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Buffers above this are given back to the system after a long line.
const KEEP_BYTES: usize = 1024 * 1024;

/// Where lines come from and go to.
pub(crate) trait Transport: Send {
    /// The next line and its number; `None` at the end. Can be dropped and called again without losing anything.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<(u64, Bytes)>>> + Send;
    /// Sends a line; the line break is added. Never waits: what was sent and not yet taken is bounded by the requests in
    /// flight. A line to a closed pipe is dropped; the end is told by [`Transport::next`]. Where Codex outlives codexd, a line whose tag
    /// Codex was given before is not given again.
    fn send(&mut self, line: Line);
    /// What line `seq` meant is committed. In any order.
    fn ack(&mut self, seq: u64);
    /// Whether acknowledgements are still to come without which lines would be kept.
    /// The tags of lines that Codex was never given, now that it has ended; what is not among them it may have heard.
    fn never_given(&self) -> HashSet<String> {
        HashSet::new()
    }
    fn is_owed_acks(&self) -> bool;
}

/// Codex's own pipes, held by this process.
pub(crate) struct Pipes<R> {
    reader: BufReader<R>,
    /// The line being read, kept here so that a dropped `next` loses nothing.
    partial: Vec<u8>,
    seq: u64,
    lines: mpsc::UnboundedSender<Vec<u8>>,
}

impl<R: AsyncRead + Unpin + Send> Pipes<R> {
    /// Takes the pipes. Writing has a task of its own, so that a Codex that does not read never keeps us from reading; it
    /// ends, and closes Codex's stdin, when the transport is dropped.
    pub(crate) fn new(stdout: R, mut stdin: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        let (lines, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(mut line) = queue.recv().await {
                line.push(b'\n');
                if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
                    break;
                }
            }
        });
        Self { reader: BufReader::with_capacity(64 * 1024, stdout), partial: Vec::new(), seq: 0, lines }
    }
}

impl<R: AsyncRead + Unpin + Send> Transport for Pipes<R> {
    async fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(chunk.len());
            if self.partial.len() + taken > MAX_LINE_BYTES {
                return Err(io::Error::other(format!(
                    "Codex wrote a line of more than {} MiB",
                    MAX_LINE_BYTES / 1024 / 1024
                )));
            }
            self.partial.extend_from_slice(&chunk[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                self.seq += 1;
                let line = if self.partial.len() > KEEP_BYTES {
                    Bytes::from(std::mem::take(&mut self.partial))
                } else {
                    let line = Bytes::copy_from_slice(&self.partial);
                    self.partial.clear();
                    line
                };
                return Ok(Some((self.seq, line)));
            }
        }
    }

    fn send(&mut self, line: Line) {
        let _ = self.lines.send(line.bytes);
    }

    fn ack(&mut self, _seq: u64) {}

    fn is_owed_acks(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_numbered_and_whole() {
        let (mut write, read) = tokio::io::duplex(7);
        let mut pipes = Pipes::new(read, tokio::io::sink());
        let text = "a\n\nlonger than the pipe\nhalf";
        tokio::spawn(async move { write.write_all(text.as_bytes()).await });
        let mut seen = Vec::new();
        while let Some((seq, line)) = pipes.next().await.unwrap() {
            seen.push((seq, String::from_utf8(line.to_vec()).unwrap()));
        }
        assert_eq!(seen, [(1, "a".into()), (2, String::new()), (3, "longer than the pipe".into())]);
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_an_error() {
        let (mut write, read) = tokio::io::duplex(1024 * 1024);
        let mut pipes = Pipes::new(read, tokio::io::sink());
        tokio::spawn(async move {
            let piece = vec![b'x'; 1024 * 1024];
            while write.write_all(&piece).await.is_ok() {}
        });
        assert!(pipes.next().await.unwrap_err().to_string().contains("64 MiB"));
    }
}
