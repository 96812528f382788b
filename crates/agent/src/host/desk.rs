//! The host's one loop, and everything that it owns.

mod clients;

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, WaitStatus, wait, waitpid},
};

use super::{
    birth::{Birth, Folder},
    codex::Codex,
    journal::{Bounds, Journal},
    peer::Peer,
    tags::Tags,
    when_gone,
    wire::kind,
};
use crate::{
    adapter::{self, Peek},
    processes::{kill_children, kill_group},
};

/// How long a connection may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// How long what Codex left behind may take to be gone, and how often it is looked at.
const SWEEP_LIMIT: Duration = Duration::from_secs(2);
const SWEEP_EVERY: Duration = Duration::from_millis(10);

/// How long after that stdout may stay open: what could not be ended may hold it.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How long a Codex that closed its stdout may take to end, and one that is an orphan.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How often it is looked whether the folder of a host that is alone is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often processes that came to the host as orphans are waited for.
const REAP_EVERY: Duration = Duration::from_secs(60);

/// Threads that are taken for busy; beyond that the next ones are not counted.
const MOST_BUSY: usize = 4096;

const BUFFER: usize = 64 * 1024;

/// How far Codex is.
enum Life {
    Runs,
    /// It was asked to end, or is going to be ended, then.
    Stopping(Instant),
    /// It is gone, and what it left behind is being ended.
    Sweeping {
        until: Instant,
        status: String,
    },
    /// Nothing is left but stdout, until then.
    Draining {
        until: Instant,
        status: String,
    },
    /// All is over, and how.
    Over(String),
}

/// See the module.
pub(super) struct Desk {
    folder: Folder,
    _lock: File,
    socket: PathBuf,
    listener: UnixListener,
    secret: String,
    peek: fn(&[u8]) -> Option<Peek>,
    peek_input: fn(&[u8]) -> Option<Peek>,
    orphan_grace: Duration,
    orphan_max: Duration,

    codex: Codex,
    ended: UnixStream,
    life: Life,
    /// Why the host ended Codex, when it did.
    reason: Option<String>,
    /// A client asked for the end.
    told_to: bool,
    /// A client asked for the end once no turn runs.
    drain: bool,
    journal: Journal,
    tags: Tags,
    busy: HashSet<String>,
    note: Option<String>,

    client: Option<Peer>,
    strangers: Vec<Peer>,
    /// Since when there is no client, and since when there is also no turn.
    alone: Instant,
    idle: Instant,
    reaped: Instant,
    buffer: Vec<u8>,
}

/// What may be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Ended,
    Stdout,
    Stderr,
    Stdin,
    Listener,
    Client,
    Stranger(usize),
}

impl Desk {
    /// Starts Codex.
    pub(super) fn new(
        birth: &Birth,
        folder: Folder,
        lock: File,
        socket: PathBuf,
        listener: UnixListener,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (ended, tell) = UnixStream::pair()?;
        ended.set_nonblocking(true)?;
        let codex = Codex::spawn(birth)?;
        // Its end is told by closing the other end.
        if let Err(error) = when_gone(codex.pid, move || drop(tell)) {
            kill_group(codex.pid);
            return Err(error);
        }
        let bounds = Bounds { memory: birth.memory, files: birth.files };
        let (peek, peek_input) = crate::adapter::peeks(birth.backend);
        let now = Instant::now();
        Ok(Self {
            journal: Journal::new(folder.0.clone(), bounds),
            folder,
            _lock: lock,
            socket,
            listener,
            secret: birth.secret.clone(),
            peek,
            peek_input,
            orphan_grace: birth.orphan_grace,
            orphan_max: birth.orphan_max,
            codex,
            ended,
            life: Life::Runs,
            reason: None,
            told_to: false,
            drain: false,
            tags: Tags::default(),
            busy: HashSet::new(),
            note: None,
            client: None,
            strangers: Vec::new(),
            alone: now,
            idle: now,
            reaped: now,
            buffer: vec![0; BUFFER],
        })
    }

    pub(super) fn codex_pid(&self) -> u32 {
        self.codex.pid
    }

    /// Runs until nothing is left to do, and removes the folder.
    pub(super) fn run(mut self) {
        loop {
            self.pass_time();
            self.give_client();
            if self.is_done() {
                break;
            }
            for source in self.wait() {
                self.serve(source);
            }
        }
        let _ = std::fs::remove_file(&self.socket);
        self.folder.remove();
    }

