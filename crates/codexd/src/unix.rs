//! The daemon on Unix: its socket, its signals, how many files it may have open.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use http_api::{Api, Descents};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[path = "systemd.rs"]
mod systemd;

pub(super) use systemd::{inherited, keep_watchdog, tell_ready, tell_stopping};

/// So many files are enough for as many connections and readers as anybody asked for so far. No more than this, because Codex and
/// all that it runs inherit the limit, and there are programs that close or visit every number below it.
const FILES: u64 = 65_536;

/// What macOS grants where that is too much.
const FEWER_FILES: u64 = 10_240;

/// The longest path of a socket: 108 bytes with the closing NUL on Linux, 104 on macOS.
const SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The store's socket: its own, or one that a service manager listens on for us.
pub(super) struct Socket {
    dir: PathBuf,
    path: PathBuf,
    inherited: Option<UnixListener>,
    ours: bool,
}

impl Socket {
    /// Chooses it. Nothing is bound yet; `None` when there can be none.
    pub(super) fn new(dir: &Path, inherited: Option<(UnixListener, PathBuf)>) -> anyhow::Result<Option<Self>> {
        if let Some((listener, path)) = inherited {
            return Ok(Some(Self { dir: dir.to_owned(), path, inherited: Some(listener), ours: false }));
        }
        Ok(socket_path(dir)?.map(|path| Self { dir: dir.to_owned(), path, inherited: None, ours: true }))
    }

    /// Where clients find it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves it until `stop`.
    pub(super) fn serve(&mut self, api: &Api, stop: &CancellationToken, servers: &TaskTracker) -> anyhow::Result<()> {
        let listener = match self.inherited.take() {
            Some(listener) => listener,
            None => bind(&self.path)?,
        };
        let (api, stop) = (api.clone(), stop.clone());
        servers.spawn(async move { api.serve_unix(listener, stop).await });
        Ok(())
    }

    /// Whether somebody has removed the file. One of a service manager's is for that to make anew.
    pub(super) fn is_gone(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        self.ours && found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// Listens once more. Who came by the socket that is gone is served on.
    pub(super) fn again(&self, api: &Api, stop: &CancellationToken, servers: &TaskTracker) -> anyhow::Result<()> {
        // Its folder may have gone with it.
        anyhow::ensure!(socket_path(&self.dir)?.as_ref() == Some(&self.path), "its folder is not ours any more");
        let listener = bind(&self.path)?;
        let (api, stop) = (api.clone(), stop.clone());
        servers.spawn(async move { api.serve_unix(listener, stop).await });
        Ok(())
    }

    /// Removes the file, unless it belongs to the service manager, which goes on listening.
    pub(super) fn remove(&self) {
        if self.ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where the socket of this store is: in its folder, or, when that path is too long for a socket, in a folder of our own below
/// the temporary one.
fn socket_path(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
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
fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("the old socket {} can't be removed", socket.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("can't listen on {}", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Tells which of those that come by the socket are agents'.
pub(super) fn descents(agents: PathBuf) -> Option<Descents> {
    Some(Descents::new(move |pid| agent::descent(&agents, pid)))
}

/// Raises the soft limit of open files towards the hard one: the usual 1,024 are fewer than 500 readers and their turns need.
pub(super) fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(before) = current else { return };
    let mut failure = None;
    for most in [FILES, FEWER_FILES] {
        let wanted = maximum.map_or(most, |maximum| maximum.min(most));
        if before >= wanted {
            break;
        }
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
            Ok(()) => {
                tracing::debug!(before, now = wanted, "open files");
                return;
            }
            Err(error) => failure = Some(error),
        }
    }
    if let Some(error) = failure {
        tracing::warn!(%error, "the limit of open files stays at {before}; many readers at once may be too many for it");
    }
}

/// Lets a write over the limit of a file's size fail, as one on a full disk does, where it would end the process.
pub(super) fn outlive_file_size_limit() {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // The handler stays when the listener goes. Codex does not inherit it.
    if let Err(error) = signal(kind) {
        tracing::warn!(%error, "a limit of file sizes would end codexd");
    }
}

/// A future that completes at SIGINT, SIGTERM or SIGHUP. From this call on, and not only when it is awaited, none of them ends the
/// process by itself.
pub(super) fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
