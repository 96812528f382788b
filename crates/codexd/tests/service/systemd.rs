//! A stand-in for systemd: it opens listeners, starts codexd with them, and hears what codexd tells.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixDatagram as StdDatagram},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use client::Client;
use serde_json::Value;
use testkit::{Lab, fake_codex};
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

pub(crate) const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many were started, for the names of their logs.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Says that the numbers are meant for this process, which `exec` keeps.
pub(crate) const FOR_ME: &str = "export LISTEN_PID=$$; ";

/// What starts codexd, and is told how it is.
pub(crate) struct Systemd {
    pub(crate) lab: Lab,
    pub(crate) socket: UnixDatagram,
}

impl Systemd {
    /// One with an empty machine.
    pub(crate) async fn new() -> Result<Self> {
        let lab = Lab::new(CODEXD).await?;
        let socket = UnixDatagram::bind(lab.dir.path().join("notify"))?;
        Ok(Self { lab, socket })
    }

    /// `codexd serve` with the double of Codex, any free port, these flags, and a place to tell how it is.
    pub(crate) fn serve(&self, flags: &[&str]) -> Result<Command> {
        let codex = fake_codex()?;
        let mut args = vec!["serve", "--codex-cmd", codex.to_str().context("not UTF-8")?];
        args.extend(flags);
        let mut command = self.lab.command(&args);
        command.env("CODEXD_PORT", "0").env("FAKE_CODEX_LOG", self.journal());
        command.env("NOTIFY_SOCKET", self.lab.dir.path().join("notify"));
        Ok(command)
    }

    /// Starts it by a line of shell, as the process that the shell was. What is in `given` arrives as file 3 and file 4.
    pub(crate) fn start(&self, codexd: &Command, shell: &str, given: Vec<OwnedFd>) -> Result<Service> {
        let count = given.len();
        let mut given = given.into_iter();
        let log = self.lab.dir.path().join(format!("service-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log)?;
        let std = codexd.as_std();
        let redirect = ["", "exec 3<&0 0</dev/null; ", "exec 3<&0 4<&1 0</dev/null 1>&2; "][count];
        let mut sh = Command::new("sh");
        sh.arg("-c").arg(format!("{redirect}{shell}exec \"$0\" \"$@\"")).arg(std.get_program()).args(std.get_args());
        for (name, value) in std.get_envs() {
            match value {
                Some(value) => sh.env(name, value),
                None => sh.env_remove(name),
            };
        }
        if count > 0 {
            sh.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", vec!["given"; count].join(":"));
        }
        sh.current_dir(&self.lab.project).kill_on_drop(true).stderr(file.try_clone()?);
        sh.stdin(given.next().map_or_else(Stdio::null, Stdio::from));
        sh.stdout(given.next().map_or_else(|| Stdio::from(file), Stdio::from));
        let child = sh.spawn()?;
        let pid = child.id().context("it ended at once")?;
        Ok(Service { child, pid, log })
    }

    /// Starts it and waits until it says that it is ready; its word.
    pub(crate) async fn ready(&self, codexd: &Command, shell: &str, given: Vec<OwnedFd>) -> Result<(Service, String)> {
        let service = self.start(codexd, shell, given)?;
        let word = self.heard().await.with_context(|| service.log())?;
        ensure!(word.lines().any(|line| line == "READY=1"), "its first word was {word:?}: {}", service.log());
        Ok((service, word))
    }

    /// Starts one that is expected to end by itself; its exit code and what it wrote.
    pub(crate) async fn refused(&self, codexd: &Command, shell: &str, given: Vec<OwnedFd>) -> Result<(i32, String)> {
        let mut service = self.start(codexd, shell, given)?;
        let status = service.ended().await?;
        ensure!(self.try_hear().is_none(), "it said something before it failed: {}", service.log());
        Ok((status.code().context("no exit code")?, service.log()))
    }

    /// The next thing that it says.
    pub(crate) async fn heard(&self) -> Result<String> {
        let mut word = [0; 4096];
        let length = timeout(PATIENCE, self.socket.recv(&mut word)).await.context("it says nothing")??;
        Ok(std::str::from_utf8(&word[..length])?.to_owned())
    }

    /// What it has said already.
    pub(crate) fn try_hear(&self) -> Option<String> {
        let mut word = [0; 4096];
        let length = self.socket.try_recv(&mut word).ok()?;
        Some(String::from_utf8_lossy(&word[..length]).into_owned())
    }

    /// Fills the queue of what was told and not read.
    pub(crate) fn stop_reading(&self) -> Result<()> {
        let full = StdDatagram::unbound()?;
        full.set_nonblocking(true)?;
        full.connect(self.lab.dir.path().join("notify"))?;
        while full.send(b"NOISE=1").is_ok() {}
        Ok(())
    }

    /// Where the double of Codex notes what it hears.
    pub(crate) fn journal(&self) -> PathBuf {
        self.lab.dir.path().join("heard.jsonl")
    }

    /// How each Codex that ran so far was started.
    pub(crate) fn codexes(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.into_iter().filter(|line| line["env"].is_array()).collect())
    }

    /// What codexd says of itself.
    pub(crate) fn daemon_json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.lab.store.join("daemon.json"))?)?)
    }

    /// Runs another command of codexd; its exit code and what it wrote.
    pub(crate) async fn cli(&self, args: &[&str]) -> Result<(Option<i32>, String)> {
        run(self.lab.command(args)).await
    }
}

/// A codexd that was started.
pub(crate) struct Service {
    child: Child,
    pub(crate) pid: u32,
    log: PathBuf,
}

impl Service {
    /// Tells it to stop.
    pub(crate) async fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").arg(self.pid.to_string()).status().await?;
        ensure!(status.success(), "no process {}", self.pid);
        Ok(())
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(timeout(PATIENCE, self.child.wait()).await.with_context(|| self.log())??)
    }

    /// Stops it; it must end well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.terminate().await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{status}: {}", self.log());
        Ok(())
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Runs a command to its end; its exit code, and both of what it wrote.
pub(crate) async fn run(mut command: Command) -> Result<(Option<i32>, String)> {
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).output()).await.context("it did not end")??;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

/// The status of a GET over TCP.
pub(crate) async fn get(url: &str, path: &str, token: Option<&str>) -> Result<u16> {
    let client = Client::tcp(url, token)?;
    let (status, _) = client.request("GET".parse()?, path, None, PATIENCE).await?;
    Ok(status.as_u16())
}
