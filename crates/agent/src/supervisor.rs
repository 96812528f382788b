//! Keeps one Codex running.
//!
//! # Theory of operation
//!
//! One task: find out what the program speaks, run the conversation until it ends, tell the engine, wait a little longer each
//! time, and begin again. After [`GIVE_UP`] failures in a row, or one time-out, waiting makes no sense and the agent is
//! *unavailable*: the engine refuses turns with the reason, while the task goes on trying every [`LONG_WAIT`], so that
//! installing Codex, or repairing it, is enough.
//!
//! Which interface: `--version` first, for the messages; then an `app-server` handshake, then an `mcp-server` one. What answers
//! decides. Each has a deadline.
//!
//! With [`Options::hosts`] each Codex has a host, which outlives codexd. The first thing that is done then is to look for one that is
//! there: its Codex is gone on with ([`Message::Up`] says so), and what was asked of it and has no answer ([`Options::pending`]) is waited
//! for, or answered as never heard. What was asked of any other agent has no answer: whoever is told of the first agent that is up knows
//! that no other is left.
//!
//! Without, Codex sees its stdin close at a crash of codexd, and ends: 0.153 and later at once, with what they run; 0.98 only when its
//! turn has ended. Nobody kills one that stays.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{
    AgentId, AskId, Timestamp,
    agent::{AgentInfo, AgentStatus, Backend, Supported},
};

use crate::{
    adapter::Adapter,
    app_server::AppServer,
    body::Body,
    connection::{Busy, Command, Connection, End, Restore, last_acks, refuse_for},
    domain::{Ask, Message, PendingAsk, Port, Reply, RequestId},
    handshake::{Met, ShakeError},
    hosts::{self, Found, HostOptions},
    locate::Located,
    mcp_server::McpServer,
    pin::Pin,
    process::ask_version,
    transport::Hosted,
    upkeep::{Health, Upkeep},
    version::{TESTED, Version},
};

/// So many failures in a row, and waiting for the next try makes no sense: of a program that does not start, and of one that
/// does and then dies, which somebody may be doing to it.
const GIVE_UP: u32 = 3;
const GIVE_UP_DYING: u32 = 8;
const SHORT_WAIT: Duration = Duration::from_millis(100);
const LONGEST_SHORT_WAIT: Duration = Duration::from_secs(2);
const LONG_WAIT: Duration = Duration::from_secs(30);

/// A process that was up for so long did not fail to start.
const STABLE: Duration = Duration::from_secs(30);

/// How long a Codex that is ready is not told of because it is not known what it is: 0.169.0 has 300 MB, read in 0.3 s.
const PIN_LIMIT: Duration = Duration::from_secs(2);

/// How long Codex may take to end once its stdin is closed. 0.169.0 needs 0.2 s.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long the last acknowledgements may take to reach a host that is left.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// Reports that the engine has not taken yet; beyond that Codex is not read any further.
const MESSAGES: usize = 1024;

/// What the supervisor needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to start.
    pub program: Located,
    /// An empty folder of ours to start it in.
    pub work_dir: PathBuf,
    /// How long `--version` may take.
    pub version_limit: Duration,
    /// How long a handshake may take.
    pub handshake_limit: Duration,
    /// Codex gets a host of its own. None: this process holds its pipes, and it ends with this process. Ignored on Windows, where there are
    /// no hosts yet.
    pub hosts: Option<HostOptions>,
    /// What was asked of agents by codexds that are gone, and has no answer, as the store has it. Used for an agent that is still there.
    pub pending: BTreeMap<AgentId, Vec<PendingAsk>>,
    /// How a Codex at rest is looked after.
    pub upkeep: Upkeep,
    /// What the program was when it was started last, as [`Agent::pins`] told it.
    pub pin: Option<Pin>,
}

