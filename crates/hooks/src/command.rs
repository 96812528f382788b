//! One try by a command: run in a group of its own, given the event, watched, and ended with everything that it started.
//!
//! It gets our environment without what is ours alone, and a few words about the event. What it writes is kept only to say why it
//! failed. When it ends, so does what it left behind in its group: nothing of a hook is longer here than its timeout.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::Stdio,
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};
use types::is_for_codexd_alone;

use crate::{Failed, Hook, Place, letter::Letter, os};

/// How much is kept of what it writes, in bytes of each stream, and what of it is told.
const TAIL: usize = 2048;
const TAIL_LINES: usize = 5;

/// How long after its end its last words may take.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long a killed group may take to be gone.
const REAP: Duration = Duration::from_secs(2);

/// A running command. Dropping it kills the whole group.
struct Running(Box<dyn ChildWrapper>);

impl Drop for Running {
    fn drop(&mut self) {
        // The leader may be gone and the rest of its group not.
        let _ = self.0.start_kill();
    }
}

/// Runs it. How it ended, in words.
pub(crate) async fn run(
    argv: &[OsString],
    letter: &Letter,
    attempt: u32,
    hook: &Hook,
    place: &Place,
) -> Result<String, Failed> {
    let program = argv.first().map(OsString::as_os_str).unwrap_or_default();
    let shown = || Path::new(program).display().to_string();
    let failed = |source| Failed::NotStarted { program: shown(), source };
    let mut wrap = CommandWrap::from(command(program, argv.get(1..).unwrap_or_default(), letter, attempt, hook, place));
    wrap.wrap(KillOnDrop);
    os::own_group(&mut wrap);
    let mut child = Running(wrap.spawn().map_err(failed)?);
    let (stdin, stdout, stderr) = (child.0.stdin().take(), child.0.stdout().take(), child.0.stderr().take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let body = letter.body.clone();
    // One that does not read what it is given is no failure.
    let feed = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&body).await;
        }
    };
    let streams = async { tokio::join!(feed, keep_tail(stdout, &mut out), keep_tail(stderr, &mut err)) };
    let mut streams = Box::pin(streams);
    let mut streaming = true;
    let ended = timeout(hook.timeout, async {
        loop {
            tokio::select! {
                status = child.0.wait() => return status,
                _ = &mut streams, if streaming => streaming = false,
            }
        }
    })
    .await;
    let _ = child.0.start_kill();
    if ended.is_err() {
        let _ = timeout(REAP, child.0.wait()).await;
    }
    if streaming {
        let _ = timeout(LAST_WORDS, &mut streams).await;
    }
    drop(streams);
    let words = || last_words(&[&out, &err]);
    match ended {
        Ok(Ok(status)) if status.success() => Ok(format!("the command ended with {}", os::describe(status))),
        Ok(Ok(status)) => Err(Failed::Ended { program: shown(), end: os::describe(status), words: words() }),
        Ok(Err(source)) => {
            Err(Failed::Ended { program: shown(), end: format!("an unknown end ({source})"), words: words() })
        }
        Err(_) => Err(Failed::TookTooLong { program: shown(), limit: hook.timeout, words: words() }),
    }
}

fn command(program: &OsStr, args: &[OsString], letter: &Letter, attempt: u32, hook: &Hook, place: &Place) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(&place.cwd);
    for (name, _) in std::env::vars_os() {
        if is_for_codexd_alone(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.env("CODEXD_EVENT", &letter.event).env("CODEXD_EVENT_ID", letter.id.0.to_string());
    command.env("CODEXD_HOOK", &hook.name).env("CODEXD_ATTEMPT", attempt.to_string());
    // So that `codexd approvals` and the like, called by it, find this daemon.
    command.env("CODEXD_STORE_DIR", &place.store_dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads to the end and keeps the last of it.
async fn keep_tail(stream: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        tail.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let over = tail.len().saturating_sub(TAIL);
        tail.drain(..over);
    }
}

/// The last lines of each stream in one line, without control characters.
fn last_words(streams: &[&Vec<u8>]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for stream in streams {
        let text = String::from_utf8_lossy(stream);
        let of_it: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let from = of_it.len().saturating_sub(TAIL_LINES);
        lines.extend(of_it.get(from..).unwrap_or_default().iter().map(|line| plain(line)));
    }
    lines.join("; ")
}

/// Without control characters, which would be for a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