    /// Waits for something to be ready, or for the next moment at which something is to be done.
    fn wait(&self) -> Vec<Source> {
        let mut watched = vec![(Source::Listener, self.listener.as_fd(), PollFlags::IN)];
        if matches!(self.life, Life::Runs | Life::Stopping(_)) {
            watched.push((Source::Ended, self.ended.as_fd(), PollFlags::IN));
        }
        if let Some(stdout) = self.codex.stdout.as_ref().filter(|_| self.journal.has_room()) {
            watched.push((Source::Stdout, stdout.as_fd(), PollFlags::IN));
        }
        if let Some(stderr) = &self.codex.stderr {
            watched.push((Source::Stderr, stderr.as_fd(), PollFlags::IN));
        }
        if let Some(stdin) = self.codex.stdin.as_ref().filter(|_| self.codex.has_input()) {
            watched.push((Source::Stdin, stdin.as_fd(), PollFlags::OUT));
        }
        let flags = |peer: &Peer| if peer.has_output() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        if let Some(client) = &self.client {
            watched.push((Source::Client, client.stream.as_fd(), flags(client)));
        }
        for (index, stranger) in self.strangers.iter().enumerate() {
            watched.push((Source::Stranger(index), stranger.stream.as_fd(), PollFlags::IN));
        }
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let left = self.wake().saturating_duration_since(Instant::now());
        // A millisecond more, so that the moment has come by then.
        let timeout = Timespec::try_from(left + Duration::from_millis(1)).ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = watched.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        let mut ready: Vec<Source> = ready.map(|((source, ..), _)| *source).collect();
        // What strangers are replaced by has their index: the last ones first.
        ready.sort_by_key(|source| if let Source::Stranger(index) = source { usize::MAX - index } else { 0 });
        ready
    }

    fn wake(&self) -> Instant {
        let now = Instant::now();
        let life = match &self.life {
            Life::Runs => self.reaped + REAP_EVERY,
            Life::Stopping(at) => *at,
            Life::Sweeping { .. } => now + SWEEP_EVERY,
            Life::Draining { until, .. } => *until,
            Life::Over(_) => now + REAP_EVERY,
        };
        let strangers = self.strangers.iter().map(|peer| peer.since + HELLO_LIMIT);
        let orphan = self.client.is_none().then(|| {
            let idle = self.idle.max(self.alone) + self.orphan_grace;
            let always = self.alone + self.orphan_max;
            let limit = if self.busy.is_empty() || matches!(self.life, Life::Over(_)) { idle } else { always };
            limit.min(always).min(now + LOOK_EVERY)
        });
        let all = strangers.chain(orphan).chain(self.journal.look_again());
        all.fold(life, Instant::min)
    }

    /// Does what is due.
    fn pass_time(&mut self) {
        let now = Instant::now();
        self.strangers.retain(|peer| now < peer.since + HELLO_LIMIT);
        match &mut self.life {
            Life::Runs => {
                if now >= self.reaped + REAP_EVERY {
                    self.reaped = now;
                    self.reap();
                }
                if self.drain && self.busy.is_empty() {
                    self.told_to = true;
                    self.stop(STOP_GRACE);
                } else {
                    self.mind_being_alone(now);
                }
            }
            Life::Stopping(at) if now >= *at => {
                *at = now + SWEEP_LIMIT;
                kill_group(self.codex.pid);
            }
            Life::Stopping(_) | Life::Over(_) => {}
            Life::Sweeping { until, status } => {
                let (until, status) = (*until, status.clone());
                self.reap();
                if kill_children(None) || now >= until {
                    self.life = Life::Draining { until: now + LAST_LINES, status };
                    self.pass_time();
                }
            }
            Life::Draining { until, status } => {
                if self.codex.stdout.is_some() && !self.journal.has_room() {
                    *until = now + LAST_LINES;
                } else if self.codex.stdout.is_none() || now >= *until {
                    let status = status.clone();
                    self.over(&status);
                }
            }
        }
    }

    fn mind_being_alone(&mut self, now: Instant) {
        if self.client.is_some() {
            return;
        }
        let idle = self.busy.is_empty() && now >= self.idle.max(self.alone) + self.orphan_grace;
        // Nobody will find it without its folder: somebody removed the store.
        let lost = !self.folder.0.exists();
        if idle || lost || now >= self.alone + self.orphan_max {
            let why = if lost { "its folder is gone" } else { "it was alone for too long without a codexd" };
            self.reason = Some(why.to_owned());
            self.told_to = true;
            self.stop(STOP_GRACE);
        }
    }