impl Options {
    /// With deadlines that a slow machine keeps: a cold start takes 0.1 to 0.5 s on an idle one.
    #[must_use]
    pub fn new(program: Located, work_dir: PathBuf) -> Self {
        Self {
            program,
            work_dir,
            version_limit: Duration::from_secs(5),
            handshake_limit: Duration::from_secs(15),
            hosts: None,
            pending: BTreeMap::new(),
            upkeep: Upkeep::default(),
            pin: None,
        }
    }
}

/// A handle on the agent.
#[derive(Clone)]
pub struct Agent {
    commands: mpsc::UnboundedSender<Command>,
    info: watch::Receiver<AgentInfo>,
    pins: watch::Receiver<Option<Pin>>,
    stop: CancellationToken,
    leave: CancellationToken,
    tasks: TaskTracker,
}

impl Agent {
    /// Starts the supervisor. It has no process yet when this returns.
    #[must_use]
    pub fn start(mut options: Options) -> (Self, mpsc::Receiver<Message>) {
        if cfg!(windows) {
            options.hosts = None;
        }
        let (commands, inbox) = mpsc::unbounded_channel();
        let (messages, outbox) = mpsc::channel(MESSAGES);
        let supported = Supported { from: TESTED.0.to_string(), to: TESTED.1.to_string(), tested: None };
        let (tell, info) = watch::channel(AgentInfo {
            status: AgentStatus::Starting,
            backend: None,
            version: None,
            supported,
            program: Some(options.program.program.display().to_string()),
            pinned: options.pin.as_ref().map(|pin| pin.pinned.clone()),
            pid: None,
            started_at: None,
            restarts: 0,
            last_error: None,
        });
        let (pin, pins) = watch::channel(options.pin.take());
        let stop = CancellationToken::new();
        // Nobody can leave what has no host.
        let leave = if options.hosts.is_some() { CancellationToken::new() } else { stop.clone() };
        let tasks = TaskTracker::new();
        let (stopped, left) = (stop.clone(), leave.clone());
        let supervisor = Supervisor { options, commands: inbox, messages, info: tell, pin, stop: stopped, leave: left };
        tasks.spawn(supervisor.run());
        tasks.close();
        (Self { commands, info, pins, stop, leave, tasks }, outbox)
    }

    /// Lets Codex and its host go on without this process, for the next one to attach to. What was asked, answered or acknowledged before is
    /// handed over first; nothing is reported any more, and no [`Message::Down`] comes: the messages just end. Where Codex has no host this is
    /// [`Agent::stop`].
    pub async fn leave(&self) {
        self.leave.cancel();
        self.tasks.wait().await;
    }

    /// Closes Codex's stdin, gives it a moment, and ends its whole group. Returns when that is done; a process that was just being
    /// started is killed in the background.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// What the program is, whenever that is another, to be kept for the next codexd.
    #[must_use]
    pub fn pins(&self) -> watch::Receiver<Option<Pin>> {
        self.pins.clone()
    }

    /// Waits until what is known of the agent satisfies the condition, or the agent is stopped.
    pub async fn wait_for(&self, condition: impl FnMut(&AgentInfo) -> bool) -> AgentInfo {
        let mut info = self.info.clone();
        let found = info.wait_for(condition).await.map(|info| info.clone());
        found.unwrap_or_else(|_| self.info.borrow().clone())
    }
}

impl Port for Agent {
    fn ask(&self, agent: &AgentId, id: AskId, ask: Ask) {
        let _ = self.commands.send(Command::Ask { agent: agent.clone(), id, ask: Box::new(ask) });
    }

    fn reply(&self, agent: &AgentId, request: RequestId, reply: Reply) {
        let _ = self.commands.send(Command::Reply { agent: agent.clone(), request, reply });
    }

    fn ack(&self, agent: &AgentId, seq: u64) {
        let _ = self.commands.send(Command::Ack { agent: agent.clone(), seq });
    }

    fn replace(&self, agent: &AgentId, why: &str) {
        let _ = self.commands.send(Command::Replace { agent: agent.clone(), why: why.to_owned() });
    }

    fn restart(&self, drain: bool) {
        let _ = self.commands.send(Command::Restart { drain });
    }

