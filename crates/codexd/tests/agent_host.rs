//! `codexd agent-host`, the program that ships, as the process that holds Codex's pipes.

#![cfg(unix)]

use std::process::{Command, Stdio};

use agent::{
    Agent, HostOptions, Message, Options, Port as _,
    locate::{Search, locate},
};
use anyhow::{Context as _, Result};
use testkit::fake_codex;

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

#[test]
fn by_hand_it_says_what_it_is() -> Result<()> {
    let said = Command::new(CODEXD).arg("agent-host").stdin(Stdio::null()).output()?;
    assert!(!said.status.success());
    let text = String::from_utf8(said.stdout)?;
    assert!(text.contains("started by codexd, not by hand"), "{text}");
    Ok(())
}

#[tokio::test]
async fn it_holds_codex_and_outlives_who_started_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let search = Search { explicit: Some(fake_codex()?.into()), ..Search::default() };
    let start = || -> Result<_> {
        let mut options = Options::new(locate(&search)?, dir.path().to_owned());
        options.hosts = Some(HostOptions::new(CODEXD.into(), dir.path().join("agents")));
        Ok(Agent::start(options))
    };
    let (agent, mut messages) = start()?;
    let first = messages.recv().await.context("no message")?;
    let Message::Up { agent: id, attached: false, .. } = first else { anyhow::bail!("{first:?}") };
    let codex = agent.info().pid;
    agent.leave().await;

    let (agent, mut messages) = start()?;
    let second = messages.recv().await.context("no message")?;
    let Message::Up { agent: same, attached: true, .. } = second else { anyhow::bail!("{second:?}") };
    assert_eq!((same, agent.info().pid), (id.clone(), codex));
    #[cfg(target_os = "linux")]
    {
        let card: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("agents").join(id.as_str()).join("host.json"))?)?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", card["hostPid"]))?;
        let kilobytes = |name: &str| -> Result<u64> {
            let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
            Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
        };
        let (resident, own) = (kilobytes("VmRSS:")?, kilobytes("RssAnon:")?);
        println!("the host has {resident} kB, {own} kB of them its own");
        assert!(own < 2048, "{status}");
    }
    agent.stop().await;
    assert_eq!(std::fs::read_dir(dir.path().join("agents"))?.count(), 0);
    Ok(())
}
