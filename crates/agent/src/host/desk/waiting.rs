//! What the desk waits for, and what it does when that has come.

use std::time::{Duration, Instant};

use super::{Desk, HELLO_LIMIT, LOOK_EVERY, Life, REAP_EVERY, SWEEP_EVERY};
use crate::host::os::Watch;

/// What may be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Ended,
    Stdout,
    Stderr,
    Stdin,
    Listener,
    Client,
    Stranger(usize),
}

impl Desk {
    /// Waits for something to be ready, or for the next moment at which something is to be done.
    pub(super) fn wait(&self) -> Vec<Source> {
        let mut watched = vec![(Source::Listener, Watch::listener(&self.listener))];
        if matches!(self.life, Life::Runs | Life::Stopping(_)) {
            watched.push((Source::Ended, Watch::end(&self.codex.end)));
        }
        if let Some(stdout) = self.codex.stdout.as_ref().filter(|_| self.journal.has_room()) {
            watched.push((Source::Stdout, Watch::output(stdout)));
        }
        if let Some(stderr) = &self.codex.stderr {
            watched.push((Source::Stderr, Watch::output(stderr)));
        }
        if let Some(stdin) = self.codex.stdin.as_ref().filter(|_| self.codex.has_input()) {
            watched.push((Source::Stdin, Watch::input(stdin)));
        }
        if let Some(client) = &self.client {
            watched.push((Source::Client, Watch::stream(&client.stream, client.has_output())));
        }
        for (index, stranger) in self.strangers.iter().enumerate() {
            watched.push((Source::Stranger(index), Watch::stream(&stranger.stream, false)));
        }
        let left = self.wake().saturating_duration_since(Instant::now());
        // A millisecond more, so that the moment has come by then.
        let mut ready = self.waiting.wait(&watched, left + Duration::from_millis(1));
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

    pub(super) fn serve(&mut self, source: Source) {
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
}
