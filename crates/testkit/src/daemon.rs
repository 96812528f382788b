//! A real `codexd` in an empty machine of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use client::Client;
use fake_model::FakeModel;
use openapi_check::{Exchange, Kept};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long anything that a test waits for may take on a busy machine of two cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `look` finds something.
///
/// # Errors
/// When it has not after a minute and a half; `what` is in the message.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(Instant::now() < until, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// An empty machine: folders, and a scripted model that its Codex talks to.
pub struct Lab {
    /// Everything is below this folder, which goes with the lab.
    pub dir: TempDir,
    /// The store.
    pub store: PathBuf,
    /// The daemon's own folder for sessions.
    pub project: PathBuf,
    /// Where Codex keeps its things.
    pub codex_home: PathBuf,
    /// The model.
    pub model: FakeModel,
    codexd: PathBuf,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body: as JSON, or as text when it is none.
    pub body: Value,
}

impl Lab {
    /// A lab for the `codexd` at this path (a test has it as `env!("CARGO_BIN_EXE_codexd")`).
    ///
    /// # Errors
    /// When a folder can't be made or the model can't listen.
    pub async fn new(codexd: &str) -> Result<Self> {
        Self::below(codexd, &std::env::temp_dir()).await
    }

    /// The same below this folder: agents may write in the temporary one.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub async fn below(codexd: &str, parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("codexd-test-").tempdir_in(parent)?;
        let base = dunce::canonicalize(dir.path())?;
        let (store, project, codex_home) = (base.join("store"), base.join("project"), base.join("codex-home"));
        std::fs::create_dir_all(&project)?;
        std::fs::create_dir_all(base.join("home"))?;
        let model = FakeModel::start().await?;
        let lab = Self { dir, store, project, codex_home, model, codexd: codexd.into() };
        lab.write_codex_config()?;
        Ok(lab)
    }

    /// Makes CODEX_HOME anew, with nothing in it but the way to the model.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_codex_config(&self) -> Result<()> {
        std::fs::create_dir_all(&self.codex_home)?;
        std::fs::write(self.codex_home.join("config.toml"), self.model.codex_config())?;
        Ok(())
    }

    /// A `codexd` command with the environment of this lab and no other settings.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.codexd);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CODEX") || text.starts_with("FAKE_CODEX") || text.starts_with("XDG_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(&self.project).kill_on_drop(true);
        let home = self.dir.path().join("home");
        command.env("HOME", &home).env("USERPROFILE", home).env("CODEX_HOME", &self.codex_home);
        command.env("CODEXD_STORE_DIR", &self.store).env("CODEXD_LOG", "debug,hyper=info");
        command
    }

    /// Boots `codexd serve` with this Codex and these further flags, and waits until its Codex is ready.
    ///
    /// # Errors
    /// When it does not come up; its log is in the message.
    pub async fn serve(&self, codex: &Path, flags: &[&str]) -> Result<Daemon> {
        self.serve_with(codex, flags, &[]).await
    }

    /// The same with environment variables.
    ///
    /// # Errors
    /// As [`Lab::serve`].
    pub async fn serve_with(&self, codex: &Path, flags: &[&str], env: &[(&str, &str)]) -> Result<Daemon> {
        let codex = codex.to_str().context("a path that is not UTF-8")?;
        let mut command = self.command(&["serve", "--port", "0", "--codex-cmd", codex]);
        command.args(flags).envs(env.iter().copied());
        let daemon = self.boot(command).await?;
        daemon.ready().await?;
        Ok(daemon)
    }

    /// Boots any command that serves, and waits until it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen in time; its log is in the message.
    pub async fn boot(&self, mut command: Command) -> Result<Daemon> {
        // A test that kills its daemon leaves a Codex behind on purpose, and not for a quarter of an hour.
        for (name, time) in [("CODEXD_ORPHAN_GRACE", "30s"), ("CODEXD_ORPHAN_MAX", "5m")] {
            if !command.as_std().get_envs().any(|(named, _)| named == name) {
                command.env(name, time);
            }
        }
        let log = self.dir.path().join(format!("codexd-{}.log", uuid::Uuid::now_v7()));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // What an earlier daemon left must not be taken for the new one's.
        let old = std::fs::read(self.store.join("daemon.json")).ok();
        let mut child = command.spawn()?;
        let pid = child.id().context("it ended at once")?;
        let store = self.store.clone();
        let mut ended = None;
        let found = eventually("codexd to listen", async || {
            ended = child.try_wait().ok().flatten();
            if ended.is_some() {
                return Some(None);
            }
            let text = std::fs::read(store.join("daemon.json")).ok()?;
            let file: Value = serde_json::from_slice(&text).ok()?;
            (Some(&text) != old.as_ref() && file["pid"] == pid).then_some(Some(file))
        })
        .await;
        let Ok(Some(file)) = found else {
            bail!("codexd did not come up ({ended:?}):\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let client = Client::from_store_dir(&self.store).map_err(|error| anyhow::anyhow!("{error}"))?;
        let url = file["http"].as_str().context("no address")?.to_owned();
        Ok(Daemon { child, client, url, log, pid })
    }
}

/// A running `codexd`. Killed when dropped, with -9, as in a crash.
pub struct Daemon {
    child: Child,
    /// Calls by the socket, as `local`.
    pub client: Client,
    /// Its address, such as `http://127.0.0.1:40000`.
    pub url: String,
    /// Its process.
    pub pid: u32,
    log: PathBuf,
}

impl Daemon {
    /// Waits until its Codex is ready.
    ///
    /// # Errors
    /// When it is not in time; the log is in the message.
    pub async fn ready(&self) -> Result<()> {
        let ready =
            eventually("a ready Codex", async || (self.get("/readyz").await.ok()?.status == 200).then_some(())).await;
        ready.with_context(|| self.log())
    }

    /// A request by the socket. The answer is compared with the OpenAPI documents.
    ///
    /// # Errors
    /// When there is no answer, or not one that is documented.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
        static KEPT: LazyLock<Result<Kept, String>> = LazyLock::new(Kept::checked_in);
        let sent = body.map(Value::to_string).unwrap_or_default();
        let body = body.map(|_| sent.clone().into());
        let (status, bytes) = self.client.request(method.parse()?, path, body, Duration::from_secs(120)).await?;
        let kept = KEPT.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let (sent, status_code) = (sent.as_bytes(), status.as_u16());
        let exchange = Exchange { method, target: path, sent, status: status_code, media: None, body: &bytes };
        kept.check(exchange).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Reply { status: status.as_u16(), body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// GET by the socket.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.request("GET", path, None).await
    }

    /// POST by the socket.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: Value) -> Result<Reply> {
        self.request("POST", path, Some(&body)).await
    }

    /// A new session; its id and the answer to its first prompt.
    ///
    /// # Errors
    /// When the turn was not answered well.
    pub async fn start(&self, prompt: &str) -> Result<(String, String)> {
        let reply = self.post("/start", json!({"prompt": prompt})).await?;
        let answer = answer(&reply).with_context(|| self.log())?;
        Ok((reply.body["sessionId"].as_str().context("no session id")?.to_owned(), answer))
    }

    /// The answer to a further prompt.
    ///
    /// # Errors
    /// When the turn was not answered well.
    pub async fn go_on(&self, session: &str, prompt: &str) -> Result<String> {
        let reply = self.post("/continue", json!({"sessionId": session, "prompt": prompt})).await?;
        answer(&reply).with_context(|| self.log())
    }

    /// What is known of its Codex.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn agent(&self) -> Result<Value> {
        Ok(self.get("/v1/agent").await?.body)
    }

    /// Kills its Codex with -9 and waits until another one is ready.
    ///
    /// # Errors
    /// When there is none to kill, or no other comes.
    pub async fn kill_codex(&self) -> Result<()> {
        let pid = self.agent().await?["pid"].as_u64().context("no Codex runs")?;
        signal("KILL", u32::try_from(pid)?).await?;
        eventually("another Codex", async || {
            let agent = self.agent().await.ok()?;
            (agent["status"] == "ready" && agent["pid"] != pid).then_some(())
        })
        .await
        .with_context(|| self.log())
    }

    /// Stops it as a service manager does (on Windows as `codexd stop` does), and waits until it is gone.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(mut self) -> Result<()> {
        if cfg!(windows) {
            self.client.stop(false).await?;
        } else {
            signal("TERM", self.pid).await?;
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.with_context(|| self.log())??;
        ensure!(status.success(), "codexd ended with {status}:\n{}", self.log());
        Ok(())
    }

    /// Kills it, as a crash does.
    ///
    /// # Errors
    /// When it can't be killed.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Kills it and its Codex, as when the machine dies.
    ///
    /// # Errors
    /// When there is none to kill.
    pub async fn crash(self) -> Result<()> {
        let pid = self.agent().await?["pid"].as_u64().context("no Codex runs")?;
        self.kill().await?;
        signal("KILL", u32::try_from(pid)?).await
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The text of a good answer of a first-version route.
fn answer(reply: &Reply) -> Result<String> {
    ensure!(reply.status == 200 && reply.body["isError"].as_bool() != Some(true), "{reply:?}");
    let text = reply.body["content"][0]["text"].as_str().with_context(|| format!("{reply:?}"))?;
    Ok(text.to_owned())
}

async fn signal(name: &str, pid: u32) -> Result<()> {
    let mut command = Command::new(if cfg!(windows) { "taskkill" } else { "kill" });
    if cfg!(windows) {
        command.args(["/F", "/PID"]);
    } else {
        command.arg(format!("-{name}"));
    }
    let status = command.arg(pid.to_string()).status().await?;
    ensure!(status.success(), "no process {pid}");
    Ok(())
}
