//! The host on Unix: file descriptors, one `poll`, a session and its orphans.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, setsid, wait, waitid, waitpid},
};
use types::AgentId;

use crate::{
    host::{birth::Folder, codex::Started},
    processes::{kill_children, kill_group},
};

/// The thread that waits for Codex's end does nothing else.
const WAITER_STACK: usize = 64 * 1024;

/// What waits for something to be ready.
pub(in crate::host) struct Loop;

impl Loop {
    pub(in crate::host) const fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits until one of these is ready, or for so long; gives those that are.
    pub(in crate::host) fn wait<T: Copy>(&self, watched: &[(T, Watch<'_>)], limit: Duration) -> Vec<T> {
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().map(|(_, Watch(fd, flags))| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let timeout = Timespec::try_from(limit).ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = watched.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|((source, _), _)| *source).collect()
    }
}

/// Something that may become ready.
pub(in crate::host) struct Watch<'a>(BorrowedFd<'a>, PollFlags);

impl<'a> Watch<'a> {
    pub(in crate::host) fn listener(listener: &'a Listener) -> Self {
        Self(listener.listener.as_fd(), PollFlags::IN)
    }

    pub(in crate::host) fn end(end: &'a End) -> Self {
        Self(end.told.as_fd(), PollFlags::IN)
    }

    pub(in crate::host) fn output(output: &'a Output) -> Self {
        Self(output.as_fd(), PollFlags::IN)
    }

    pub(in crate::host) fn input(input: &'a Input) -> Self {
        Self(input.as_fd(), PollFlags::OUT)
    }

    /// `writes`: something waits to be written there.
    pub(in crate::host) fn stream(stream: &'a Stream, writes: bool) -> Self {
        Self(stream.as_fd(), if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN })
    }
}

/// A client's connection. Reading and writing never wait.
pub(in crate::host) type Stream = UnixStream;

/// Codex's pipes. Reading and writing never wait.
pub(in crate::host) type Input = File;
pub(in crate::host) type Output = File;

/// Where clients connect.
pub(in crate::host) struct Listener {
    path: PathBuf,
    listener: UnixListener,
}

impl Listener {
    pub(in crate::host) fn bind(_: &Loop, folder: &Folder, agent: &AgentId) -> io::Result<Self> {
        let path = folder.socket_path(agent)?;
        let listener = Self { listener: UnixListener::bind(&path)?, path };
        // Its folder keeps others out already; whoever looks at it alone sees the same.
        fs::set_permissions(&listener.path, fs::Permissions::from_mode(0o600))?;
        listener.listener.set_nonblocking(true)?;
        Ok(listener)
    }

    pub(in crate::host) fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection, unless it is another user's.
    pub(in crate::host) fn accept(&mut self, _: &Loop) -> Option<Stream> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        is_ours(&stream).then_some(stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the other side is the same user. Where that can't be asked, the folder and the secret have to do.
#[cfg(target_os = "linux")]
fn is_ours(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

#[cfg(not(target_os = "linux"))]
fn is_ours(_stream: &UnixStream) -> bool {
    true
}

/// Makes this process one that Codex and what comes of it belong to, and nobody else.
pub(in crate::host) fn stand_alone() -> io::Result<()> {
    // Fails only for the leader of a group, which has no terminal to leave either.
    let _ = setsid();
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Starts it in a group of its own.
pub(in crate::host) fn start(_: &Loop, mut command: Command) -> io::Result<Started> {
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let family = Family(child.id());
    let started = hold(&mut child);
    match started {
        Ok((stdin, stdout, stderr, end)) => Ok(Started { family, end, stdin, stdout, stderr }),
        Err(error) => {
            family.kill();
            Err(error)
        }
    }
}

fn hold(child: &mut Child) -> io::Result<(Input, Output, Output, End)> {
    let missing = || io::Error::other("a pipe of the new process is missing");
    let stdin = never_wait(child.stdin.take().ok_or_else(missing)?.into())?;
    let stdout = never_wait(child.stdout.take().ok_or_else(missing)?.into())?;
    let stderr = never_wait(child.stderr.take().ok_or_else(missing)?.into())?;
    Ok((stdin, stdout, stderr, End::of(child.id())?))
}

fn never_wait(pipe: OwnedFd) -> io::Result<File> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    Ok(pipe.into())
}

/// Codex and what it started.
pub(in crate::host) struct Family(u32);

impl Family {
    pub(in crate::host) const fn pid(&self) -> u32 {
        self.0
    }

    /// Ends Codex and its group. Only as long as Codex has not been waited for, or was a moment ago.
    pub(in crate::host) fn kill(&self) {
        kill_group(self.0);
    }

    /// Ends what is left after Codex, wherever it went. True when nothing is.
    pub(in crate::host) fn kill_rest(&self) -> bool {
        kill_children(None)
    }

    /// Waits for what has ended: orphans that came to the host. Says how Codex ended if it was among them.
    pub(in crate::host) fn reap(&self) -> Option<String> {
        let mut found = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if u32::try_from(pid.as_raw_pid()) == Ok(self.0) {
                found = Some(describe(status));
            }
        }
        found
    }
}

/// Codex's end, before which it is not waited for: its pid stays its own.
pub(in crate::host) struct End {
    pid: Pid,
    /// Closed at the other end when it has come.
    told: UnixStream,
}

impl End {
    fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let (told, tell) = UnixStream::pair()?;
        told.set_nonblocking(true)?;
        let waits = move || {
            let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(pid), how).is_err_and(|error| error == rustix::io::Errno::INTR) {}
            drop(tell);
        };
        thread::Builder::new().name("waiter".to_owned()).stack_size(WAITER_STACK).spawn(waits)?;
        Ok(Self { pid, told })
    }

    /// How it ended, once it has.
    pub(in crate::host) fn status(&self) -> Option<String> {
        waitpid(Some(self.pid), WaitOptions::NOHANG).ok().flatten().map(|(_, status)| describe(status))
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it ended with signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// Lets go of what was inherited: whoever reads the other ends must not wait for a host.
pub(in crate::host) fn let_go() -> io::Result<()> {
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
}
