//! The host on Windows: named pipes, a runtime of one thread that waits for them, and a Job Object.
//!
//! The runtime does what `poll` does elsewhere: it runs only while the loop waits, and has no tasks. What is ready is then read and written by
//! calls that never wait.
//!
//! The host puts itself into a Job Object before it starts anything, so that all that Codex starts is in there from its birth and can't
//! leave. When the host ends, however that happens, the system closes the job and ends all of it.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    pin::pin,
    process::{Command, ExitStatus},
    task::Poll,
    thread,
    time::Duration,
};

use tokio::{
    io::Interest,
    net::windows::named_pipe::NamedPipeServer,
    runtime::{Builder, Runtime},
    sync::watch,
    time::timeout,
};
use types::AgentId;
use win32::{job::Job, pipe};

use crate::host::{birth::Folder, codex::Started};

/// The thread that waits for Codex's end does nothing else.
const WAITER_STACK: usize = 64 * 1024;

/// What the system keeps of what codexd has not read: so much that the last words are in there when the host ends.
const PIPE_BUFFER: u32 = 256 * 1024;

/// What waits for something to be ready.
pub(in crate::host) struct Loop(Runtime);

impl Loop {
    pub(in crate::host) fn new() -> io::Result<Self> {
        Ok(Self(Builder::new_current_thread().enable_io().enable_time().build()?))
    }

    /// Waits until one of these is ready, or for so long; gives those that are.
    pub(in crate::host) fn wait<T: Copy>(&self, watched: &[(T, Watch<'_>)], limit: Duration) -> Vec<T> {
        self.0.block_on(async {
            let mut all: Vec<_> = watched.iter().map(|(source, watch)| (*source, Box::pin(watch.ready()))).collect();
            let ready = poll_fn(|cx| {
                let found: Vec<T> = all
                    .iter_mut()
                    .filter_map(|(source, ready)| ready.as_mut().poll(cx).is_ready().then_some(*source))
                    .collect();
                if found.is_empty() { Poll::Pending } else { Poll::Ready(found) }
            });
            timeout(limit, ready).await.unwrap_or_default()
        })
    }
}

/// Something that may become ready.
pub(in crate::host) enum Watch<'a> {
    Listener(&'a pipe::Listener),
    End(&'a End),
    Pipe(&'a NamedPipeServer, Interest),
}

impl<'a> Watch<'a> {
    pub(in crate::host) const fn listener(listener: &'a Listener) -> Self {
        Self::Listener(&listener.listener)
    }

    pub(in crate::host) const fn end(end: &'a End) -> Self {
        Self::End(end)
    }

    pub(in crate::host) const fn output(output: &'a Output) -> Self {
        Self::Pipe(&output.0, Interest::READABLE)
    }

    pub(in crate::host) const fn input(input: &'a Input) -> Self {
        Self::Pipe(&input.0, Interest::WRITABLE)
    }

    /// `writes`: something waits to be written there.
    pub(in crate::host) fn stream(stream: &'a Stream, writes: bool) -> Self {
        let interest = if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        Self::Pipe(&stream.0, interest)
    }

    /// An error is ready, too: whoever reads or writes is told it.
    async fn ready(&self) {
        match self {
            Self::Listener(listener) => listener.ready().await,
            Self::End(end) => {
                let _ = end.0.clone().wait_for(Option::is_some).await;
            }
            Self::Pipe(pipe, interest) => {
                let _ = pipe.ready(*interest).await;
            }
        }
    }
}

/// One end of a pipe. Reading and writing never wait.
pub(in crate::host) struct Stream(NamedPipeServer);

pub(in crate::host) type Input = Stream;
pub(in crate::host) type Output = Stream;

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.try_read(buffer) {
            // The other end is closed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where clients connect.
pub(in crate::host) struct Listener {
    path: PathBuf,
    listener: pipe::Listener,
}

impl Listener {
    pub(in crate::host) fn bind(waiting: &Loop, folder: &Folder, agent: &AgentId) -> io::Result<Self> {
        let path = folder.socket_path(agent)?;
        let _inside = waiting.0.enter();
        Ok(Self { listener: pipe::Listener::bind(path.as_os_str(), PIPE_BUFFER)?, path })
    }

    pub(in crate::host) fn path(&self) -> &Path {
        &self.path
    }

    /// The connection that is ready. Windows lets nobody else in.
    pub(in crate::host) fn accept(&mut self, waiting: &Loop) -> Option<Stream> {
        let accepted = waiting.0.block_on(async {
            let mut accepting = pin!(self.listener.accept());
            // Somebody who was there and is gone is no reason to wait.
            poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await
        });
        match accepted {
            Poll::Ready(Ok(stream)) => stream.map(Stream),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }
}

/// Makes this process one that Codex and what comes of it belong to, and nobody else. It was started without a console of others.
pub(in crate::host) const fn stand_alone() -> io::Result<()> {
    Ok(())
}

/// Starts it in this process's job.
pub(in crate::host) fn start(waiting: &Loop, mut command: Command) -> io::Result<Started> {
    let job = Job::around_this_process()?;
    let (stdin, theirs) = waiting.0.block_on(pipe::for_child())?;
    command.stdin(theirs);
    let (stdout, theirs) = waiting.0.block_on(pipe::for_child())?;
    command.stdout(theirs);
    let (stderr, theirs) = waiting.0.block_on(pipe::for_child())?;
    command.stderr(theirs);
    let mut child = command.spawn()?;
    let family = Family { pid: child.id(), job };
    // Its ends of the pipes are its own now.
    drop(command);
    let (tell, told) = watch::channel(None);
    // The number stays its own for as long as this has the child.
    let waits = move || {
        let status = child.wait().map_or_else(|error| error.to_string(), describe);
        let _ = tell.send(Some(status));
    };
    match thread::Builder::new().name("waiter".to_owned()).stack_size(WAITER_STACK).spawn(waits) {
        Ok(_) => {
            let (stdin, stdout, stderr) = (Stream(stdin), Stream(stdout), Stream(stderr));
            Ok(Started { family, end: End(told), stdin, stdout, stderr })
        }
        Err(error) => {
            family.kill();
            Err(error)
        }
    }
}

/// Codex and what it started.
pub(in crate::host) struct Family {
    pid: u32,
    job: Job,
}

impl Family {
    pub(in crate::host) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends Codex and all that it started.
    pub(in crate::host) fn kill(&self) {
        self.kill_rest();
    }

    /// Ends what is left of it. True when nothing is.
    pub(in crate::host) fn kill_rest(&self) -> bool {
        self.job.end_others().is_ok_and(|left| left == 0)
    }

    /// Nobody is given to a parent here.
    pub(in crate::host) const fn reap(&self) -> Option<String> {
        None
    }
}

/// Codex's end.
pub(in crate::host) struct End(watch::Receiver<Option<String>>);

impl End {
    /// How it ended, once it has.
    pub(in crate::host) fn status(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| "it ended".to_owned(), |code| format!("it ended with exit code {code}"))
}

/// Nothing was inherited but what codexd gave, which lets go of it.
pub(in crate::host) const fn let_go() -> io::Result<()> {
    Ok(())
}
