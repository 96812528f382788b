//! What the demo plays on: folders, a model, a daemon; and taking all of it down again.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use client::Client;
use fake_model::FakeModel;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use types::agent::{AgentInfo, AgentStatus};

use super::Codex;
use crate::signals;

/// How long the daemon may take to listen, and its Codex to be ready. Both take well under a second.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long the daemon may take to stop; it gives up by itself after 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// How much of the daemon's log is shown when a step fails.
const TAIL_LINES: usize = 20;

/// The stage.
pub(super) struct Stage {
    folder: Option<TempDir>,
    root: PathBuf,
    model: FakeModel,
    codex: Option<String>,
    daemon: Option<Child>,
}

impl Stage {
    /// Makes the folders and starts the model. No daemon yet.
    pub(super) async fn build(store: &Path, codex: &Codex) -> anyhow::Result<Self> {
        let folder = make_folder(store)?;
        let root = dunce::canonicalize(folder.path()).context("can't use the folder of the demo")?;
        let model = FakeModel::start().await.context("can't start the scripted model on 127.0.0.1")?;
        let stage = Self { folder: Some(folder), root, model, codex: codex.command.clone(), daemon: None };
        for folder in [stage.project(), stage.outside(), stage.codex_home()] {
            fs::create_dir(&folder).with_context(|| format!("can't create `{}`", folder.display()))?;
        }
        let config = stage.codex_home().join("config.toml");
        fs::write(&config, stage.model.codex_config())
            .with_context(|| format!("can't write `{}`", config.display()))?;
        let config = stage.config();
        fs::write(&config, "").with_context(|| format!("can't write `{}`", config.display()))?;
        Ok(stage)
    }

    /// Where everything is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that the sessions work in.
    pub(super) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// A folder that they have no business in.
    pub(super) fn outside(&self) -> PathBuf {
        self.root.join("outside")
    }

    /// Whether the sandbox would let them write there all the same: it leaves temporary folders open.
    pub(super) fn outside_is_temporary(&self) -> bool {
        let temporary = [std::env::temp_dir(), PathBuf::from("/tmp")];
        temporary.iter().filter_map(|dir| dunce::canonicalize(dir).ok()).any(|dir| self.root.starts_with(dir))
    }

    fn codex_home(&self) -> PathBuf {
        self.root.join("codex-home")
    }

    fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Says nothing, so that the user's own file has no say.
    fn config(&self) -> PathBuf {
        self.root.join("codexd.toml")
    }

    fn log(&self) -> PathBuf {
        self.root.join("codexd.log")
    }

    /// Where the model is.
    pub(super) fn model_url(&self) -> String {
        self.model.base_url()
    }

    /// Starts `codexd serve` and waits until its Codex takes turns.
    pub(super) async fn start_daemon(&mut self) -> anyhow::Result<(Client, AgentInfo)> {
        let program = std::env::current_exe().context("can't tell where codexd itself is")?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).context("can't write the log")?;
        let mut command = Command::new(&program);
        command.arg("serve").args(["--port", "0"]).arg("--cwd").arg(self.project());
        command.arg("--store-dir").arg(self.store()).arg("--config").arg(self.config());
        if let Some(codex) = &self.codex {
            command.arg("--codex-cmd").arg(codex);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_somebody_elses(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("CODEX_HOME", self.codex_home());
        // The model is on this machine, whatever stands between it and the rest.
        for name in ["NO_PROXY", "no_proxy"] {
            let mut value =
                std::env::var_os(name).filter(|value| !value.is_empty()).map_or_else(OsString::new, |mut value| {
                    value.push(",");
                    value
                });
            value.push("127.0.0.1,localhost");
            command.env(name, value);
        }
        command.current_dir(self.project()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C is for us, who then stop it.
        #[cfg(unix)]
        command.process_group(0);
        self.daemon = Some(command.spawn().with_context(|| format!("can't start `{}`", program.display()))?);

        let client = self.until(READY_LIMIT, "codexd to listen", async |stage| stage.client().ok()).await?;
        let ready = self.agent_that(&client, |agent| agent.status == AgentStatus::Ready).await?;
        Ok((client, ready))
    }

    fn client(&self) -> Result<Client, client::Error> {
        Ok(Client::from_store_dir(&self.store())?.from_cli())
    }

    /// Waits until the agent is as it should be.
    pub(super) async fn agent_that(
        &mut self,
        client: &Client,
        is_good: impl Fn(&AgentInfo) -> bool,
    ) -> anyhow::Result<AgentInfo> {
        let settled = |agent: &AgentInfo| is_good(agent) || agent.status == AgentStatus::Unavailable;
        let look = async |_: &Self| client.agent().await.ok().map(|reply| reply.value).filter(settled);
        let agent = self.until(READY_LIMIT, "Codex to be ready", look).await?;
        if agent.status == AgentStatus::Unavailable {
            bail!("Codex can't be started: {}", agent.last_error.as_deref().unwrap_or("nobody knows why"));
        }
        Ok(agent)
    }

    /// Looks until there is something, the time is over, or the daemon has ended.
    async fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        look: impl AsyncFn(&Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = look(self).await {
                return Ok(found);
            }
            if let Some(status) = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten()) {
                bail!("codexd has ended ({status}) while the demo waited for {what}");
            }
            if Instant::now() > end {
                bail!("waited {} s in vain for {what}", limit.as_secs());
            }
            sleep(LOOK).await;
        }
    }

