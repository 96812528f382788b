//! What a host and its client say to each other over the socket.
//!
//! A frame is `length (u32) kind (u8) number (u64) body`, numbers little-endian; the length counts what follows it. A kind that
//! is not known is passed over, so that either side may be the newer one; what a newer kind *must* be understood for raises
//! [`PROTOCOL`]. A frame that has not arrived whole when its connection ends was never said.

use std::io;

use serde::{Deserialize, Serialize};

/// The protocol that this version speaks.
pub const PROTOCOL: u32 = 1;

/// The oldest protocol that this version still understands.
pub const OLDEST: u32 = 1;

/// The longest body: a line of Codex's, and what goes with it.
const MAX_BODY: usize = crate::transport::MAX_LINE_BYTES + 4096;

/// What comes before the body and is counted by the length.
const HEAD: usize = 9;

/// The longest tag.
pub const MAX_TAG: usize = 128;

/// Kinds of frames. The client says those below 64, the host the others.
pub mod kind {
    /// Client: a [`Hello`](super::Hello). Nothing is heard before it.
    pub const HELLO: u8 = 1;
    /// Client: a line for Codex. The body is the length of a tag (one byte), the tag, the line. The number is the client's own; the host
    /// repeats it in [`PASSED`].
    pub const INPUT: u8 = 2;
    /// Client: what line `number` meant is committed.
    pub const ACK: u8 = 3;
    /// Client: Codex shook hands; keep the body for the next client. Closes what stderr said so far.
    pub const NOTE: u8 = 4;
    /// Client: close Codex's stdin, and after `number` milliseconds end it with all that it started.
    pub const STOP: u8 = 5;

    /// Host: a [`Welcome`](super::Welcome), once, first.
    pub const WELCOME: u8 = 64;
    /// Host: line `number` of Codex's.
    pub const LINE: u8 = 65;
    /// Host: input `number` is Codex's now, or was before.
    pub const PASSED: u8 = 66;
    /// Host: Codex ended; the body says how. All of its lines came before.
    pub const EXITED: u8 = 67;
    /// Host: Codex wrote this to stderr. Not kept; some may be missing.
    pub const STDERR: u8 = 68;
    /// Host: another client is served now.
    pub const REPLACED: u8 = 69;
    /// Host: no. The body says why.
    pub const REFUSED: u8 = 70;
}

/// The first words of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest and the newest protocol that it speaks.
    pub protocol: (u32, u32),
    /// What was handed over at birth.
    pub secret: String,
    /// The client's version; for people.
    pub version: String,
}

/// The first words of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The protocol that is spoken from now on.
    pub protocol: u32,
    /// The host's version; for people.
    pub version: String,
    /// Codex's process.
    pub codex_pid: u32,
    /// How Codex ended, when it has.
    #[serde(default)]
    pub exited: Option<String>,
    /// The lowest line that is kept; all below it are acknowledged. One more than `last` when none is.
    pub lowest: u64,
    /// The last line that Codex wrote.
    pub last: u64,
    /// The tags of the lines that went to Codex, or will without anybody's doing, oldest first.
    pub passed: Vec<String>,
    /// What stands for each turn that is running, as far as Codex's lines tell.
    pub busy: Vec<String>,
    /// What an earlier client said in [`kind::NOTE`].
    #[serde(default)]
    pub note: Option<String>,
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`], or one that is not known.
    pub kind: u8,
    /// What it is about.
    pub number: u64,
    /// The rest.
    pub body: Vec<u8>,
}

impl Frame {
    /// The tag and the line of a [`kind::INPUT`].
    #[must_use]
    pub fn input(&self) -> Option<(&str, &[u8])> {
        let (len, rest) = self.body.split_first()?;
        let (tag, line) = rest.split_at_checked(usize::from(*len))?;
        Some((std::str::from_utf8(tag).ok()?, line))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Appends a frame whose body is these parts.
pub fn put(out: &mut Vec<u8>, kind: u8, number: u64, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(4 + HEAD + body);
    // Bounded far below: no line is longer than 64 MiB.
    out.extend_from_slice(&u32::try_from(HEAD + body).unwrap_or(u32::MAX).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a line for Codex. A tag that is too long is cut, which would make it another's: tags are ours, and short.
pub fn put_input(out: &mut Vec<u8>, number: u64, tag: &str, line: &[u8]) {
    let tag = tag.as_bytes();
    let tag = &tag[..tag.len().min(MAX_TAG)];
    let len = [u8::try_from(tag.len()).unwrap_or(0)];
    put(out, kind::INPUT, number, &[&len, tag, line]);
}

/// Bytes that came, until they are frames.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

impl Inbox {
    /// More came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start == self.bytes.len() || self.start > 64 * 1024) {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// When what comes is no frame of ours, or longer than any may be.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let rest = &self.bytes[self.start..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD..=HEAD + MAX_BODY).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame"));
        }
        let Some(whole) = rest.get(..length) else { return Ok(None) };
        let (Some((kind, whole)), true) = (whole.split_first(), length >= HEAD) else { return Ok(None) };
        let Some((number, body)) = whole.split_first_chunk::<8>() else { return Ok(None) };
        let frame = Frame { kind: *kind, number: u64::from_le_bytes(*number), body: body.to_vec() };
        self.start += 4 + length;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            // A long line does not make the buffer long for ever.
            self.bytes.shrink_to(64 * 1024);
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let mut sent = Vec::new();
        put(&mut sent, kind::LINE, 7, &[b"he", b"llo"]);
        put_input(&mut sent, 8, "17", b"{}");
        put(&mut sent, kind::ACK, u64::MAX, &[]);
        for size in 1..=sent.len() {
            let (mut inbox, mut came) = (Inbox::default(), Vec::new());
            for piece in sent.chunks(size) {
                inbox.push(piece);
                while let Some(frame) = inbox.take().unwrap() {
                    came.push(frame);
                }
            }
            assert_eq!(came.len(), 3);
            assert_eq!((came[0].kind, came[0].number, came[0].text()), (kind::LINE, 7, "hello".to_owned()));
            assert_eq!(came[1].input(), Some(("17", &b"{}"[..])));
            assert_eq!((came[2].kind, came[2].number, came[2].body.len()), (kind::ACK, u64::MAX, 0));
        }
    }

    #[test]
    fn half_a_frame_is_none_and_nonsense_is_an_error() {
        let mut sent = Vec::new();
        put(&mut sent, kind::LINE, 7, &[b"hello"]);
        let mut inbox = Inbox::default();
        inbox.push(&sent[..sent.len() - 1]);
        assert_eq!(inbox.take().unwrap(), None);
        for length in [0_u32, 8, u32::MAX] {
            let mut inbox = Inbox::default();
            inbox.push(&length.to_le_bytes());
            assert!(inbox.take().is_err(), "{length}");
        }
        let frame = Frame { kind: kind::INPUT, number: 0, body: vec![9, b'x'] };
        assert_eq!(frame.input(), None);
    }
}
