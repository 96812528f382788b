//! What Codex writes to stderr: for the log, and its last lines for the message that says why it ended.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is kept.
const TAIL_LINES: usize = 5;
const LINE_BYTES: usize = 2048;

/// What was written longer before the end than this has nothing to do with it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What of it goes to the log.
const LOG_LINES: u32 = 200;
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Puts lines together and keeps the last ones.
#[derive(Default)]
pub(crate) struct Words {
    partial: Vec<u8>,
    tail: VecDeque<(Instant, String)>,
}

impl Words {
    /// More was written; `each` is called with every line that is whole now.
    pub(crate) fn take(&mut self, mut chunk: &[u8], mut each: impl FnMut(&str)) {
        while !chunk.is_empty() {
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            self.partial.extend_from_slice(&part[..part.len().min(LINE_BYTES.saturating_sub(self.partial.len()))]);
            chunk = &chunk[end.map_or(chunk.len(), |end| end + 1)..];
            if end.is_none() {
                return;
            }
            let text = types::redact(&plain(&String::from_utf8_lossy(&self.partial))).into_owned();
            self.partial.clear();
            if text.trim().is_empty() {
                continue;
            }
            each(&text);
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back((Instant::now(), text));
        }
    }

    /// What was written so far has nothing to do with how it will end.
    pub(crate) fn forget(&mut self) {
        self.tail.clear();
    }

    /// The end, with the last words when there were some.
    pub(crate) fn explain(&self, end: &str) -> String {
        let recent = self.tail.iter().filter(|(at, _)| at.elapsed() < LAST_WORDS).map(|(_, line)| line.as_str());
        let words = recent.collect::<Vec<_>>().join("; ");
        if words.is_empty() { end.to_owned() } else { format!("{end}; the last lines on its stderr: {words}") }
    }
}

/// Writes lines to the log, and not too many.
pub(crate) struct Log {
    since: Instant,
    count: u32,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    pub(crate) fn line(&mut self, text: &str) {
        if self.since.elapsed() > LOG_WINDOW {
            *self = Self::new();
        }
        self.count = self.count.saturating_add(1);
        match self.count.cmp(&LOG_LINES) {
            std::cmp::Ordering::Less => tracing::debug!(target: "codex", "{text}"),
            std::cmp::Ordering::Equal => {
                tracing::warn!(target: "codex", "so many lines on stderr that the rest is left out for a while")
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// Without terminal colours and other control characters.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // `ESC [ ... letter`: the only kind that a log line has.
            if chars.next() == Some('[') {
                chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if !char.is_control() || char == '\t' {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(plain("\u{1b}[2m2026\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m x\r"), "2026 ERROR x");
    }

    #[test]
    fn lines_are_whole_bounded_and_the_last_ones_are_kept() {
        let (mut words, mut seen) = (Words::default(), Vec::new());
        words.take(b"a\n\nb", |line| seen.push(line.to_owned()));
        words.take(b"c\n", |line| seen.push(line.to_owned()));
        words.take(&[b'x'; 5000], |_| {});
        words.take(b"\n", |line| seen.push(line.len().to_string()));
        assert_eq!(seen, ["a", "bc", "2048"]);
        assert!(words.explain("it ended").starts_with("it ended; the last lines on its stderr: a; bc; xxx"));
        words.forget();
        assert_eq!(words.explain("it ended"), "it ended");
    }
}
