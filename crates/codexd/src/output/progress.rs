//! What moves while somebody waits: on stderr, and only where it is a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::clean_line;
use crate::install::Progress;

/// How often it moves.
const TICK: Duration = Duration::from_millis(100);

/// How often a log is told that an installation goes on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A spinner with the time that has passed. Gone when dropped.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Spins, if a person can see it.
    pub(crate) fn start(message: &str) -> Self {
        Self::since(message, Instant::now())
    }

    /// The same for something that began earlier.
    pub(crate) fn since(message: &str, began: Instant) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_elapsed(began.elapsed());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(clean_line(message));
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Nothing that is seen.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Says something else.
    pub(crate) fn say(&self, message: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(clean_line(message));
        }
    }

    /// Says something else, or, where nobody sees it move, on a line of its own.
    pub(crate) fn tell(&self, message: &str) {
        self.say(message);
        if self.0.is_none() {
            let _ = writeln!(io::stderr().lock(), "{}", clean_line(message));
        }
    }

    /// Writes something else to stderr in the meantime.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Whether anybody sees it.
    pub(crate) const fn is_seen(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bar with how much is done. Gone when the last of its handles is dropped.
#[derive(Clone)]
pub(crate) struct Bar(Option<Arc<Moving>>);

struct Moving(ProgressBar);

impl Bar {
    /// Stands there, if a person can see it.
    pub(crate) fn start(message: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(clean_line(message));
        Self(Some(Arc::new(Moving(bar))))
    }

    /// So much of so much.
    pub(crate) fn set(&self, done: u64, of: u64) {
        if let Some(bar) = &self.0 {
            bar.0.set_length(of);
            bar.0.set_position(done);
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How an installation of Codex goes: a moving line on a terminal, a line now and then elsewhere.
#[derive(Default)]
pub(crate) struct InstallProgress {
    spinner: Option<Spinner>,
    told: Option<Instant>,
}

impl InstallProgress {
    /// Tells a step.
    pub(crate) fn tell(&mut self, step: &Progress) {
        let spinner = self.spinner.get_or_insert_with(|| Spinner::start("preparing"));
        let text = match step {
            Progress::Waiting => "waiting for another installation into the same folder".to_owned(),
            Progress::Resolving => "asking npm for Codex".to_owned(),
            Progress::Downloading { bytes_on_disk, elapsed } => {
                let mb = bytes_on_disk / 1_000_000;
                let text = format!("installing Codex: {mb} of about 420 MB unpacked");
                if spinner.is_seen() { text } else { format!("{text}, {} s", elapsed.as_secs()) }
            }
            Progress::Verifying => "asking the new Codex for its version".to_owned(),
            Progress::Done { .. } => return,
        };
        spinner.say(&text);
        if !spinner.is_seen() {
            let often = matches!(step, Progress::Downloading { .. });
            if often && self.told.is_some_and(|told| told.elapsed() < LINE_EVERY) {
                return;
            }
            self.told = often.then(Instant::now).or(self.told);
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }
}