    /// Tells the daemon to stop.
    async fn ask_to_end(&self, daemon: &mut Child) {
        #[cfg(unix)]
        if let Some(pid) = daemon.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It has ended when this fails.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            return;
        }
        // Windows has no way to ask a process without a window, but ours can be asked by its pipe.
        let asked = async { self.client().ok()?.stop(false).await.ok() };
        if !matches!(timeout(STOP_LIMIT, asked).await, Ok(Some(_))) {
            let _ = daemon.start_kill();
        }
    }

    /// Stops the daemon as a person would, and waits until it is gone.
    pub(super) async fn stop_daemon(&mut self) -> anyhow::Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        self.ask_to_end(&mut daemon).await;
        match timeout(STOP_LIMIT, daemon.wait()).await {
            Ok(status) => {
                let status = status.context("can't wait for codexd")?;
                if !status.success() {
                    bail!("codexd did not stop cleanly ({status})");
                }
                Ok(())
            }
            Err(_) => {
                let _ = daemon.kill().await;
                bail!("codexd did not stop in {} s and was killed", STOP_LIMIT.as_secs());
            }
        }
    }

    /// Ends whatever still runs; at once when somebody can't wait.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            result = self.stop_daemon() => result,
            // Dropping the wait kills the daemon, and its Codex ends when nobody is there to talk to.
            signal = signals::asked_to_end() => Ok(signal?),
        }
    }

    /// Leaves the folder where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }

    /// The daemon's last words.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// Beside the user's store, where nothing temporary lives: Codex's sandbox leaves temporary folders open, and Codex itself
/// doesn't like its home there. Where that can't be written, the system's temporary folder.
fn make_folder(store: &Path) -> anyhow::Result<TempDir> {
    let make = |parent: &Path| tempfile::Builder::new().prefix("demo-").tempdir_in(parent);
    fs::create_dir_all(store)
        .and_then(|()| make(store))
        .or_else(|_| make(&std::env::temp_dir()))
        .context("can't make a folder for the demo")
}

/// Settings of the user's own daemon and Codex, and the keys of accounts: none of it is for the demo.
fn is_somebody_elses(variable: &str) -> bool {
    let variable = variable.to_ascii_uppercase();
    variable.starts_with("CODEX") && variable != "CODEXD_LOG" || variable.starts_with("OPENAI")
}

/// Ends a process at once, as a crash would.
pub(super) async fn kill(pid: u32) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("that is no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).with_context(|| format!("can't kill {pid:?}"))
    }
    #[cfg(not(unix))]
    {
        let pid = pid.to_string();
        let mut taskkill = Command::new("taskkill");
        taskkill.args(["/F", "/PID", &pid]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = taskkill.status().await.context("can't start taskkill")?;
        anyhow::ensure!(status.success(), "taskkill could not end process {pid} ({status})");
        Ok(())
    }
}