    fn info(&self) -> AgentInfo {
        self.info.borrow().clone()
    }
}

/// A process that has shaken hands.
struct Ready {
    id: AgentId,
    body: Body,
    met: Met,
    /// What another codexd left, when it was there before.
    restore: Option<Restore>,
    started: Timestamp,
}

/// What a conversation begins with.
struct Talk<'a> {
    id: &'a AgentId,
    backend: Backend,
    pid: u32,
    adapter: Box<dyn Adapter>,
    restore: Option<Restore>,
    started: Timestamp,
}

/// How a conversation ended.
struct Ended {
    text: String,
    /// Nobody wanted that.
    failed: bool,
    /// A host that has lines which are not acknowledged.
    owing: Option<Hosted>,
}

/// Why no process is ready.
struct Failure {
    text: String,
    /// Trying again at once makes no sense.
    hopeless: bool,
}

struct Supervisor {
    options: Options,
    commands: mpsc::UnboundedReceiver<Command>,
    messages: mpsc::Sender<Message>,
    info: watch::Sender<AgentInfo>,
    pin: watch::Sender<Option<Pin>>,
    stop: CancellationToken,
    leave: CancellationToken,
}

impl Supervisor {
    async fn run(mut self) {
        let mut failures = 0_u32;
        let mut first = true;
        while !self.stop.is_cancelled() && !self.leave.is_cancelled() && !self.messages.is_closed() {
            let (stop, leave) = (self.stop.clone(), self.leave.clone());
            let started = tokio::select! {
                started = self.find_or_start(std::mem::take(&mut first)) => started,
                () = stop.cancelled() => return,
                () = leave.cancelled() => return,
            };
            let mut owing = None;
            let (failure, up) = match started {
                Err(failure) => (failure, None),
                Ok(ready) => {
                    let since = Instant::now();
                    let id = ready.id.clone();
                    let Some(Ended { text, failed, owing: left }) = self.converse(ready).await else { return };
                    owing = left;
                    if !failed && !self.stop.is_cancelled() {
                        tracing::info!("Codex is replaced: {text}");
                        self.info.send_modify(|info| {
                            info.status = AgentStatus::Restarting;
                            info.pid = None;
                        });
                        let down = Message::Down { agent: Some(id), error: text, retrying: true };
                        if self.messages.send(down).await.is_err() {
                            return;
                        }
                        failures = 0;
                        continue;
                    }
                    if since.elapsed() >= STABLE {
                        failures = 0;
                    }
                    (Failure { text, hopeless: false }, Some(id))
                }
            };
            if self.stop.is_cancelled() {
                let error = "codexd is stopping".to_owned();
                let down = Message::Down { agent: up.clone(), error, retrying: false };
                if self.messages.send(down).await.is_ok() {
                    self.settle(up.as_ref(), owing).await;
                }
                return;
            }
            failures += 1;
            let patience = if up.is_some() { GIVE_UP_DYING } else { GIVE_UP };
            let retrying = failures < patience && !failure.hopeless;
            let short = (SHORT_WAIT * 4_u32.pow((failures - 1).min(4))).min(LONGEST_SHORT_WAIT);
            let wait = if retrying { jittered(short) } else { LONG_WAIT };
            tracing::warn!(error = failure.text, retrying, "Codex is not running");
            self.info.send_modify(|info| {
                info.status = if retrying { AgentStatus::Restarting } else { AgentStatus::Unavailable };
                info.pid = None;
                info.last_error = Some(failure.text.clone());
                info.restarts += u64::from(up.is_some());
            });
            let down = Message::Down { agent: up.clone(), error: failure.text, retrying };
            if self.messages.send(down).await.is_err() {
                return;
            }
            self.settle(up.as_ref(), owing).await;
            refuse_for(wait, &mut self.commands, &self.messages, &self.stop, &self.leave).await;
        }
    }

