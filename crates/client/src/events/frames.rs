//! Server-sent events: bytes in, frames out. The part of the format that a stream of ours can have, bounded.

use std::collections::VecDeque;

/// The longest frame that is taken, in bytes: one with the longest answer, escaped. The largest that the daemon keeps is half of it.
pub const BIGGEST_FRAME: usize = 128 << 20;

/// One event of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<i64>,
    pub(crate) name: String,
    pub(crate) data: String,
}

/// A frame that is no frame of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("an event is longer than {most} bytes")]
    TooLong { most: usize },
    #[error("it is not UTF-8")]
    NotText,
    #[error("the number {id:?} of an event is none")]
    NoNumber { id: String },
}

/// What has come of a stream and is not whole yet. One for each connection: what a cut left unfinished is never finished.
#[derive(Debug)]
pub(crate) struct Frames {
    most: usize,
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self::with_limit(BIGGEST_FRAME)
    }

    pub(super) fn with_limit(most: usize) -> Self {
        Self { most, line: Vec::new(), frame: Frame::default(), has_data: false }
    }

    /// Takes what came and gives the frames that are whole by it.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<VecDeque<Frame>, BadFrame> {
        let mut whole = VecDeque::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.grow(&bytes[..end])?;
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let line = std::str::from_utf8(line).map_err(|_| BadFrame::NotText)?;
            whole.extend(self.line(line)?);
        }
        self.grow(bytes)?;
        Ok(whole)
    }

    fn grow(&mut self, more: &[u8]) -> Result<(), BadFrame> {
        if self.line.len() + self.frame.data.len() + more.len() > self.most {
            return Err(BadFrame::TooLong { most: self.most });
        }
        self.line.extend_from_slice(more);
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<Option<Frame>, BadFrame> {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return Ok(std::mem::take(&mut self.has_data).then_some(frame));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.frame.name),
            "id" => {
                let id = value.parse().map_err(|_| BadFrame::NoNumber { id: value.chars().take(40).collect() })?;
                self.frame.id = Some(id);
            }
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            // A comment, which only says that the daemon is alive, or a field that we have no use for.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<i64>, name: &str, data: &str) -> Frame {
        Frame { id, name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn frames_come_whole_wherever_they_are_cut() {
        let text = ": alive\n\nid: 7\nevent: turn.started\ndata: {\"x\":\"ü: y\"}\n\nevent:a\r\ndata:1\r\ndata: 2\r\n\r\nretry: 5\n\n";
        let expected = [frame(Some(7), "turn.started", r#"{"x":"ü: y"}"#), frame(None, "a", "1\n2")];
        for cut in 0..text.len() {
            let mut frames = Frames::new();
            let mut whole = frames.push(&text.as_bytes()[..cut]).unwrap();
            whole.extend(frames.push(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(whole, expected, "{cut}");
        }
    }

    #[test]
    fn an_unfinished_frame_is_none() {
        let mut frames = Frames::new();
        assert_eq!(frames.push(b"event: a\ndata: 1\n").unwrap(), []);
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        for part in ["data: 123456789\n", "123456"] {
            let mut frames = Frames::with_limit(20);
            let error = (0..5).find_map(|_| frames.push(part.as_bytes()).err());
            assert_eq!(error, Some(BadFrame::TooLong { most: 20 }), "{part}");
        }
        let mut frames = Frames::with_limit(20);
        for _ in 0..100 {
            assert_eq!(frames.push(b"data: 1234\n\n").unwrap().len(), 1, "each one has its own bound");
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        assert_eq!(Frames::new().push(b"data: \xff\n"), Err(BadFrame::NotText));
        assert_eq!(Frames::new().push(b"id: x\n"), Err(BadFrame::NoNumber { id: "x".to_owned() }));
    }
}
