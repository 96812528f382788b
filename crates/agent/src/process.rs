//! One Codex process: spawned in a group of its own, watched, and ended together with everything that it started.
//!
//! A task owns the child from its birth to its end. When the [`Process`] is dropped, the whole group is killed. What left the
//! group carries a marker in its environment ([`MARKER`]), by which a host finds it; here nothing looks for it. Stderr is logged, bounded, and its last lines are kept for
//! the message that says why Codex ended.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{ChildStdin, ChildStdout, Command},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use types::{AgentId, is_for_codexd_alone};

use crate::{
    locate::Located,
    version::Version,
    words::{Log, Words},
};

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

/// The environment variable by which a process that Codex left behind is recognised. Its value is the agent's id.
pub(crate) const MARKER: &str = "CODEXD_AGENT";

/// What else must not reach Codex: a thread id that it inherits makes it go on with another conversation.
const NOT_INHERITED: [&str; 2] = ["CODEX_THREAD_ID", "CODEX_SESSION_ID"];

/// How long after the end of the process its last lines of stderr may take.
const STDERR_GRACE: Duration = Duration::from_millis(300);

/// A running Codex. Dropping it kills the whole group.
pub(crate) struct Process {
    pub(crate) pid: u32,
    exited: watch::Receiver<Option<String>>,
    kill: DropGuard,
    stderr: tokio::task::JoinHandle<()>,
    words: Arc<Mutex<Words>>,
}

impl Process {
    /// Starts `program subcommand` in `cwd`, an empty folder of ours, so that no repository's configuration is near.
    pub(crate) fn spawn(
        program: &Located,
        subcommand: &str,
        agent: &AgentId,
        cwd: &Path,
    ) -> io::Result<(Self, ChildStdout, ChildStdin)> {
        let mut command = command(program, cwd);
        command.arg(subcommand).env(MARKER, agent.as_str());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = group(command).spawn()?;
        let missing = || io::Error::other("a pipe of the new process is missing");
        let stdin = child.stdin().take().ok_or_else(missing)?;
        let stdout = child.stdout().take().ok_or_else(missing)?;
        let stderr = child.stderr().take().ok_or_else(missing)?;
        let pid = child.id().ok_or_else(missing)?;
        let words = Arc::new(Mutex::new(Words::default()));
        let stderr = tokio::spawn(listen(stderr, words.clone()));
        let kill = CancellationToken::new();
        let (tell, exited) = watch::channel(None);
        tokio::spawn(watch_over(child, kill.clone(), tell));
        Ok((Self { pid, exited, kill: kill.drop_guard(), stderr, words }, stdout, stdin))
    }

    /// What it wrote to stderr so far has nothing to do with how it will end.
    pub(crate) fn forget_words(&self) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    /// Completes when the process is gone, with what ended it. Can be dropped and called again.
    pub(crate) async fn exited(&mut self) -> String {
        match self.exited.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "it is no longer watched".to_owned(),
        }
    }

    /// Gives the process, whose stdin is closed by now, some time to end, then kills its group; says what ended it, with its
    /// last words.
    pub(crate) async fn finish(mut self, grace: Duration) -> String {
        let end = match timeout(grace, self.exited()).await {
            Ok(end) => end,
            Err(_) => {
                drop(self.kill);
                let end = self.exited.wait_for(Option::is_some).await.map(|end| end.clone().unwrap_or_default());
                end.unwrap_or_default()
            }
        };
        let _ = timeout(STDERR_GRACE, &mut self.stderr).await;
        self.stderr.abort();
        self.words.lock().unwrap_or_else(PoisonError::into_inner).explain(&end)
    }
}

/// How many bytes of memory a process has, where that can be told.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    os::resident(pid)
}

/// What every start of the program has in common.
fn command(program: &Located, cwd: &Path) -> Command {
    let mut command = Command::new(&program.program);
    command.args(&program.args).current_dir(cwd);
    keep_ours(&mut command);
    for (name, value) in program.changes(std::env::var_os("PATH").as_deref()) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Takes out of a child's environment what is not for it.
pub(crate) fn keep_ours(command: &mut Command) {
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if is_for_codexd_alone(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
}

fn group(command: Command) -> CommandWrap {
    let mut wrap = CommandWrap::from(command);
    wrap.wrap(KillOnDrop);
    os::own_group(&mut wrap);
    wrap
}

/// Asks the program for its version. `None` when it did not say within `limit`.
pub(crate) async fn ask_version(program: &Located, cwd: &Path, limit: Duration) -> Option<Version> {
    let mut command = command(program, cwd);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = group(command).spawn().ok()?;
    let mut stdout = child.stdout().take()?;
    let mut text = Vec::new();
    let read = async {
        let mut limited = tokio::io::AsyncReadExt::take(&mut stdout, 4096);
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut limited, &mut text).await;
    };
    let _ = timeout(limit, read).await;
    let _ = child.start_kill();
    let _ = timeout(limit, child.wait()).await;
    Version::find(&String::from_utf8_lossy(&text))
}

async fn watch_over(mut child: Box<dyn ChildWrapper>, kill: CancellationToken, tell: watch::Sender<Option<String>>) {
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = kill.cancelled() => None,
    };
    // The leader may be gone and the rest of its group not.
    let _ = child.start_kill();
    let status = match ended {
        Some(status) => status,
        None => child.wait().await,
    };
    tell.send_replace(Some(describe(&status)));
}

fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended with {}", os::describe(*status)),
        Err(error) => format!("it can't be watched ({error})"),
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, words: Arc<Mutex<Words>>) {
    let (mut log, mut chunk) = (Log::new(), vec![0; 8192]);
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.take(&chunk[..count], |line| log.line(line));
    }
}
