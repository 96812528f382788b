//! One connection of a client, as the host holds it.

use std::{
    io::{self, Read as _, Write as _},
    time::Instant,
};

use super::{
    journal::{Cursor, Journal},
    os::Stream,
    wire::{Inbox, kind, put},
};

/// So much is on its way to a client at a time, and one line more.
const OUT_BYTES: usize = 64 * 1024;

/// See the module.
pub(super) struct Peer {
    pub(super) stream: Stream,
    pub(super) since: Instant,
    pub(super) inbox: Inbox,
    out: Vec<u8>,
    written: usize,
    cursor: Cursor,
    /// It was told that Codex ended.
    told: bool,
    /// It does not hear us any more. What it said before may still be on its way, and is heard to its end.
    deaf: bool,
}

impl Peer {
    pub(super) fn new(stream: Stream) -> Self {
        let (inbox, out, cursor) = (Inbox::default(), Vec::new(), Cursor::default());
        Self { stream, since: Instant::now(), inbox, out, written: 0, cursor, told: false, deaf: false }
    }

    /// Reads what there is, once. False when the connection is over.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read(buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.inbox.push(&buffer[..count]);
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Says something.
    pub(super) fn say(&mut self, kind: u8, number: u64, body: &[u8]) {
        if !self.deaf {
            put(&mut self.out, kind, number, &[body]);
        }
    }

    /// Says something that may be left out when the client is slow.
    pub(super) fn mention(&mut self, kind: u8, body: &[u8]) {
        if self.out.len() - self.written < OUT_BYTES {
            self.say(kind, 0, body);
        }
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        self.written < self.out.len()
    }

    /// Whether the client knows that Codex ended, and how.
    pub(super) fn knows(&self) -> bool {
        self.told && !self.deaf && !self.has_output()
    }

    /// Takes lines from the journal while there is room for them, then how Codex ended.
    pub(super) fn fill(&mut self, journal: &Journal, exited: Option<&str>) -> io::Result<()> {
        while !self.deaf && self.out.len() - self.written < OUT_BYTES {
            if let Some((seq, line)) = journal.read(&mut self.cursor)? {
                put(&mut self.out, kind::LINE, seq, &[&line]);
                continue;
            }
            if let Some(end) = exited.filter(|_| !self.told) {
                self.told = true;
                self.say(kind::EXITED, 0, end.as_bytes());
            }
            break;
        }
        Ok(())
    }

    /// Writes what the connection takes.
    pub(super) fn write(&mut self) {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.written > OUT_BYTES {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return;
                }
                Err(_) => {
                    self.deaf = true;
                    break;
                }
            }
        }
        self.out.clear();
        self.out.shrink_to(OUT_BYTES);
        self.written = 0;
    }
}
