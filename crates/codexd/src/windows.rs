//! The daemon on Windows: signals. It has no socket yet; the named pipe comes with the grants.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use http_api::{Api, Descents};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a service manager listens on for us: nothing, here.
pub(super) struct Inherited {
    pub(super) tcp: Option<TcpListener>,
    pub(super) unix: Option<Nothing>,
}

impl Inherited {
    /// There is none.
    pub(super) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        Ok(None)
    }
}

/// There are none.
pub(super) fn inherited() -> anyhow::Result<Inherited> {
    Ok(Inherited { tcp: None, unix: None })
}

/// Nobody comes by a socket.
pub(super) fn descents(_agents: PathBuf) -> Option<Descents> {
    None
}

/// What can't be had.
pub(super) enum Nothing {}

/// The store's socket: there is none.
pub(super) struct Socket(Nothing);

impl Socket {
    /// There is none.
    pub(super) fn new(_dir: &Path, _inherited: Option<Nothing>) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    /// Nowhere.
    pub(super) fn path(&self) -> &Path {
        match self.0 {}
    }

    /// Nothing to serve.
    pub(super) fn serve(&mut self, _: &Api, _: &CancellationToken, _: &TaskTracker) -> anyhow::Result<()> {
        match self.0 {}
    }

    /// Nothing to miss.
    pub(super) fn is_gone(&self) -> bool {
        match self.0 {}
    }

    /// Nothing to serve.
    pub(super) fn again(&self, _: &Api, _: &CancellationToken, _: &TaskTracker) -> anyhow::Result<()> {
        match self.0 {}
    }

    /// Nothing to remove.
    pub(super) fn remove(&self) {
        match self.0 {}
    }
}

/// Nobody asks.
pub(super) async fn tell_ready(_status: String) {}

/// Nobody asks.
pub(super) async fn tell_stopping() {}

/// Nobody watches.
pub(super) fn keep_watchdog() {}

/// Windows has no such limit.
pub(super) fn raise_file_limit() {}

/// Nor such a limit.
pub(super) fn outlive_file_size_limit() {}

/// A future that completes at Ctrl-C, Ctrl-Break, or when the console or the session is closed. From this call on none of them ends
/// the process by itself.
pub(super) fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    let mut ctrl_break = tokio::signal::windows::ctrl_break()?;
    let mut close = tokio::signal::windows::ctrl_close()?;
    let mut shutdown = tokio::signal::windows::ctrl_shutdown()?;
    Ok(async move {
        tokio::select! {
            _ = ctrl_c.recv() => {}
            _ = ctrl_break.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}
