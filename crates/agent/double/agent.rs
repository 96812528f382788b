//! Half a codexd: an agent with a host, one thread, one turn, and a file for what comes of it. It acknowledges every line once it is written.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use agent::{
    Agent, Answer, Ask, HostOptions, Message, Options, Port as _, ThreadSpec, TurnSpec, What,
    locate::{Search, locate},
};
use types::{ApprovalPolicy, AskId, InputPart, Sandbox, TurnId};

pub(crate) fn run(dir: &str, codex: &str, prompt: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(converse(Path::new(dir), codex, prompt))
}

async fn converse(dir: &Path, codex: &str, prompt: &str) -> io::Result<()> {
    let search = Search { explicit: Some(codex.into()), ..Search::default() };
    let program = locate(&search).map_err(io::Error::other)?;
    let work_dir = dir.join("work");
    std::fs::create_dir_all(&work_dir)?;
    let mut options = Options::new(program, work_dir.clone());
    let mut hosts = HostOptions::new(std::env::current_exe()?, dir.join("agents"));
    // A test that fails leaves it alone.
    hosts.orphan_max = Duration::from_secs(60);
    options.hosts = Some(hosts);
    let (agent, mut messages) = Agent::start(options);
    let mut file = OpenOptions::new().append(true).create(true).open(dir.join("reports"))?;
    let spec = |cwd: PathBuf| ThreadSpec {
        cwd,
        model: None,
        sandbox: Sandbox::ReadOnly,
        approval_policy: ApprovalPolicy::Never,
        developer_instructions: None,
        config: serde_json::Map::new(),
    };
    while let Some(message) = messages.recv().await {
        writeln!(file, "{message:?}")?;
        match message {
            Message::Up { agent: id, .. } => agent.ask(&id, AskId(1), Ask::StartThread(spec(work_dir.clone()))),
            Message::Report(report) => {
                if let What::Answer(AskId(1), Ok(Answer::Thread { thread, .. })) = &report.what {
                    let turn = TurnSpec {
                        thread: thread.clone(),
                        input: vec![InputPart::Text { text: prompt.to_owned() }],
                        model: None,
                        effort: None,
                        output_schema: None,
                        turn: TurnId::fresh(),
                        spec: spec(work_dir.clone()),
                    };
                    agent.ask(&report.agent, AskId(2), Ask::StartTurn(turn));
                }
                agent.ack(&report.agent, report.seq);
            }
            Message::Down { .. } => return Ok(()),
        }
    }
    Ok(())
}
