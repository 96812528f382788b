//! Codex as the host holds it: a child with three pipes, none of which is ever waited for.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::Command,
};

use super::{
    birth::Birth,
    os::{self, End, Family, Input, Loop, Output},
};
use crate::{process::MARKER, transport::MAX_LINE_BYTES, words::Words};

/// A client keeps within its window; one that does not is broken.
const MOST_INPUT: usize = MAX_LINE_BYTES + 16 * 1024 * 1024;

/// Buffers above this are given back to the system after a long line.
const KEEP_BYTES: usize = 64 * 1024;

/// A line for Codex's stdin.
struct Waiting {
    number: u64,
    tag: String,
    line: Vec<u8>,
}

/// A Codex that was started, as the system gives it.
pub(super) struct Started {
    pub(super) family: Family,
    pub(super) end: End,
    pub(super) stdin: Input,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// See the module.
pub(super) struct Codex {
    pub(super) family: Family,
    pub(super) end: End,
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    pub(super) words: Words,
    /// What waits for stdin, and how much of the first one is written.
    queue: VecDeque<Waiting>,
    written: usize,
    waiting: usize,
    /// The line that has not come whole.
    partial: Vec<u8>,
}

impl Codex {
    /// Starts it.
    pub(super) fn start(birth: &Birth, waiting: &Loop) -> io::Result<Self> {
        let mut command = Command::new(&birth.program);
        command.args(&birth.args).current_dir(PathBuf::from(&birth.work_dir));
        for (name, value) in &birth.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env(MARKER, birth.agent.as_str());
        let Started { family, end, stdin, stdout, stderr } = os::start(waiting, command)?;
        let (stdin, stdout, stderr) = (Some(stdin), Some(stdout), Some(stderr));
        let words = Words::default();
        let (queue, partial) = (VecDeque::new(), Vec::new());
        Ok(Self { family, end, stdin, stdout, stderr, words, queue, written: 0, waiting: 0, partial })
    }

    /// A line for its stdin. False when there is too much already.
    pub(super) fn give(&mut self, number: u64, tag: &str, line: &[u8]) -> bool {
        if self.waiting + line.len() > MOST_INPUT {
            return false;
        }
        if self.stdin.is_some() {
            let mut line = line.to_vec();
            line.push(b'\n');
            self.waiting += line.len();
            self.queue.push_back(Waiting { number, tag: tag.to_owned(), line });
        }
        true
    }

    /// Whether something waits for stdin.
    pub(super) fn has_input(&self) -> bool {
        !self.queue.is_empty() && self.stdin.is_some()
    }

    /// Writes what stdin takes; gives the numbers of the lines that went.
    pub(super) fn write(&mut self) -> Vec<u64> {
        let mut passed = Vec::new();
        while let (Some(stdin), Some(first)) = (&mut self.stdin, self.queue.front()) {
            match stdin.write(&first.line[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody reads there any more: Codex is ending.
                Err(_) => {
                    self.stdin = None;
                    break;
                }
            }
            if self.written == first.line.len() {
                passed.push(first.number);
                self.waiting -= first.line.len();
                self.written = 0;
                self.queue.pop_front();
            }
        }
        passed
    }

    /// Whoever gave what waits is not there any more.
    pub(super) fn disown(&mut self) {
        for input in &mut self.queue {
            input.number = 0;
        }
    }

    /// Closes stdin. Gives the tags of what did not go.
    pub(super) fn close(&mut self) -> Vec<String> {
        self.stdin = None;
        (self.written, self.waiting) = (0, 0);
        self.queue.drain(..).map(|input| input.tag).collect()
    }

    /// Reads what stdout has, once; `line` is called with every line that is whole now. False at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut line: impl FnMut(&[u8])) -> io::Result<bool> {
        let Some(stdout) = &mut self.stdout else { return Ok(false) };
        let mut chunk = match stdout.read(buffer) {
            Ok(0) => {
                self.stdout = None;
                return Ok(false);
            }
            Ok(count) => &buffer[..count],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(true);
            }
            Err(error) => {
                self.stdout = None;
                return Err(error);
            }
        };
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            if self.partial.is_empty() {
                line(&chunk[..end]);
            } else {
                self.partial.extend_from_slice(&chunk[..end]);
                line(&self.partial);
                self.partial.clear();
                self.partial.shrink_to(KEEP_BYTES);
            }
            chunk = &chunk[end + 1..];
        }
        if self.partial.len() + chunk.len() > MAX_LINE_BYTES {
            self.partial = Vec::new();
            self.stdout = None;
            let most = MAX_LINE_BYTES / 1024 / 1024;
            return Err(io::Error::other(format!("Codex wrote a line of more than {most} MiB")));
        }
        self.partial.extend_from_slice(chunk);
        Ok(true)
    }

    /// Reads what stderr has, once; `line` is called with every line that is whole now.
    pub(super) fn hear(&mut self, buffer: &mut [u8], line: impl FnMut(&str)) {
        let Some(stderr) = &mut self.stderr else { return };
        match stderr.read(buffer) {
            Ok(count) if count > 0 => self.words.take(&buffer[..count], line),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => self.stderr = None,
        }
    }
}
