//! The loop between a transport, an adapter, the engine's commands and the clock.

use std::{
    borrow::Cow,
    collections::HashSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use types::{AgentId, AskId, agent::Backend};

use crate::{
    adapter::{Adapter, Out, Peeker, note, peeks},
    domain::{Ask, AskError, Message, PendingAsk, Reply, Report, RequestId, Route, What},
    process::{Process, resident},
    transport::Transport,
    upkeep::{Due, Health},
};

/// How long the last lines of a process that is gone may take: what it started may hold its pipe open.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What the engine told the agent.
pub(crate) enum Command {
    Ask {
        agent: AgentId,
        id: AskId,
        ask: Box<Ask>,
    },
    Reply {
        agent: AgentId,
        request: RequestId,
        reply: Reply,
    },
    Ack {
        agent: AgentId,
        seq: u64,
    },
    /// End it and start another one, because of what is said; with `drain` once it is at rest. Without an agent: try again now.
    Restart {
        agent: Option<AgentId>,
        drain: bool,
        why: String,
    },
    /// End this process at once and start another one, because of what is said.
    Replace {
        agent: AgentId,
        why: String,
    },
}

/// How long the engine may take to commit the last lines of a process that is gone. What it does not is left to the host, for a while.
const LAST_ACKS: Duration = Duration::from_secs(2);

/// Why the loop ended.
pub(crate) enum End {
    /// The process ended or closed its stdout.
    Exited,
    /// What it wrote can't be read.
    Broken(String),
    /// It is to be replaced, for this reason. Nobody failed.
    Recycled(String),
    /// We were told to stop, or nobody listens any more.
    Stopped,
    /// We were told to let it go on without us. What has no answer is for whoever comes next.
    Left,
}

/// A running conversation with one process.
pub(crate) struct Connection<'a, T> {
    pub(crate) agent: &'a AgentId,
    pub(crate) transport: &'a mut T,
    pub(crate) adapter: Box<dyn Adapter>,
    pub(crate) commands: &'a mut UnboundedReceiver<Command>,
    pub(crate) messages: &'a mpsc::Sender<Message>,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) leave: &'a CancellationToken,
    /// What another codexd left.
    pub(crate) restore: Option<Restore>,
    pub(crate) health: Health,
    pub(crate) busy: Busy,
    pub(crate) pid: u32,
}

/// What another codexd left.
pub(crate) struct Restore {
    /// The asks without an answer.
    pub(crate) pending: Vec<PendingAsk>,
    /// The tags of what Codex was given.
    pub(crate) passed: HashSet<String>,
    /// What stands for each turn that runs.
    pub(crate) busy: HashSet<String>,
}

/// What stands for each turn that runs, by what lines say.
pub(crate) struct Busy {
    running: HashSet<String>,
    peek: Peeker,
    peek_input: Peeker,
}

impl Busy {
    pub(crate) fn new(backend: Backend) -> Self {
        let (peek, peek_input) = peeks(backend);
        Self { running: HashSet::new(), peek, peek_input }
    }

    fn note(&mut self, peek: Peeker, line: &[u8]) {
        note(&mut self.running, peek(line));
    }
}

