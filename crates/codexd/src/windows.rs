//! The daemon on Windows: signals. It has no socket yet; the named pipe comes with the grants.

use std::path::{Path, PathBuf};

use http_api::Api;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// There is none.
pub(super) fn socket_path(_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    Ok(None)
}

/// Nothing to listen on.
pub(super) fn listen(
    _api: &Api,
    _socket: &Path,
    _stop: &CancellationToken,
    _servers: &TaskTracker,
) -> anyhow::Result<()> {
    Ok(())
}

/// Completes at Ctrl-C, Ctrl-Break, or when the console or the session is closed.
pub(super) async fn signalled() -> std::io::Result<()> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    let mut ctrl_break = tokio::signal::windows::ctrl_break()?;
    let mut close = tokio::signal::windows::ctrl_close()?;
    let mut shutdown = tokio::signal::windows::ctrl_shutdown()?;
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = ctrl_break.recv() => {}
        _ = close.recv() => {}
        _ = shutdown.recv() => {}
    }
    Ok(())
}
