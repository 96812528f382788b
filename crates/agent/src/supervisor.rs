//! Keeps one Codex running.
//!
//! # Theory of operation
//!
//! One task: find out what the program speaks, run the conversation until it ends, tell the engine, wait a little longer each
//! time, and begin again. After some failures in a row, or one time-out, waiting makes no sense and the agent is
//! *unavailable*: the engine refuses turns with the reason, while the task goes on trying now and then ([`Breaker`]).
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

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use types::{
    AgentId, Timestamp,
    agent::{AgentInfo, AgentStatus, Backend},
};

use crate::{
    adapter::Adapter,
    app_server::AppServer,
    body::Body,
    breaker::{Breaker, Failure},
    connection::{Busy, Command, Connection, End, Restore, last_acks, refuse_for},
    domain::Message,
    handle::Options,
    handshake::{Met, ShakeError},
    hosts::{self, Found},
    mcp_server::McpServer,
    process::ask_version,
    transport::Hosted,
    upkeep::Health,
    version::Version,
};

/// How long Codex may take to end once its stdin is closed. 0.169.0 needs 0.2 s.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long the last acknowledgements may take to reach a host that is left.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

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

/// See the module.
pub(crate) struct Supervisor {
    pub(crate) options: Options,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) info: watch::Sender<AgentInfo>,
    pub(crate) stop: CancellationToken,
    pub(crate) leave: CancellationToken,
}

impl Supervisor {
    /// Until it is told to stop or to leave, or nobody listens any more.
    pub(crate) async fn run(mut self) {
        let mut breaker = Breaker::default();
        let mut first = true;
        while !self.stop.is_cancelled() && !self.leave.is_cancelled() && !self.messages.is_closed() {
            let (stop, leave) = (self.stop.clone(), self.leave.clone());
            let started = tokio::select! {
                started = self.find_or_start(std::mem::take(&mut first)) => started,
                () = stop.cancelled() => return,
                () = leave.cancelled() => return,
            };
            let (failure, up, owing) = match started {
                Err(failure) => (failure, None, None),
                Ok(ready) => {
                    let (since, id) = (Instant::now(), ready.id.clone());
                    let Some(Ended { text, failed, owing }) = self.converse(ready).await else { return };
                    if !failed && !self.stop.is_cancelled() {
                        breaker.close();
                        if self.replaced(id, text).await { continue } else { return }
                    }
                    (Failure { text, hopeless: false, ran: Some(since.elapsed()) }, Some(id), owing)
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
            let next = breaker.failed(&failure, Instant::now(), odd());
            tracing::warn!(error = next.text, retrying = next.retrying, "Codex is not running");
            self.info.send_modify(|info| {
                info.status = if next.retrying { AgentStatus::Restarting } else { AgentStatus::Unavailable };
                info.pid = None;
                info.last_error = Some(next.text.clone());
                info.next_try_at = (!next.retrying).then(|| after(next.wait));
                info.restarts += u64::from(up.is_some());
            });
            let down = Message::Down { agent: up.clone(), error: next.text, retrying: next.retrying };
            if self.messages.send(down).await.is_err() {
                return;
            }
            self.settle(up.as_ref(), owing).await;
            refuse_for(next.wait, &mut self.commands, &self.messages, &self.stop, &self.leave).await;
        }
    }

    /// Somebody wanted its end, or it was time for it. False when nobody listens any more.
    async fn replaced(&self, gone: AgentId, why: String) -> bool {
        tracing::info!("Codex is replaced: {why}");
        self.info.send_modify(|info| {
            info.status = AgentStatus::Restarting;
            info.pid = None;
        });
        self.messages.send(Message::Down { agent: Some(gone), error: why, retrying: true }).await.is_ok()
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
        self.start().await
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
            info.next_try_at = None;
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
        let health = Health::new(options.upkeep.clone(), age, Instant::now());
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
            ran: None,
        })
    }

    async fn greet(&self, backend: Backend) -> Result<Ready, Failure> {
        let (id, started) = (AgentId::fresh(), Timestamp::now());
        let Options { program, work_dir, handshake_limit, hosts, .. } = &self.options;
        let spawned = Body::spawn(program, backend, &id, work_dir, hosts.as_ref(), *handshake_limit).await;
        let mut body = spawned.map_err(|unborn| Failure {
            text: format!("it can't be started ({})", unborn.error),
            hopeless: unborn.missing,
            ran: None,
        })?;
        match body.shake(backend, self.options.handshake_limit).await {
            Ok(met) => Ok(Ready { id, body, met, restore: None, started }),
            Err(error) => {
                let grace = if error == ShakeError::Ended { STOP_GRACE } else { Duration::ZERO };
                let hopeless = matches!(error, ShakeError::Deadline(_));
                let end = body.finish(grace).await;
                let text = if error == ShakeError::Ended { format!("{error} ({end})") } else { error.to_string() };
                Err(Failure { text, hopeless, ran: None })
            }
        }
    }
}

/// Something between 0 and 1.
fn odd() -> f64 {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    f64::from(nanos % 1000) / 1000.0
}

/// When so much time has passed.
fn after(wait: Duration) -> Timestamp {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(0);
    Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(millis))
}