impl<T: Transport> Connection<'_, T> {
    /// Runs until the process ends or `stop` or `leave` is told. Every ask has its answer when this returns, unless we leave.
    pub(crate) async fn run(mut self, mut process: Option<&mut Process>) -> End {
        let end = self.serve(&mut process).await;
        if matches!(end, End::Left) {
            self.last_commands();
            return end;
        }
        let mut out = Out::default();
        self.adapter.never_given(&self.transport.never_given());
        self.adapter.gone(&mut out);
        self.flush(0, out).await;
        end
    }

    async fn serve(&mut self, process: &mut Option<&mut Process>) -> End {
        if let Some(Restore { pending, passed, busy }) = self.restore.take() {
            let mut out = Out::default();
            self.busy.running = busy;
            self.adapter.restore(pending, &passed, Instant::now(), &mut out);
            if !self.flush(0, out).await {
                return End::Stopped;
            }
        }
        loop {
            let wake = self.adapter.wake();
            let look = self.health.wake(self.is_at_rest());
            let mut out = Out::default();
            let mut seq = 0;
            tokio::select! {
                () = self.stop.cancelled() => return End::Stopped,
                () = self.leave.cancelled() => return End::Left,
                command = self.commands.recv() => match command {
                    Some(Command::Restart { agent: Some(agent), drain, why }) if agent == *self.agent => {
                        if !drain {
                            return End::Recycled(why);
                        }
                        self.health.want(why);
                    }
                    Some(Command::Replace { agent, why }) if agent == *self.agent => return End::Broken(why),
                    Some(command) => self.command(command, &mut out),
                    None => return End::Stopped,
                },
                line = self.transport.next() => match line {
                    Ok(Some((number, line))) => {
                        let line = without_tokens(line);
                        seq = number;
                        self.health.sign(Instant::now());
                        self.busy.note(self.busy.peek, &line);
                        self.adapter.line(number, &line, Instant::now(), &mut out);
                    }
                    Ok(None) => return End::Exited,
                    Err(error) => return End::Broken(error.to_string()),
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {
                    self.adapter.tick(Instant::now(), &mut out);
                    if out.reports.iter().any(|(_, what)| is_late(what)) {
                        self.health.suspect(Instant::now());
                    }
                }
                () = sleep_until(look.unwrap_or_else(Instant::now).into()), if look.is_some() => {
                    match self.health.look(self.is_at_rest(), Instant::now(), || resident(self.pid)) {
                        Due::Nothing => {}
                        Due::Ask => self.adapter.ping(&mut out),
                        Due::Recycle(why) => return End::Recycled(why),
                        Due::Dead(why) => return End::Broken(why),
                    }
                }
                () = exited(process) => {
                    self.last_lines().await;
                    return End::Exited;
                }
            }
            if !self.flush(seq, out).await {
                return End::Stopped;
            }
        }
    }

    fn command(&mut self, command: Command, out: &mut Out) {
        match command {
            Command::Ask { agent, id, ask } if agent == *self.agent => {
                self.adapter.ask(id, *ask, Instant::now(), out);
            }
            Command::Ask { id, .. } => out.answer(id, Err(AskError::Exited { heard: false })),
            Command::Reply { agent, request, reply } if agent == *self.agent => self.adapter.reply(request, reply, out),
            Command::Ack { agent, seq } if agent == *self.agent => self.transport.ack(seq),
            Command::Reply { .. } | Command::Ack { .. } | Command::Restart { .. } | Command::Replace { .. } => {}
        }
    }

    /// Hands on what the adapter wants. A line's number goes with its last report, or is acknowledged at once when the line
    /// meant nothing.
    async fn flush(&mut self, seq: u64, out: Out) -> bool {
        for line in out.lines {
            self.busy.note(self.busy.peek_input, &line.bytes);
            self.transport.send(line);
        }
        let count = out.reports.len();
        if count == 0 && seq != 0 {
            self.transport.ack(seq);
        }
        for (index, (route, what)) in out.reports.into_iter().enumerate() {
            let (line, seq) = (seq, if index + 1 == count { seq } else { 0 });
            let report = Report { agent: self.agent.clone(), seq, line, route, what };
            if self.messages.send(Message::Report(report)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Nothing runs, and what Codex said is on disk: a host that ends takes what is not with it.
    fn is_at_rest(&self) -> bool {
        self.adapter.is_at_rest() && self.busy.running.is_empty() && !self.transport.is_owed_acks()
    }

    /// What the engine has told us is handed over before we leave. It is all on disk.
    fn last_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            let mut out = Out::default();
            self.command(command, &mut out);
            out.lines.into_iter().for_each(|line| self.transport.send(line));
        }
    }

    async fn last_lines(&mut self) {
        let until = tokio::time::Instant::now() + LAST_LINES;
        while let Ok(Ok(Some((seq, line)))) = tokio::time::timeout_at(until, self.transport.next()).await {
            let mut out = Out::default();
            self.adapter.line(seq, &without_tokens(line), Instant::now(), &mut out);
            self.flush(seq, out).await;
        }
    }
}

/// A line of Codex's without tokens of ours: a command may have printed one, or the model have found it in a file. Whatever is kept, told and
/// logged of it comes from here. One that is cut over two lines is the feed's to find, which puts pieces together.
fn without_tokens(line: Bytes) -> Bytes {
    match std::str::from_utf8(&line).map(types::redact) {
        Ok(Cow::Owned(clean)) => Bytes::from(clean),
        // What is no text is no JSON either.
        Ok(Cow::Borrowed(_)) | Err(_) => line,
    }
}

/// Whether a request that Codex was given has no answer in its time.
const fn is_late(what: &What) -> bool {
    matches!(what, What::Answer(_, Err(AskError::Timeout { heard: true })))
}

/// Completes when the process is gone; a host tells that by itself.
async fn exited(process: &mut Option<&mut Process>) {
    match process {
        Some(process) => drop(process.exited().await),
        None => std::future::pending().await,
    }
}

/// Codex is gone, and its last lines and its end are with the engine: takes the acknowledgements that come of them.
///
/// The end has to be told before: a text in progress is kept by the host for as long as its turn may go on.
pub(crate) async fn last_acks(
    gone: &AgentId,
    transport: &mut impl Transport,
    commands: &mut UnboundedReceiver<Command>,
    messages: &mpsc::Sender<Message>,
    leave: &CancellationToken,
) {
    let until = tokio::time::Instant::now() + LAST_ACKS;
    while transport.is_owed_acks() {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            () = leave.cancelled() => return,
            () = sleep_until(until) => return,
        };
        match command {
            Some(Command::Ack { agent, seq }) if agent == *gone => transport.ack(seq),
            Some(command) => {
                if !refuse(command, messages).await {
                    return;
                }
            }
            None => return,
        }
    }
}

