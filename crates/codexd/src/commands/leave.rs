//! What ends the waiting of a command: Ctrl-C is meant for the turn, everything else only for the command.

use std::io;

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Ctrl-C: a person wants it to stop.
    Stop,
    /// SIGTERM, or the terminal is gone: nobody waits any more.
    Leave,
}

/// Hears signals from its making on. From then on they no longer end the process by themselves.
pub(super) struct Wishes {
    #[cfg(unix)]
    stop: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(windows)]
    stop: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    close: tokio::signal::windows::CtrlClose,
}

impl Wishes {
    /// Begins to hear.
    pub(super) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                stop: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
            })
        }
        #[cfg(windows)]
        {
            use tokio::signal::windows::{ctrl_c, ctrl_close};
            Ok(Self { stop: ctrl_c()?, close: ctrl_close()? })
        }
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Wish {
        #[cfg(unix)]
        tokio::select! {
            _ = self.stop.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Leave,
            _ = self.hangup.recv() => Wish::Leave,
        }
        #[cfg(windows)]
        tokio::select! {
            _ = self.stop.recv() => Wish::Stop,
            _ = self.close.recv() => Wish::Leave,
        }
    }
}
