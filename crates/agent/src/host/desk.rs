//! The host's one loop, and everything that it owns.

mod clients;
mod waiting;

use std::{
    collections::HashSet,
    fs::File,
    io,
    time::{Duration, Instant},
};

use super::{
    birth::{Birth, Folder},
    codex::Codex,
    journal::{Bounds, Journal},
    os::{Listener, Loop},
    peer::Peer,
    tags::Tags,
    wire::kind,
};
use crate::adapter::{self, Peek};

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
    lock: File,
    waiting: Loop,
    listener: Listener,
    secret: String,
    peek: fn(&[u8]) -> Option<Peek>,
    peek_input: fn(&[u8]) -> Option<Peek>,
    orphan_grace: Duration,
    orphan_max: Duration,

    codex: Codex,
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

impl Desk {
    /// Starts Codex.
    pub(super) fn new(
        birth: &Birth,
        folder: Folder,
        lock: File,
        waiting: Loop,
        listener: Listener,
    ) -> io::Result<Self> {
        let codex = Codex::start(birth, &waiting)?;
        let bounds = Bounds { memory: birth.memory, files: birth.files };
        let (peek, peek_input) = crate::adapter::peeks(birth.backend);
        let now = Instant::now();
        Ok(Self {
            journal: Journal::new(folder.0.clone(), bounds),
            folder,
            lock,
            waiting,
            listener,
            secret: birth.secret.clone(),
            peek,
            peek_input,
            orphan_grace: birth.orphan_grace,
            orphan_max: birth.orphan_max,
            codex,
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

    pub(super) const fn codex(&self) -> &Codex {
        &self.codex
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
        drop(self.listener);
        self.folder.remove_locked(self.lock);
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
                self.codex.family.kill();
            }
            Life::Stopping(_) | Life::Over(_) => {}
            Life::Sweeping { until, status } => {
                let (until, status) = (*until, status.clone());
                self.reap();
                if self.codex.family.kill_rest() || now >= until {
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
        self.codex.family.kill();
        let status = self.codex.end.status();
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
        let status = self.codex.family.reap();
        if let Some(status) = status.filter(|_| matches!(self.life, Life::Runs | Life::Stopping(_))) {
            self.codex.family.kill();
            self.gone(status);
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