/// Answers what is asked while no process is up. False when nobody listens any more.
async fn refuse(command: Command, messages: &mpsc::Sender<Message>) -> bool {
    let Command::Ask { agent, id, .. } = command else { return true };
    let what = What::Answer(id, Err(AskError::Exited { heard: false }));
    let report = Report { agent, seq: 0, line: 0, route: Route::Ask(id), what };
    messages.send(Message::Report(report)).await.is_ok()
}

/// Refuses what the engine asks while no process is up, for `time`, or until somebody wants another try.
pub(crate) async fn refuse_for(
    time: Duration,
    commands: &mut UnboundedReceiver<Command>,
    messages: &mpsc::Sender<Message>,
    stop: &CancellationToken,
    leave: &CancellationToken,
) {
    let refusing = async {
        while let Some(command) = commands.recv().await {
            if matches!(command, Command::Restart { .. }) || !refuse(command, messages).await {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = leave.cancelled() => {}
        _ = timeout(time, refusing) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_tokens_and_nothing_else() {
        let token = format!("cdx_{}", "aB3-_".repeat(9).get(..43).unwrap());
        let line = |word: &str| {
            format!(r#"{{"method":"item/completed","params":{{"item":{{"command":"curl -H 'Bearer {word}'\n"}}}}}}"#)
        };
        assert_eq!(without_tokens(line(&token).into()), line(types::REDACTED).as_bytes());
        let fine = Bytes::from(line("x"));
        assert_eq!(without_tokens(fine.clone()).as_ptr(), fine.as_ptr(), "what has none is not copied");
        assert_eq!(without_tokens(Bytes::from_static(b"\xff")), b"\xff".as_slice());
    }
}
