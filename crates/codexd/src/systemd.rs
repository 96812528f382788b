//! What a service manager such as systemd gives the daemon, and what it is told.
//!
//! Two small protocols of environment variables. With `LISTEN_FDS` come listeners that somebody else opened, so that connections
//! wait for the daemon and not the other way round; an inherited address is checked by the same rules as `--host`. To
//! `NOTIFY_SOCKET` goes word of being ready, of stopping and, when `WATCHDOG_USEC` asks for it, of still running. Without these
//! variables nothing happens. None of them reaches Codex (`agent::process`).
//!
//! Telling never delays or ends anything: a manager that does not read is given a moment, and a warning is logged.

use std::{net::SocketAddr, os::fd::AsFd, path::PathBuf, time::Duration};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    net::{TcpListener, UnixListener},
    task::spawn_blocking,
    time::timeout,
};

use crate::config::BadConfig;

/// How long the manager may take to be told something.
const TELL_LIMIT: Duration = Duration::from_secs(1);

/// The listeners that we were started with: at most one of a kind.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// Takes the place of `--host` and `--port`.
    pub(crate) tcp: Option<TcpListener>,
    /// Takes the place of the store's own socket, and the path by which clients find it.
    pub(crate) unix: Option<(UnixListener, PathBuf)>,
}

impl Inherited {
    /// Where the TCP listener listens.
    pub(crate) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        Ok(self.tcp.as_ref().map(TcpListener::local_addr).transpose()?)
    }
}

/// Takes the listeners. To be called once, before anything of the daemon opens a file.
///
/// The crate below takes two variables out of our environment. Nothing else reads it from C at this time, and what reads it from
/// Rust shares a lock with that.
pub(crate) fn inherited() -> anyhow::Result<Inherited> {
    let mut inherited = Inherited::default();
    // Some managers leave the process out. Without it the numbers could be meant for our parent, and be files of ours by now.
    if std::env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(inherited);
    }
    let mut given = ListenFd::from_env();
    for index in 0..given.len() {
        if let Ok(Some(listener)) = given.take_tcp_listener(index) {
            check(&listener, index, inherited.tcp.is_some())?;
            listener.set_nonblocking(true)?;
            inherited.tcp = Some(TcpListener::from_std(listener)?);
        } else if let Ok(Some(listener)) = given.take_unix_listener(index) {
            check(&listener, index, inherited.unix.is_some())?;
            listener.set_nonblocking(true)?;
            let Some(path) = listener.local_addr()?.as_pathname().map(PathBuf::from) else {
                return unusable(index, "is a Unix socket without a path, by which no client would find it");
            };
            inherited.unix = Some((UnixListener::from_std(listener)?, path));
        } else {
            return unusable(index, "is neither a TCP listener nor a Unix stream listener");
        }
    }
    Ok(inherited)
}

fn check(listener: &impl AsFd, index: usize, another: bool) -> anyhow::Result<()> {
    if another {
        return unusable(index, "is a second listener of its kind; one TCP address and one Unix socket can be served");
    }
    // Apple's systems can't tell, and have no such manager.
    #[cfg(not(target_vendor = "apple"))]
    if !rustix::net::sockopt::socket_acceptconn(listener)? {
        return unusable(index, "does not listen (in a socket unit, Accept= must be off)");
    }
    #[cfg(target_vendor = "apple")]
    let _ = listener;
    Ok(())
}

fn unusable<T>(index: usize, what: &str) -> anyhow::Result<T> {
    Err(BadConfig(format!("the socket that the service manager passed as file {} {what}", 3 + index)).into())
}

/// It listens: whoever waits for the daemon may go on.
pub(crate) async fn tell_ready(status: String) {
    tell(move || {
        sd_notify::notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id()), NotifyState::Status(&status)])
    })
    .await;
}

/// It stops, by itself or because it was told to.
pub(crate) async fn tell_stopping() {
    tell(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")])).await;
}

/// Tells the manager twice in its interval that we run, if it wants to know. The telling is a task like any other: when the runtime
/// no longer gets to its tasks, the manager hears nothing more.
pub(crate) fn keep_watchdog() {
    let Some(every) = sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|every| !every.is_zero()) else {
        return;
    };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // Waits without a limit: a manager that does not read must not get a thread each time.
            if let Ok(Err(error)) = spawn_blocking(|| sd_notify::notify(&[NotifyState::Watchdog])).await {
                tracing::warn!(%error, "the service manager can't be told that codexd runs");
            }
        }
    });
}

/// Sending blocks while the manager's queue is full, so it is not done on a thread of the runtime.
async fn tell(message: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match timeout(TELL_LIMIT, spawn_blocking(message)).await {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) can't be told how codexd is"),
        Ok(_) => {}
        Err(_) => tracing::warn!("the service manager (NOTIFY_SOCKET) does not read what it is told"),
    }
}
