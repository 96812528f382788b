//! How long a request says that it is, which it must say once: else another reader in front of us could take it apart in another way than we
//! do, and see one request where we see two.
//!
//! hyper picks one of several lengths, as the standard allows, and drops the others before anybody sees them. So the bytes are read along
//! here, on their way to it: the lines of each head, and, by what they say, where the next head begins. A request with two lengths, a
//! length and a coding, or a coding other than `chunked` is refused. Behind a chunked body nothing is read along: the request with one is
//! the last of its connection, so that this page need not know what a chunk is.
//!
//! What is not well formed at all is left to hyper, which refuses it and ends the connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much of a line is looked at, in bytes. A length or a coding that is longer is none.
const LINE: usize = 128;

/// The requests of a connection, by their numbers; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Clear(Arc<AtomicU64>);

impl Clear {
    /// Whether the request with this number, counted from 0, says how long it is in one way only.
    ///
    /// Its head has been read along when hyper has it.
    pub(super) fn is(&self, number: u64) -> bool {
        number < self.0.load(Ordering::Acquire)
    }
}

/// A stream that is read along.
pub(super) struct Lengths<S> {
    stream: S,
    at: At,
    heads: u64,
    /// The number of the first request that is not clear.
    unclear: Clear,
}

/// Where in the requests the stream is.
enum At {
    Head(Head),
    /// So many bytes of it are left.
    Body(u64),
    /// Nothing is read along any more.
    Behind,
}

/// What is known of a head.
#[derive(Default)]
struct Head {
    /// The beginning of the line in progress.
    line: Vec<u8>,
    /// There was a line with something in it.
    begun: bool,
    lengths: u32,
    length: Option<u64>,
    codings: u32,
    chunked: bool,
}

impl Head {
    /// Reads a line without its end; `true` at the end of the head.
    fn read(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if line.is_empty() {
            return self.begun;
        }
        // The first line is the request's own, and a header in its place is refused by hyper.
        if self.begun
            && let Some(colon) = line.iter().position(|byte| *byte == b':')
        {
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                self.lengths += 1;
                self.length = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
        }
        self.begun = true;
        false
    }

    const fn is_clear(&self) -> bool {
        match (self.lengths, self.codings) {
            (0 | 1, 0) => true,
            (0, 1) => self.chunked,
            _ => false,
        }
    }

    /// What comes behind it.
    fn then(&self) -> At {
        match (self.lengths, self.length, self.codings) {
            (0, _, 0) | (1, Some(0), 0) => At::Head(Self::default()),
            (1, Some(length), 0) => At::Body(length),
            _ => At::Behind,
        }
    }
}

impl<S> Lengths<S> {
    pub(super) fn new(stream: S) -> Self {
        let unclear = Clear(Arc::new(AtomicU64::new(u64::MAX)));
        Self { stream, at: At::Head(Head::default()), heads: 0, unclear }
    }

    pub(super) fn clear(&self) -> Clear {
        self.unclear.clone()
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn along(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Behind => return,
                At::Body(left) => {
                    let these = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[these..];
                    *left -= these as u64;
                    if *left == 0 {
                        self.at = At::Head(Head::default());
                    }
                }
                At::Head(head) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let these = &bytes[..end.unwrap_or(bytes.len())];
                    head.line.extend_from_slice(&these[..these.len().min(LINE - head.line.len())]);
                    bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                    if end.is_none() {
                        return;
                    }
                    let ended = head.read();
                    head.line.clear();
                    if ended {
                        if !head.is_clear() {
                            self.unclear.0.fetch_min(self.heads, Ordering::AcqRel);
                        }
                        self.heads += 1;
                        self.at = head.then();
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lengths<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.along(&buf.filled()[before..]);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lengths<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether each of so many requests is clear, when the bytes come in such pieces.
    fn seen<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, requests: u64) -> Vec<bool> {
        let mut lengths = Lengths::new(());
        pieces.into_iter().for_each(|piece| lengths.along(piece));
        assert!(requests <= lengths.heads, "only {} heads were seen", lengths.heads);
        (0..requests).map(|number| lengths.clear().is(number)).collect()
    }

    fn one(lines: &str) -> bool {
        let head = format!("POST /start HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        seen([head.as_bytes()], 1)[0]
    }

    #[test]
    fn a_request_says_its_length_once() {
        for clear in [
            "",
            "Content-Length: 5\r\n",
            "content-length:5\n",
            "TRANSFER-ENCODING: Chunked\r\n",
            "X: Content-Length: 1\r\n",
        ] {
            assert!(one(clear), "{clear:?}");
        }
        for unclear in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding:chunked\ncontent-length:5\n",
            "Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
        ] {
            assert!(!one(unclear), "{unclear:?}");
        }
    }

    #[test]
    fn what_is_in_a_body_is_no_head() {
        let hidden = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let outer = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
        assert_eq!(seen([outer.as_bytes(), b"\r\n", hidden.as_bytes()], 2), [true, false]);
        let nothing = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(seen([nothing.as_bytes(), hidden.as_bytes()], 2), [true, false]);
    }

    #[test]
    fn no_line_takes_memory() {
        let mut lengths = Lengths::new(());
        for _ in 0..1_000 {
            lengths.along(&[b'a'; 1_000]);
        }
        assert!(matches!(lengths.at, At::Head(head) if head.line.len() == LINE && head.line.capacity() <= 2 * LINE));
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_it_is_cut(cuts in prop::collection::vec(1_usize..40, 0..60), bodies in prop::collection::vec(0_usize..90, 1..5)) {
            let mut bytes = Vec::new();
            for body in &bodies {
                let head = format!("\r\nPOST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body}\r\n\r\n");
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend(std::iter::repeat_n(b'\n', *body));
            }
            bytes.extend_from_slice(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n");
            let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            pieces.push(rest);
            let mut expected = vec![true; bodies.len()];
            expected.push(false);
            prop_assert_eq!(seen(pieces, bodies.len() as u64 + 1), expected);
        }
    }
}
