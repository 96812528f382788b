//! `codexd serve`: the one function that builds everything, and takes it apart again.
//!
//! ```text
//!  Store -> Agent -> Engine -> Api -> { TCP, the store's socket }
//! ```
//!
//! It listens before Codex is ready: a cold Codex takes a while, and turns wait for it. `daemon.json` and the socket appear when
//! it listens and go when it stops; after a crash they stay, and the next daemon, which holds the store's lock, replaces them.
//!
//! Hooks, if the configuration has any, are one more reader of what the engine does. The audit log is told by the engine and the API.
//!
//! A service manager may have opened the listeners, and is told when it listens and when it stops (`systemd.rs`).
//!
//! Stopping, by a signal or because somebody asked by the API (`codexd stop`): no new connections; a Codex that runs a turn is left to its
//! host, any other is ended, and with `--stop-agents` or `--agents` that one as well; every session writes down how it ended; the store is
//! closed. A second signal ends the process at once, and so does [`STOP_LIMIT`].

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use audit::{Audit, Fact, Kind, Limits};
use engine::Engine;
use hooks::Hooks;
use http_api::Api;
use store::{Batch, Store, Write};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{DaemonFile, Timestamp};

use crate::{
    config::{BadConfig, OnRestart, ServeArgs, StoreArg},
    logging,
};

mod open_to_agents;
#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;
mod programs;

use self::{
    open_to_agents::open_to_agents,
    programs::{find_codex, find_git},
};

/// How long stopping may take before it ends whatever happens.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How long the last answers may take to be read.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// How often the store's folder is looked at, and how long `daemon.json` may be missing from it.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const GONE_AFTER: Duration = Duration::from_secs(20);

/// What is longer than that is never over: ten years.
const LONGEST: Duration = Duration::from_secs(315_360_000);

/// How many turns may wait in one session.
const QUEUE_LIMIT: usize = 16;

/// How many sessions may have work at once, and how long one stays ready when it has none.
const AWAKE_LIMIT: usize = 4096;
const LINGER: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and its body.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// How long nothing of an answer need be read.
const UNREAD_LIMIT: Duration = Duration::from_secs(300);

/// How long a route of the first version waits for a turn.
const LEGACY_WAIT: Duration = Duration::from_secs(1800);