    /// Lets go of the host of a Codex that ended, once the engine has committed what it said.
    async fn settle(&mut self, gone: Option<&AgentId>, owing: Option<Hosted>) {
        if let (Some(gone), Some(mut hosted)) = (gone, owing) {
            last_acks(gone, &mut hosted, &mut self.commands, &self.messages, &self.leave).await;
            hosted.gone().await;
        }
    }

    async fn find_or_start(&mut self, first: bool) -> Result<Ready, Failure> {
        if let (true, Some(options)) = (first, &self.options.hosts)
            && let Some(Found { agent, hosted, met, passed, busy, started }) = hosts::find(options).await
        {
            // What was asked of others is over.
            let pending = std::mem::take(&mut self.options.pending).remove(&agent).unwrap_or_default();
            let restore = Restore { pending, passed: passed.into_iter().collect(), busy: busy.into_iter().collect() };
            return Ok(Ready { id: agent, body: Body::Hosted(hosted), met, restore: Some(restore), started });
        }
        let pinning = self.pin();
        let started = self.start().await;
        if started.is_ok() {
            // So that who is told that it started is told what did.
            let _ = timeout(PIN_LIMIT, pinning).await;
        }
        started
    }

    /// Finds out what the program is, while it starts.
    fn pin(&self) -> JoinHandle<()> {
        let program = self.options.program.program.clone();
        let (pin, info, stop, leave) = (self.pin.clone(), self.info.clone(), self.stop.clone(), self.leave.clone());
        spawn_blocking(move || {
            let before = pin.borrow().clone();
            let found = match Pin::of(&program, before.as_ref(), || stop.is_cancelled() || leave.is_cancelled()) {
                Ok(found) => found,
                Err(error) => {
                    return tracing::warn!(%error, program = %program.display(), "what Codex is can't be read");
                }
            };
            if before.as_ref() == Some(&found) {
                return;
            }
            let now = &found.pinned;
            match (&now.previous, before.is_none_or(|before| before.pinned != *now)) {
                (Some(was), true) => tracing::warn!(
                    path = now.path,
                    sha256 = now.sha256,
                    was = was.path,
                    was_sha256 = was.sha256,
                    "Codex is another program than at its last start"
                ),
                (None, true) => tracing::info!(path = now.path, sha256 = now.sha256, "Codex is this program"),
                (_, false) => {}
            }
            info.send_modify(|info| info.pinned = Some(now.clone()));
            pin.send_replace(Some(found));
        })
    }

    /// Runs one conversation to its end and says what ended it; nothing when we left.
    async fn converse(&mut self, ready: Ready) -> Option<Ended> {
        let Ready { id, mut body, met, restore, started } = ready;
        let adapter: Box<dyn Adapter> = match met.backend {
            Backend::AppServer => Box::new(AppServer::new(met.version)),
            Backend::McpServer => Box::new(McpServer::new(met.version)),
        };
        let capabilities = adapter.capabilities();
        // What it complained of while it started did not keep it from starting.
        let pid = match &mut body {
            Body::Own(process, _) => {
                process.forget_words();
                process.pid
            }
            Body::Hosted(hosted) => {
                if restore.is_none() {
                    hosted.keep(&serde_json::to_string(&met).unwrap_or_default());
                }
                hosted.codex_pid()
            }
        };
        let version = met.version.map(|version| version.to_string());
        tracing::info!(pid, backend = met.backend.as_str(), version, "Codex is ready");
        self.info.send_modify(|info| {
            info.status = AgentStatus::Ready;
            info.backend = Some(met.backend);
            info.version = version;
            info.supported.tested = met.version.map(Version::tested);
            info.pid = Some(pid);
            info.started_at = Some(started);
        });
        let attached = restore.is_some();
        let up = Message::Up { agent: id.clone(), backend: met.backend, capabilities, attached };
        if self.messages.send(up).await.is_err() {
            return None;
        }
        let talk = Talk { id: &id, backend: met.backend, pid, adapter, restore, started };
        let end = match &mut body {
            Body::Own(process, pipes) => self.connection(talk, pipes).run(Some(process)).await,
            Body::Hosted(hosted) => self.connection(talk, hosted).run(None).await,
        };
        let text = match (end, body) {
            (End::Left, Body::Hosted(hosted)) => {
                hosted.flush(LEAVE_GRACE).await;
                return None;
            }
            (End::Exited, Body::Hosted(hosted)) => {
                return Some(Ended { text: hosted.ending(), failed: true, owing: Some(hosted) });
            }
            (End::Broken(why), body) => {
                body.finish(Duration::ZERO).await;
                why
            }
            (End::Recycled(why), body) => {
                body.finish(STOP_GRACE).await;
                return Some(Ended { text: why, failed: false, owing: None });
            }
            (End::Exited | End::Stopped | End::Left, body) => body.finish(STOP_GRACE).await,
        };
        Some(Ended { text, failed: true, owing: None })
    }

