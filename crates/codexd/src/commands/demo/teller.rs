//! Tells the demo: to people in words, to programs as one object a step.

use std::{io, path::Path, time::Instant};

use agent::locate::find_on_path;
use serde_json::json;

use super::{Codex, stage::Stage};
use crate::output::{self, BOLD, DIM, GOOD, Output, Spinner, clean_line, cut};

/// How much of an answer's line is shown where nobody says how wide the screen is.
const COLUMNS: usize = 100;

/// A step that is being played.
struct Step {
    title: &'static str,
    command: String,
    began: Instant,
    spinner: Option<Spinner>,
}

/// The teller.
pub(super) struct Teller {
    output: Output,
    number: u32,
    step: Option<Step>,
    began: Instant,
}

impl Teller {
    pub(super) fn new(output: Output) -> Self {
        Self { output, number: 0, step: None, began: Instant::now() }
    }

    /// Says what there is.
    pub(super) fn opening(&self, stage: &Stage) -> io::Result<()> {
        if self.output.json() {
            return Ok(());
        }
        self.output.styled(&format!(
            "{BOLD}codexd demo{BOLD:#}: the real Codex, the real daemon, a scripted model.\nNo login is used, and nothing \
             of yours is touched. At the word RECALL\nthe model repeats what it was given.\n\n{}",
            output::table::facts(&[
                ("model", stage.model_url()),
                ("folder", stage.root().display().to_string()),
            ])
        ))
    }

    /// Says that Codex is missing, and where one will be.
    pub(super) fn installing(&self, folder: &Path) {
        self.output.note(&format!("there is no Codex on this machine; installing one into {}", folder.display()));
    }

    /// Begins a step: what it does, and how a person would do it.
    pub(super) fn begin(&mut self, title: &'static str, command: impl Into<String>) -> io::Result<()> {
        self.number += 1;
        let command = command.into();
        let mut spinner = None;
        if !self.output.json() {
            let (number, shown) = (self.number, clean_line(&command));
            self.output.styled(&format!("\n{BOLD}{number}. {title}{BOLD:#}\n   {DIM}$ {shown}{DIM:#}\n"))?;
            spinner = Some(Spinner::start("working"));
        }
        self.step = Some(Step { title, command, began: Instant::now(), spinner });
        Ok(())
    }

    /// Ends the step: what was seen, and what that means.
    pub(super) fn saw(&mut self, seen: &str, meaning: &str) -> io::Result<()> {
        let Some(mut step) = self.step.take() else { return Ok(()) };
        step.spinner = None;
        let elapsed = step.began.elapsed();
        if self.output.json() {
            let object = json!({
                "step": self.number, "title": step.title, "command": step.command, "ok": true, "seen": seen, "meaning": meaning,
                "ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
            return self.output.object(object.to_string().as_bytes());
        }
        let columns = self.output.width().unwrap_or(COLUMNS).saturating_sub(5).max(20);
        let lines: String = seen.lines().map(|line| format!("   | {}\n", cut(&clean_line(line), columns))).collect();
        self.output.styled(&format!("{lines}   {GOOD}ok{GOOD:#} {meaning} {DIM}({} ms){DIM:#}\n", elapsed.as_millis()))
    }

    /// Says how to go on.
    pub(super) fn closing(&self, version: &str, codex: &Codex) -> anyhow::Result<()> {
        let elapsed = self.began.elapsed();
        if self.output.json() {
            let object = json!({ "done": true, "ok": true, "steps": self.number, "codexVersion": version,
                "ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) });
            return Ok(self.output.object(object.to_string().as_bytes())?);
        }
        let codex = if codex.on_path { "codex".to_owned() } else { quoted(&codex.program) };
        let codexd = own_name();
        Ok(self.output.styled(&format!(
            "\n{GOOD}All {} steps held{GOOD:#}, in {:.1} s, on Codex {version}; only the model was scripted.\n\
             Now with your own login, and a daemon in a terminal of its own:\n\n   \
             {codex} login\n   {codexd} serve\n   {codexd} start \"Explain this folder\"\n",
            self.number,
            elapsed.as_secs_f64(),
        ))?)
    }

    /// Says what did not hold.
    pub(super) fn failed(&mut self, error: &anyhow::Error, log: &str) -> io::Result<()> {
        let step = self.step.take();
        let title = step.as_ref().map_or("preparing", |step| step.title);
        if self.output.json() {
            let object =
                json!({ "step": self.number, "title": title, "ok": false, "error": format!("{error:#}"), "log": log });
            self.output.object(object.to_string().as_bytes())?;
        }
        drop(step);
        let log = if log.is_empty() { String::new() } else { format!("\nThe daemon's last lines:\n{log}") };
        output::error(&format!("{title}: {error:#}{log}"));
        Ok(())
    }

    /// Says that somebody ended it.
    pub(super) fn cancelled(&mut self) -> io::Result<()> {
        self.step = None;
        if self.output.json() {
            return self.output.object(json!({ "done": true, "ok": false, "cancelled": true }).to_string().as_bytes());
        }
        self.output.note("cancelled; everything that the demo started is stopped");
        Ok(())
    }

    /// Says where the folder is.
    pub(super) fn kept(&self, folder: &Path) -> io::Result<()> {
        if self.output.json() {
            return self.output.object(json!({ "kept": folder }).to_string().as_bytes());
        }
        self.output.note(&format!("kept: {}", folder.display()));
        Ok(())
    }
}

/// What a person types for this program.
fn own_name() -> String {
    let own = std::env::current_exe().ok().and_then(|path| dunce::canonicalize(path).ok());
    let found = find_on_path("codexd", std::env::var_os("PATH").as_deref(), &[]);
    match (own, found.and_then(|path| dunce::canonicalize(path).ok())) {
        (Some(own), found) if found.as_ref() != Some(&own) => quoted(&own),
        _ => "codexd".to_owned(),
    }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}
