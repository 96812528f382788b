//! A host with a Codex of the test's choice, and a client that does one thing after the other.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::DirBuilderExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use agent::host::wire::{Frame, Hello, Inbox, OLDEST, PROTOCOL, Welcome, kind, put, put_input};
use serde_json::{Value, json};
use types::AgentId;

pub(crate) const DOUBLE: &str = env!("CARGO_BIN_EXE_agent-double");

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn os(text: impl Into<OsString>) -> Value {
    serde_json::to_value(text.into()).unwrap()
}

/// Whether there is such a process that is not dead yet.
pub(crate) fn lives(pid: u32) -> bool {
    let said = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) host: Child,
}

impl Lab {
    /// A host whose Codex does what it is told.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A host whose Codex is a shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::with(|birth| {
            birth["program"] = os("/bin/sh");
            birth["args"] = json!([os("-c"), os(script)]);
        })
    }

    /// A host with another birth.
    pub(crate) fn with(change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agents = dir.path().join("agents");
        Self::in_folder(dir, &agents, change)
    }

    pub(crate) fn in_folder(dir: tempfile::TempDir, agents: &Path, change: impl FnOnce(&mut Value)) -> Self {
        let agent = AgentId::fresh();
        let folder = agents.join(agent.as_str());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        fs::write(folder.join("secret"), "open sesame").unwrap();
        let mut birth = json!({
            "agent": agent, "folder": os(&folder), "secret": "open sesame", "program": os(DOUBLE),
            "args": [os("codex")], "environment": [], "workDir": os(dir.path()), "backend": "app-server",
            "orphanGrace": {"secs": 60, "nanos": 0}, "orphanMax": {"secs": 600, "nanos": 0},
            "memory": 1 << 20, "files": 1 << 24,
        });
        change(&mut birth);
        let mut command = Command::new(DOUBLE);
        command.arg("agent-host").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut host = command.spawn().unwrap();
        host.stdin.take().unwrap().write_all(birth.to_string().as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "\"ready\"");
        Self { dir, folder, host }
    }

    pub(crate) fn card(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join("host.json")).unwrap()).unwrap()
    }

    pub(crate) fn codex_pid(&self) -> u32 {
        u32::try_from(self.card()["codexPid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        serde_json::from_value::<OsString>(self.card()["socket"].clone()).unwrap().into()
    }

    pub(crate) fn attach(&self) -> (Client, Welcome) {
        Client::attach(&self.socket(), "open sesame", (OLDEST, PROTOCOL)).unwrap()
    }

    /// Waits until the host has ended by itself, and left nothing.
    pub(crate) fn ended(&mut self) {
        eventually("the host to end", || self.host.try_wait().unwrap());
        assert!(!self.folder.exists());
    }

    /// Kilobytes of memory that the host has of its own or shares.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.host.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.host.try_wait().unwrap().is_none() {
            // The end of its stdin ends Codex.
            let _ = self.host.kill();
            let _ = self.host.wait();
        }
    }
}

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    inbox: Inbox,
    numbers: u64,
}

impl Client {
    /// Says hello; the error is the host's refusal.
    pub(crate) fn attach(socket: &Path, secret: &str, protocol: (u32, u32)) -> Result<(Self, Welcome), String> {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream, inbox: Inbox::default(), numbers: 0 };
        let hello = Hello { protocol, secret: secret.to_owned(), version: "0".to_owned() };
        client.say(kind::HELLO, 0, &serde_json::to_vec(&hello).unwrap());
        let first = client.frame().ok_or("closed")?;
        if first.kind == kind::REFUSED {
            return Err(first.text());
        }
        assert_eq!(first.kind, kind::WELCOME);
        Ok((client, serde_json::from_slice(&first.body).unwrap()))
    }

    pub(crate) fn say(&mut self, kind: u8, number: u64, body: &[u8]) {
        let mut out = Vec::new();
        put(&mut out, kind, number, &[body]);
        self.stream.write_all(&out).unwrap();
    }

    pub(crate) fn input(&mut self, tag: &str, line: &str) {
        self.numbers += 1;
        let mut out = Vec::new();
        put_input(&mut out, self.numbers, tag, line.as_bytes());
        self.stream.write_all(&out).unwrap();
    }

    pub(crate) fn ack(&mut self, seq: u64) {
        self.say(kind::ACK, seq, b"");
    }

    /// The next frame; none when the connection ended.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            if let Some(frame) = self.inbox.take().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.inbox.push(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waited for a frame: {error}"),
            }
        }
    }

    /// The next frame of this kind.
    pub(crate) fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The next line and its number.
    pub(crate) fn line(&mut self) -> (u64, String) {
        let frame = self.next(kind::LINE);
        (frame.number, frame.text())
    }

    pub(crate) fn lines(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.line().0).collect()
    }
}
