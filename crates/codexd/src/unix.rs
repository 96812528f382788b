//! The daemon on Unix: its socket and its signals.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use http_api::Api;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The longest path of a socket: 108 bytes with the closing NUL on Linux, 104 on macOS.
const SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Where the socket of this store is: in its folder, or, when that path is too long for a socket, in a folder of our own below
/// the temporary one.
pub(super) fn socket_path(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let near = dir.join("codexd.sock");
    if near.as_os_str().len() <= SOCKET_PATH_BYTES {
        return Ok(Some(near));
    }
    let user = rustix::process::geteuid().as_raw();
    let short = std::env::temp_dir().join(format!("codexd-{user}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&short) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("the folder {} for the socket can't be made", short.display()));
        }
        _ => {}
    }
    // Anybody can make that folder before us; then it is not ours to use.
    let found = std::fs::symlink_metadata(&short)?;
    if !found.is_dir() || found.uid() != user || found.permissions().mode() & 0o077 != 0 {
        tracing::warn!("{} belongs to somebody else; there is no socket", short.display());
        return Ok(None);
    }
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    Ok(Some(short.join(format!("{:016x}.sock", hasher.finish()))))
}

/// Listens on the socket. One that was left behind is replaced: its store's lock is ours.
pub(super) fn listen(api: &Api, socket: &Path, stop: &CancellationToken, servers: &TaskTracker) -> anyhow::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("the old socket {} can't be removed", socket.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("can't listen on {}", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let (api, stop) = (api.clone(), stop.clone());
    servers.spawn(async move { api.serve_unix(listener, stop).await });
    Ok(())
}

/// Completes at SIGINT, SIGTERM or SIGHUP.
pub(super) async fn signalled() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