/// Serves until it is told to stop. `old_way`: called without a subcommand, as the first version was.
pub(crate) async fn run(mut args: ServeArgs, store_dir: &StoreArg, old_way: bool) -> anyhow::Result<ExitCode> {
    let inherited = os::inherited()?;
    if let Some(address) = inherited.address()? {
        // What is refused for `--host` is refused for an address that somebody else chose.
        (args.host, args.port) = (address.ip().to_string(), address.port());
    }
    let mut settings = args.settings(old_way)?;
    let dir = store_dir.dir()?;
    logging::start();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    os::raise_file_limit();
    os::outlive_file_size_limit();
    let codex = find_codex(&args, &settings, &dir)?;
    let store = Store::open(&dir).map_err(|error| match error {
        store::OpenError::NotWritable { .. }
        | store::OpenError::SomebodyElses { .. }
        | store::OpenError::Exposed { .. }
        | store::OpenError::Replaceable { .. } => anyhow::Error::new(BadConfig(error.to_string())),
        error => anyhow::Error::new(error),
    })?;
    for warning in open_to_agents(&dir, &settings.policy) {
        tracing::warn!("{warning}");
    }
    let real_dir = dunce::canonicalize(&dir).with_context(|| format!("the folder {} can't be used", dir.display()))?;
    let git = find_git(&settings.policy.roots, &real_dir);
    settings.policy.store = Some(real_dir);
    let audit = Audit::start(&dir, Limits::default());
    let listener = match inherited.tcp {
        Some(listener) => listener,
        None => bind(settings.address).await?,
    };
    let address = listener.local_addr()?;
    let work_dir = dir.join("work");
    store::private_dir(&work_dir).with_context(|| format!("the folder {} can't be made", work_dir.display()))?;
    // A daemon that ended as it should has taken it away.
    let crashed = dir.join(DaemonFile::NAME).exists();
    let mut hosts = agent::HostOptions::new(std::env::current_exe()?, dir.join("agents"));
    hosts.orphan_grace = args.orphan_grace.min(LONGEST);
    hosts.orphan_max = args.orphan_max.min(LONGEST);
    let mut options = agent::Options::new(codex, work_dir);
    options.hosts = Some(hosts);
    options.pending = engine::pending(&store).await?;
    options.upkeep.recycle_after = args.agent_recycle.0.map(|after| after.min(LONGEST));
    options.upkeep.most_memory = args.agent_max_rss.0.map(|most| most as u64);
    options.pin = store.program().await?.and_then(|text| serde_json::from_str(&text).ok());
    let (agent, messages) = agent::Agent::start(options);
    tokio::spawn(keep_pins(agent.pins(), store.clone()));
    for token in &settings.tokens {
        settings.policy.grants.add_at_start(token);
    }
    let options = engine::Options {
        policy: settings.policy,
        audit: audit.clone(),
        max_inject_chars: args.max_inject_chars,
        turn_limit: args.turn_timeout.min(LONGEST),
        approval_limit: args.approval_timeout.min(LONGEST),
        on_expiry: args.on_expiry,
        queue_limit: QUEUE_LIMIT,
        awake_limit: AWAKE_LIMIT,
        stop_grace: args.interrupt_grace.min(LONGEST),
        hold: match args.on_restart {
            OnRestart::Run => false,
            OnRestart::Hold => true,
            OnRestart::Auto => crashed,
        },
        linger: LINGER,
        git,
    };
    let engine = Engine::start(store.clone(), Arc::new(agent.clone()), messages, options).await?;
    let hooks = if settings.hooks.is_empty() {
        None
    } else {
        let place = hooks::Place { store_dir: dir.clone(), cwd: dir.join("work") };
        Some(
            Hooks::start(&engine, settings.hooks, place)
                .context("the places of the hooks can't be kept in the store's folder")?,
        )
    };
    let mut socket = os::Socket::new(&dir, inherited.unix)?;
    let mut hint = "make one with `codexd token new NAME` and send it as `Authorization: Bearer TOKEN`".to_owned();
    if let Some(socket) = &socket {
        hint.push_str(&format!(", or use the socket {}, which needs none", socket.path().display()));
    }
    let api = Api::new(
        engine.clone(),
        http_api::Options {
            allow_hosts: args.allow_host.clone(),
            allow_origins: args.allow_origin.clone(),
            bound: Some(address),
            open: settings.open,
            audit: audit.clone(),
            max_body_bytes: args.max_body_bytes,
            max_connections: args.max_connections,
            token_hint: hint,
            legacy_wait: LEGACY_WAIT,
            header_limit: HEADER_LIMIT,
            body_limit: BODY_LIMIT,
            descents: os::descents(dir.join("agents")),
            unread_limit: UNREAD_LIMIT,
        },
    );
    let stop = CancellationToken::new();
    let servers = TaskTracker::new();
    if let Some(socket) = &mut socket {
        socket.serve(&api, &stop, &servers)?;
    }
    {
        let (api, stop) = (api.clone(), stop.clone());
        servers.spawn(async move { api.serve_tcp(listener, stop).await });
    }
    servers.close();
    // Whoever learns that it listens may tell it to stop at once.
    let signalled = os::signalled()?;
    let (file, listens) = announce(&dir, address, socket.as_ref().map(os::Socket::path))?;
    audit.note(
        Fact::own(Kind::DaemonStarted)
            .about("version", env!("CARGO_PKG_VERSION"))
            .about("pid", std::process::id())
            .about("http", format!("http://{address}"))
            .about("open", settings.open),
    );
    os::tell_ready(listens).await;
    os::keep_watchdog();
    let mut stop_agents = args.stop_agents;
    tokio::select! {
        () = signalled => {}
        asked = api.asked_to_stop() => stop_agents |= asked.agents,
        () = gone(&file, || if let Some(socket) = &socket { keep_socket(socket, &api, &stop, &servers) }) => tracing::warn!("the store's folder is gone; stopping"),
    }
    tracing::info!("stopping; a second signal stops at once");
    let stopping = async {
        stop.cancel();
        os::tell_stopping().await;
        // What a full disk did not take is with Codex's host, for a codexd that has room.
        let done = engine.running().await == 0 && engine.writable().await.is_ok();
        if stop_agents || done {
            agent.stop().await;
        } else {
            tracing::info!("turns are not done; Codex goes on with them, and the next codexd with Codex");
            agent.leave().await;
        }
        engine.finished().await;
        if let Some(hooks) = hooks {
            hooks.stop().await;
        }
        // Whoever waited for a turn is answered by now; what is left are connections that say nothing.
        let _ = tokio::time::timeout(LAST_ANSWERS, servers.wait()).await;
        // Before the lock is released: from then on the names may be those of another daemon.
        withdraw(&file, socket.as_ref());
        audit.note(Fact::own(Kind::DaemonStopped).about("pid", std::process::id()));
        // The disk may be slow.
        let _ = tokio::task::spawn_blocking(move || audit.close()).await;
        store.close().await;
    };
    let again = os::signalled()?;
    tokio::select! {
        () = stopping => {}
        () = again => tracing::warn!("stopped at once"),
        () = tokio::time::sleep(STOP_LIMIT) => tracing::warn!("stopping took too long; giving up"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps what program Codex is, for the next daemon to tell a change.
async fn keep_pins(mut pins: watch::Receiver<Option<agent::Pin>>, store: Store) {
    while pins.changed().await.is_ok() {
        let Some(Ok(text)) = pins.borrow_and_update().as_ref().map(serde_json::to_string) else { continue };
        if let Err(error) = store.commit(Batch { writes: vec![Write::KeepProgram(text)] }).await {
            tracing::warn!(%error, "what Codex is can't be kept");
        }
    }
}

/// Takes back what [`announce`] made.
fn withdraw(file: &Path, socket: Option<&os::Socket>) {
    let _ = std::fs::remove_file(file);
    if let Some(socket) = socket {
        socket.remove();
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            anyhow::bail!(
                "the port {} is in use; stop what listens there, or choose another with --port (0 takes a free one)",
                address.port()
            )
        }
        Err(error) => Err(BadConfig(format!("--host: can't listen on {address}: {error}")).into()),
    }
}

/// Says where it listens: on stdout for people, in `daemon.json` for programs. Gives that file, and the words.
fn announce(dir: &Path, address: SocketAddr, socket: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let http = format!("http://{address}");
    let file = dir.join(DaemonFile::NAME);
    let daemon = DaemonFile {
        pid: std::process::id(),
        process_start: client::process_start(std::process::id()),
        started_at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http: Some(http.clone()),
        socket: socket.map(Path::to_owned),
    };
    store::write_private(&file, &serde_json::to_vec(&daemon)?)
        .with_context(|| format!("{} can't be written", file.display()))?;
    let also = socket.map(|socket| format!(" and {}", socket.display())).unwrap_or_default();
    let listens = format!("listens on {http}{also}");
    crate::output::line(&format!("codexd {} {listens}", env!("CARGO_PKG_VERSION")));
    Ok((file, listens))
}

/// Completes when `daemon.json` is not there any more for a while: somebody removed the store, and nobody can find us. Until then
/// `look` is called again and again.
async fn gone(file: &Path, look: impl Fn()) {
    let mut missing_since = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if file.exists() {
            missing_since = None;
            look();
        } else if missing_since.get_or_insert_with(Instant::now).elapsed() >= GONE_AFTER {
            return;
        }
    }
}

/// Listens on the store's socket again when somebody has removed it, a cleaner of old files for instance.
fn keep_socket(socket: &os::Socket, api: &Api, stop: &CancellationToken, servers: &TaskTracker) {
    if !socket.is_gone() {
        return;
    }
    let path = socket.path().display();
    match socket.again(api, stop, servers) {
        Ok(()) => tracing::warn!("the socket {path} was removed; codexd listens on it again"),
        Err(error) => tracing::warn!("the socket {path} was removed, and can't be made again: {error:#}"),
    }
}