    fn connection<'a, T>(&'a mut self, talk: Talk<'a>, transport: &'a mut T) -> Connection<'a, T> {
        let Talk { id: agent, backend, pid, adapter, restore, started } = talk;
        let Self { options, commands, messages, stop, leave, .. } = self;
        // The clock may have been set back since.
        let age = Timestamp::now().as_millis().saturating_sub(started.as_millis());
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let health = Health::new(options.upkeep.clone(), age, std::time::Instant::now());
        let busy = Busy::new(backend);
        Connection { agent, transport, adapter, commands, messages, stop, leave, restore, health, busy, pid }
    }

    async fn start(&self) -> Result<Ready, Failure> {
        let program = &self.options.program;
        let version = ask_version(program, &self.options.work_dir, self.options.version_limit).await;
        let first = match self.greet(Backend::AppServer).await {
            Ok(ready) if ready.met.backend == Backend::AppServer => return Ok(ready),
            Ok(ready) => {
                ready.body.finish(Duration::ZERO).await;
                None
            }
            Err(failure) => Some(failure),
        };
        // From 0.154 on the real one takes the word for a prompt and ends at once. Others say any version and speak nothing else.
        match self.greet(Backend::McpServer).await {
            Ok(ready) if ready.met.backend == Backend::McpServer => return Ok(ready),
            Ok(ready) => {
                ready.body.finish(Duration::ZERO).await;
            }
            Err(_) => {}
        }
        let what = program.program.display();
        let which =
            version.map_or_else(|| "it did not tell its version".to_owned(), |version| format!("version {version}"));
        let (why, hopeless) = first.map_or((String::new(), false), |failure| (failure.text, failure.hopeless));
        Err(Failure {
            text: format!(
                "{what} ({which}) speaks neither `app-server` nor `mcp-server`: {why}. Check it with `{what} --version`, name \
                 another with --codex-cmd, or install one with `codexd codex install`"
            ),
            hopeless,
        })
    }

    async fn greet(&self, backend: Backend) -> Result<Ready, Failure> {
        let (id, started) = (AgentId::fresh(), Timestamp::now());
        let Options { program, work_dir, handshake_limit, hosts, .. } = &self.options;
        let spawned = Body::spawn(program, backend, &id, work_dir, hosts.as_ref(), *handshake_limit).await;
        let mut body = spawned.map_err(|unborn| Failure {
            text: format!("it can't be started ({})", unborn.error),
            hopeless: unborn.missing,
        })?;
        match body.shake(backend, self.options.handshake_limit).await {
            Ok(met) => Ok(Ready { id, body, met, restore: None, started }),
            Err(error) => {
                let grace = if error == ShakeError::Ended { STOP_GRACE } else { Duration::ZERO };
                let hopeless = matches!(error, ShakeError::Deadline(_));
                let end = body.finish(grace).await;
                let text = if error == ShakeError::Ended { format!("{error} ({end})") } else { error.to_string() };
                Err(Failure { text, hopeless })
            }
        }
    }
}

/// Up to a quarter longer, so that several daemons do not fall into step.
fn jittered(wait: Duration) -> Duration {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    wait + wait.mul_f64(f64::from(nanos % 1000) / 4000.0)
}
