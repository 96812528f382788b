//! The handle of an agent, and what it is started with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{
    AgentId, AskId,
    agent::{AgentInfo, AgentStatus, Supported},
};

use crate::{
    connection::Command,
    domain::{Ask, Message, PendingAsk, Port, Reply, RequestId},
    hosts::HostOptions,
    locate::Located,
    pin::{Pin, Pins},
    supervisor::Supervisor,
    upkeep::Upkeep,
    version::TESTED,
};

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
    /// Codex gets a host of its own. None: this process holds its pipes, and it ends with this process.
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
            next_try_at: None,
            restart: None,
        });
        let (pin, pins) = watch::channel(options.pin.take());
        let stop = CancellationToken::new();
        // Nobody can leave what has no host.
        let leave = if options.hosts.is_some() { CancellationToken::new() } else { stop.clone() };
        let tasks = TaskTracker::new();
        let (stopped, left) = (stop.clone(), leave.clone());
        let pin = Pins { kept: pin, info: tell.clone() };
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

    fn restart(&self, agent: Option<&AgentId>, drain: bool, why: &str) {
        let _ = self.commands.send(Command::Restart { agent: agent.cloned(), drain, why: why.to_owned() });
    }

    fn info(&self) -> AgentInfo {
        self.info.borrow().clone()
    }
}
