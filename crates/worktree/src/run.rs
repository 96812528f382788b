//! One run of git: nothing of our environment that would steer it, nobody to ask, a group of its own, a deadline, bounded output.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::Stdio,
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::{Instant, timeout, timeout_at},
};
use types::is_for_codexd_alone;

use crate::{Error, os};

/// The most that git may say: the names of all files of a very large repository.
const MOST: u64 = 64 << 20;

/// What is kept of its complaints, in bytes.
const WORDS: usize = 2048;

/// How long after its end its last words may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Until when everything that belongs together must be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn within(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    pub(crate) const fn at(self) -> Instant {
        self.at
    }

    pub(crate) const fn passed(self) -> Error {
        Error::TookTooLong(self.limit)
    }
}

/// What git said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) out: Vec<u8>,
    /// Its complaints, on one line and without control characters.
    pub(crate) words: String,
}

/// Values of git's configuration that win over those of every file.
pub(crate) type Overrides = Vec<(String, String)>;

/// A git that is to be run.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    /// Where it is started: a folder of ours, never one that agents write in.
    pub(crate) from: &'a Path,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) overrides: &'a Overrides,
    pub(crate) deadline: Deadline,
}

/// A running git. Dropping it kills the whole group.
struct Running(Box<dyn ChildWrapper>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.start_kill();
    }
}

impl Run<'_> {
    /// Runs it.
    pub(crate) async fn git(&self, args: &[&OsStr]) -> Result<Said, Error> {
        let mut wrap = CommandWrap::from(self.command(args));
        wrap.wrap(KillOnDrop);
        os::own_group(&mut wrap);
        let mut child = Running(wrap.spawn().map_err(|source| Error::io(self.program, source))?);
        let (stdout, stderr) = (child.0.stdout().take(), child.0.stderr().take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut reading = Box::pin(async { tokio::join!(keep(stdout, &mut out), keep_end(stderr, &mut err)) });
        let mut whole = None;
        let ended = timeout_at(self.deadline.at(), async {
            loop {
                tokio::select! {
                    status = child.0.wait() => return status,
                    (all, ()) = &mut reading, if whole.is_none() => whole = Some(all),
                }
            }
        })
        .await;
        let Ok(ended) = ended else { return Err(self.deadline.passed()) };
        if whole.is_none() {
            whole = timeout(LAST_WORDS, &mut reading).await.ok().map(|(all, ())| all);
        }
        drop(reading);
        let status = ended.map_err(|source| Error::io(self.program, source))?;
        if whole != Some(true) {
            let words = "it says more than is read of it".to_owned();
            return Err(Error::Failed { doing: "be understood", words });
        }
        Ok(Said { success: status.success(), out, words: one_line(&err) })
    }

    fn command(&self, args: &[&OsStr]) -> Command {
        let mut command = Command::new(self.program);
        command.args(args).current_dir(self.from);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            // Somebody may have started codexd from a hook of git's, or with a repository of their own in mind.
            if text.to_ascii_uppercase().starts_with("GIT_") || is_for_codexd_alone(&text) {
                command.env_remove(&name);
            }
        }
        if let Some(path) = std::env::var_os("PATH") {
            // A relative entry would be a folder that an agent may write in.
            let absolute = std::env::split_paths(&path).filter(|entry| entry.is_absolute());
            if let Ok(path) = std::env::join_paths(absolute) {
                command.env("PATH", path);
            }
        }
        command.env_remove("SSH_ASKPASS").env_remove("LANGUAGE").env("LC_ALL", "C");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_PAGER", "cat");
        // Nothing is fetched: neither a missing object nor anything else, by no protocol.
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
        // So, and not by `-c`: a name may have `=` in it.
        command.env("GIT_CONFIG_COUNT", self.overrides.len().to_string());
        for (n, (key, value)) in self.overrides.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Reads all of it, up to a bound; false when there is more.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> bool {
    let Some(stream) = stream else { return true };
    let mut bounded = stream.take(MOST + 1);
    bounded.read_to_end(kept).await.is_ok() && kept.len() as u64 <= MOST
}

/// Reads to the end and keeps the last of it.
async fn keep_end(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let over = kept.len().saturating_sub(WORDS);
        kept.drain(..over);
    }
}

fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let words: Vec<String> = lines.map(|line| line.chars().filter(|char| !char.is_control()).collect()).collect();
    if words.is_empty() { "it said nothing".to_owned() } else { words.join("; ") }
}