    /// Whether nothing is left to do.
    fn is_done(&self) -> bool {
        let Life::Over(_) = self.life else { return false };
        match &self.client {
            Some(client) => client.knows() && self.journal.is_empty(),
            None => {
                let limit = self.alone + self.orphan_grace.min(self.orphan_max);
                self.told_to || Instant::now() >= limit || !self.folder.0.exists()
            }
        }
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Ended => self.codex_ended(),
            Source::Stdout => self.read_codex(),
            Source::Stderr => self.hear_codex(),
            Source::Stdin => self.write_codex(),
            Source::Listener => self.accept(),
            Source::Client => self.read_client(),
            Source::Stranger(index) => self.read_stranger(index),
        }
    }

    fn read_codex(&mut self) {
        let Self { codex, buffer, journal, busy, peek, .. } = self;
        let was_busy = !busy.is_empty();
        let read = codex.read(buffer, |line| {
            journal.push(line);
            note(busy, peek(line));
        });
        if was_busy && self.busy.is_empty() {
            self.idle = Instant::now();
        }
        match read {
            Ok(true) => {}
            Ok(false) if matches!(self.life, Life::Runs) => self.stop(STOP_GRACE),
            Ok(false) => {}
            Err(error) => {
                self.reason.get_or_insert(error.to_string());
                self.stop(Duration::ZERO);
            }
        }
    }

    fn hear_codex(&mut self) {
        let Self { codex, buffer, client, .. } = self;
        codex.hear(buffer, |line| {
            if let Some(client) = client {
                client.mention(kind::STDERR, line.as_bytes());
            }
        });
    }

    fn write_codex(&mut self) {
        for number in self.codex.write() {
            self.passed(number);
        }
    }

    /// Zero: whoever gave it is not there any more.
    fn passed(&mut self, number: u64) {
        if let Some(client) = self.client.as_mut().filter(|_| number != 0) {
            client.say(kind::PASSED, number, b"");
        }
    }

    /// Asks Codex to end, and ends it when that takes longer.
    fn stop(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        match &mut self.life {
            Life::Runs => self.life = Life::Stopping(at),
            Life::Stopping(before) => *before = at.min(*before),
            _ => return,
        }
        self.write_codex();
        self.close_codex();
        self.pass_time();
    }

    /// What did not go was never heard.
    fn close_codex(&mut self) {
        for tag in self.codex.close() {
            self.tags.forget(&tag);
        }
    }

    fn codex_ended(&mut self) {
        // Before it is waited for: its number, which is the group's, is still its own.
        kill_group(self.codex.pid);
        let pid = i32::try_from(self.codex.pid).ok().and_then(Pid::from_raw);
        let status = waitpid(pid, WaitOptions::NOHANG).ok().flatten().map(|(_, status)| describe(status));
        self.gone(status.unwrap_or_else(|| "it ended".to_owned()));
    }

    fn gone(&mut self, status: String) {
        self.close_codex();
        self.busy.clear();
        self.life = Life::Sweeping { until: Instant::now() + SWEEP_LIMIT, status };
        self.pass_time();
    }

    /// Waits for what has ended: orphans that came to the host.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let codex = u32::try_from(pid.as_raw_pid()) == Ok(self.codex.pid);
            if codex && matches!(self.life, Life::Runs | Life::Stopping(_)) {
                kill_group(self.codex.pid);
                self.gone(describe(status));
                return;
            }
        }
    }

    fn over(&mut self, status: &str) {
        // The last words; nobody writes there any more.
        for _ in 0..64 {
            self.hear_codex();
        }
        self.codex.stdout = None;
        self.codex.stderr = None;
        let end = self.reason.as_ref().map_or_else(|| status.to_owned(), |reason| format!("{reason}; {status}"));
        self.life = Life::Over(self.codex.words.explain(&end));
    }
}

fn note(busy: &mut HashSet<String>, seen: Option<Peek>) {
    let more = matches!(seen, Some(Peek::Asked { .. } | Peek::Began(_)));
    if !more || busy.len() < MOST_BUSY {
        adapter::note(busy, seen);
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it ended with signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
