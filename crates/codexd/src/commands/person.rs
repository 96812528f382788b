//! A person at the terminal, who answers line by line.
//!
//! A line is read only when one is wanted, by a thread of its own, because nothing can end a read that waits. What was typed
//! before a question was seen is no answer to it and is thrown away.

use std::{
    io::{self, BufRead as _},
    sync::mpsc as blocking,
    thread,
};

use tokio::sync::mpsc;

/// Reads lines. The thread goes with the process.
pub(super) struct Person {
    want: blocking::Sender<()>,
    lines: mpsc::UnboundedReceiver<Option<String>>,
    /// A line was wanted that has not come: the question before was answered elsewhere.
    wanted: bool,
}

impl Person {
    /// Begins to read when the first line is wanted.
    pub(super) fn new() -> Self {
        let (want, wants) = blocking::channel();
        let (send, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for () in wants {
                let mut line = String::new();
                let read = io::stdin().lock().read_line(&mut line);
                let line = matches!(read, Ok(1..)).then_some(line);
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { want, lines, wanted: false }
    }

    /// Throws away what was typed up to now.
    pub(super) fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {
            self.wanted = false;
        }
        #[cfg(unix)]
        let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
    }

    /// The next line; nothing when there is no more.
    pub(super) async fn line(&mut self) -> Option<String> {
        if !self.wanted {
            self.want.send(()).ok()?;
            self.wanted = true;
        }
        let line = self.lines.recv().await?;
        self.wanted = false;
        line
    }
}

/// Whether the terminal belongs to others at the moment: a job in the background is stopped when it reads from it.
pub(super) fn is_in_background() -> bool {
    #[cfg(unix)]
    let background =
        rustix::termios::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != rustix::process::getpgrp());
    #[cfg(not(unix))]
    let background = false;
    background
}
