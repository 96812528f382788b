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
//! At a crash of codexd Codex sees its stdin close, and ends: 0.153 and later at once, with what they run; 0.98 only when its turn
//! has ended. Nobody kills one that stays.

use std::{path::PathBuf, time::Duration};

use tokio::{
    process::ChildStdout,
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{
    AgentId, AskId, Timestamp,
    agent::{AgentInfo, AgentStatus, Backend, Supported},
};

use crate::{
    adapter::Adapter,
    app_server::AppServer,
    connection::{Command, Connection, End, refuse_for},
    domain::{Ask, Message, Port, Reply, RequestId},
    handshake::{Met, ShakeError, shake},
    locate::Located,
    mcp_server::McpServer,
    process::{Process, ask_version},
    transport::Pipes,
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

/// How long Codex may take to end once its stdin is closed. 0.169.0 needs 0.2 s.
const STOP_GRACE: Duration = Duration::from_secs(3);

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
}

impl Options {
    /// With deadlines that a slow machine keeps: a cold start takes 0.1 to 0.5 s on an idle one.
    #[must_use]
    pub const fn new(program: Located, work_dir: PathBuf) -> Self {
        Self { program, work_dir, version_limit: Duration::from_secs(5), handshake_limit: Duration::from_secs(15) }
    }
}

/// A handle on the agent.
#[derive(Clone)]
pub struct Agent {
    commands: mpsc::UnboundedSender<Command>,
    info: watch::Receiver<AgentInfo>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Agent {
    /// Starts the supervisor. It has no process yet when this returns.
    #[must_use]
    pub fn start(options: Options) -> (Self, mpsc::Receiver<Message>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (messages, outbox) = mpsc::channel(MESSAGES);
        let supported = Supported { from: TESTED.0.to_string(), to: TESTED.1.to_string(), tested: None };
        let (tell, info) = watch::channel(AgentInfo {
            status: AgentStatus::Starting,
            backend: None,
            version: None,
            supported,
            program: Some(options.program.program.display().to_string()),
            pid: None,
            started_at: None,
            restarts: 0,
            last_error: None,
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let supervisor = Supervisor { options, commands: inbox, messages, info: tell, stop: stop.clone() };
        tasks.spawn(supervisor.run());
        tasks.close();
        (Self { commands, info, stop, tasks }, outbox)
    }

    /// Closes Codex's stdin, gives it a moment, and ends its whole group. Returns when that is done; a process that was just being
    /// started is killed in the background.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
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

    fn restart(&self, agent: &AgentId, why: &str) {
        let _ = self.commands.send(Command::Restart { agent: agent.clone(), why: why.to_owned() });
    }

    fn info(&self) -> AgentInfo {
        self.info.borrow().clone()
    }
}

/// A process that has shaken hands.
struct Ready {
    process: Process,
    pipes: Pipes<ChildStdout>,
    met: Met,
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
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(mut self) {
        let mut failures = 0_u32;
        while !self.stop.is_cancelled() && !self.messages.is_closed() {
            let id = AgentId::fresh();
            let stop = self.stop.clone();
            let started = tokio::select! {
                started = self.start(&id) => started,
                () = stop.cancelled() => return,
            };
            let (failure, up) = match started {
                Err(failure) => (failure, None),
                Ok(ready) => {
                    let since = Instant::now();
                    let text = self.converse(&id, ready).await;
                    if since.elapsed() >= STABLE {
                        failures = 0;
                    }
                    (Failure { text, hopeless: false }, Some(id))
                }
            };
            if self.stop.is_cancelled() {
                let error = "codexd is stopping".to_owned();
                let _ = self.messages.send(Message::Down { agent: up, error, retrying: false }).await;
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
            let down = Message::Down { agent: up, error: failure.text, retrying };
            if self.messages.send(down).await.is_err() {
                return;
            }
            refuse_for(wait, &mut self.commands, &self.messages, &self.stop).await;
        }
    }

    /// Runs one conversation to its end and says what ended it.
    async fn converse(&mut self, id: &AgentId, ready: Ready) -> String {
        let Ready { mut process, pipes, met } = ready;
        let adapter: Box<dyn Adapter> = match met.backend {
            Backend::AppServer => Box::new(AppServer::new(met.version)),
            Backend::McpServer => Box::new(McpServer::new(met.version)),
        };
        let capabilities = adapter.capabilities();
        // What it complained of while it started did not keep it from starting.
        process.forget_words();
        let version = met.version.map(|version| version.to_string());
        tracing::info!(pid = process.pid, backend = met.backend.as_str(), version, "Codex is ready");
        self.info.send_modify(|info| {
            info.status = AgentStatus::Ready;
            info.backend = Some(met.backend);
            info.version = version;
            info.supported.tested = met.version.map(Version::tested);
            info.pid = Some(process.pid);
            info.started_at = Some(Timestamp::now());
        });
        let up = Message::Up { agent: id.clone(), backend: met.backend, capabilities };
        if self.messages.send(up).await.is_err() {
            return String::new();
        }
        let connection = Connection {
            agent: id,
            transport: pipes,
            adapter,
            commands: &mut self.commands,
            messages: &self.messages,
            stop: &self.stop,
        };
        // The transport goes with the loop, and with it Codex's stdin.
        match connection.run(&mut process).await {
            End::Exited => process.finish(STOP_GRACE).await,
            End::Broken(why) => {
                process.finish(Duration::ZERO).await;
                why
            }
            End::Stopped => process.finish(STOP_GRACE).await,
        }
    }

    async fn start(&self, id: &AgentId) -> Result<Ready, Failure> {
        let program = &self.options.program;
        let version = ask_version(program, &self.options.work_dir, self.options.version_limit).await;
        let first = match self.greet(id, Backend::AppServer).await {
            Ok(ready) if ready.met.backend == Backend::AppServer => return Ok(ready),
            Ok(ready) => {
                ready.process.finish(Duration::ZERO).await;
                None
            }
            Err(failure) => Some(failure),
        };
        // From 0.154 on the real one takes the word for a prompt and ends at once. Others say any version and speak nothing else.
        match self.greet(id, Backend::McpServer).await {
            Ok(ready) if ready.met.backend == Backend::McpServer => return Ok(ready),
            Ok(ready) => {
                ready.process.finish(Duration::ZERO).await;
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

    async fn greet(&self, id: &AgentId, backend: Backend) -> Result<Ready, Failure> {
        let spawned = Process::spawn(&self.options.program, backend.as_str(), id, &self.options.work_dir);
        let (process, stdout, stdin) = spawned.map_err(|error| Failure {
            text: format!("it can't be started ({error})"),
            hopeless: error.kind() == std::io::ErrorKind::NotFound,
        })?;
        let mut pipes = Pipes::new(stdout, stdin);
        match shake(&mut pipes, backend, self.options.handshake_limit).await {
            Ok(met) => Ok(Ready { process, pipes, met }),
            Err(error) => {
                drop(pipes);
                let grace = if error == ShakeError::Ended { STOP_GRACE } else { Duration::ZERO };
                let hopeless = matches!(error, ShakeError::Deadline(_));
                let end = process.finish(grace).await;
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
