//! The daemon on Windows: its pipe, and its signals.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use http_api::{Api, Descents};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;
use win32::pipe::Listener;

/// What the system keeps of a stream for a client that does not read, in bytes.
const PIPE_BUFFER: u32 = 16 * 1024;

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

/// Tells which of those that come by the pipe are agents'.
pub(super) fn descents(agents: PathBuf) -> Option<Descents> {
    Some(Descents::new(move |pid| agent::descent(&agents, pid)))
}

/// What can't be had.
pub(super) enum Nothing {}

/// The store's pipe.
pub(super) struct Socket(PathBuf);

impl Socket {
    /// Chooses its name: a new one each time, so that nobody can take it before us.
    pub(super) fn new(_dir: &Path, _inherited: Option<Nothing>) -> anyhow::Result<Option<Self>> {
        Ok(Some(Self(format!(r"\\.\pipe\codexd-{}", Uuid::now_v7().simple()).into())))
    }

    /// Where clients find it.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Serves it until `stop`.
    pub(super) fn serve(&mut self, api: &Api, stop: &CancellationToken, servers: &TaskTracker) -> anyhow::Result<()> {
        let listener = Listener::bind(self.0.as_os_str(), PIPE_BUFFER)
            .with_context(|| format!("can't listen on the pipe {}", self.0.display()))?;
        let (api, stop) = (api.clone(), stop.clone());
        servers.spawn(async move { api.serve_pipe(listener, stop).await });
        Ok(())
    }

    /// Nobody can remove a pipe that somebody listens on.
    pub(super) const fn is_gone(&self) -> bool {
        false
    }

    /// So there is nothing to make again.
    pub(super) const fn again(&self, _: &Api, _: &CancellationToken, _: &TaskTracker) -> anyhow::Result<()> {
        Ok(())
    }

    /// It goes with its last end.
    pub(super) const fn remove(&self) {}
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
