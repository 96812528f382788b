//! An agent as codexd has it, in the test's own process, and what outlives it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::{
    Agent, Answer, Ask, HostOptions, Message, Options, Outcome, PendingAsk, Port as _, Report, ThreadSpec, TurnSpec,
    What,
    locate::{Search, locate},
};
use tokio::{sync::mpsc::Receiver, time::timeout};
use types::{AgentId, ApprovalPolicy, AskId, InputPart, Sandbox, ThreadId, TurnId};

use crate::lab::DOUBLE;

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for one store's agents and a Codex.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    codex: String,
    pub(crate) pending: BTreeMap<AgentId, Vec<PendingAsk>>,
}

pub(crate) struct Up {
    pub(crate) agent: Agent,
    pub(crate) messages: Receiver<Message>,
    pub(crate) id: AgentId,
    pub(crate) attached: bool,
}

impl Home {
    /// With `fake-codex`, which keeps what it is told to in this folder.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("codex-home");
        std::fs::create_dir_all(&home).unwrap();
        let fake = testkit::fake_codex().unwrap();
        Self::running(dir, &fake)
    }

    /// With the real Codex and this configuration.
    pub(crate) fn real(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("codex-home");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("config.toml"), config).unwrap();
        Self::running(dir, &testkit::real_codex().unwrap())
    }

    fn running(dir: tempfile::TempDir, codex: &Path) -> Self {
        let (home, script) = (dir.path().join("codex-home"), dir.path().join("codex"));
        let run = format!("CODEX_HOME='{}' exec '{}' \"$@\"", home.display(), codex.display());
        Self::write_script(&script, &run);
        Self { dir, codex: script.to_str().unwrap().to_owned(), pending: BTreeMap::new() }
    }

    pub(crate) fn write_script(path: &Path, body: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// From now on Codex starts something that leaves its group and does not end with it; gives the file with its pid.
    pub(crate) fn with_straggler(&self) -> PathBuf {
        let file = self.dir.path().join("straggler");
        let script = std::fs::read_to_string(&self.codex).unwrap();
        let starts = format!("[ \"$1\" = --version ] || {{ setsid sleep 1000 & echo $! > '{}'; }}\n", file.display());
        Self::write_script(self.codex.as_ref(), &(starts + script.trim_start_matches("#!/bin/sh\n")));
        file
    }

    pub(crate) fn codex(&self) -> &str {
        &self.codex
    }

    pub(crate) fn agents(&self) -> PathBuf {
        self.dir.path().join("agents")
    }

    /// How many agents have a folder.
    pub(crate) fn count(&self) -> usize {
        std::fs::read_dir(self.agents()).map_or(0, Iterator::count)
    }

    pub(crate) fn start(&self) -> (Agent, Receiver<Message>) {
        self.start_with(|_| {})
    }

    fn start_with(&self, change: impl FnOnce(&mut Options)) -> (Agent, Receiver<Message>) {
        let search = Search { explicit: Some(self.codex.clone().into()), ..Search::default() };
        let work_dir = self.dir.path().join("work");
        std::fs::create_dir_all(&work_dir).unwrap();
        let mut options = Options::new(locate(&search).unwrap(), work_dir);
        let mut hosts = HostOptions::new(DOUBLE.into(), self.agents());
        // A test that fails leaves them alone.
        hosts.orphan_max = Duration::from_secs(60);
        options.hosts = Some(hosts);
        options.pending = self.pending.clone();
        change(&mut options);
        Agent::start(options)
    }

    /// Starts an agent and waits until it is up.
    pub(crate) async fn up(&self) -> Up {
        self.up_with(|_| {}).await
    }

    /// The same, with other options.
    pub(crate) async fn up_with(&self, change: impl FnOnce(&mut Options)) -> Up {
        let (agent, mut messages) = self.start_with(change);
        match next(&mut messages).await {
            Message::Up { agent: id, attached, .. } => Up { agent, messages, id, attached },
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn spec(&self) -> ThreadSpec {
        ThreadSpec {
            cwd: self.dir.path().join("work"),
            model: None,
            sandbox: Sandbox::ReadOnly,
            approval_policy: ApprovalPolicy::Never,
            developer_instructions: None,
            config: serde_json::Map::new(),
        }
    }

    pub(crate) fn turn(&self, thread: &ThreadId, prompt: &str) -> Ask {
        Ask::StartTurn(TurnSpec {
            thread: Some(thread.clone()),
            input: vec![InputPart::Text { text: prompt.to_owned() }],
            model: None,
            effort: None,
            output_schema: None,
            turn: TurnId::fresh(),
            spec: self.spec(),
        })
    }
}

pub(crate) async fn next(messages: &mut Receiver<Message>) -> Message {
    timeout(PATIENCE, messages.recv()).await.expect("a message in time").expect("a message")
}

impl Up {
    pub(crate) fn ask(&self, id: i64, ask: Ask) {
        self.agent.ask(&self.id, AskId(id), ask);
    }

    /// The next report, acknowledged.
    pub(crate) async fn report(&mut self) -> Report {
        match next(&mut self.messages).await {
            Message::Report(report) => {
                self.agent.ack(&report.agent, report.seq);
                report
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn until(&mut self, mut found: impl FnMut(&What) -> bool) -> Report {
        loop {
            let report = self.report().await;
            if found(&report.what) {
                return report;
            }
        }
    }

    pub(crate) async fn thread(&mut self, id: i64, spec: ThreadSpec) -> ThreadId {
        self.ask(id, Ask::StartThread(spec));
        let answered = self.until(|what| matches!(what, What::Answer(..))).await;
        let What::Answer(_, Ok(Answer::Thread { thread: Some(thread), .. })) = answered.what else {
            panic!("{answered:?}")
        };
        thread
    }
}

pub(crate) fn ended(what: &What) -> Option<Option<String>> {
    match what {
        What::TurnEnded { outcome: Outcome::Completed, last_message, .. } => Some(last_message.clone()),
        _ => None,
    }
}
