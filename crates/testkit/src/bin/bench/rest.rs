//! What codexd costs when nothing happens: memory, size, the time to listen.

use std::{process::Stdio, time::Instant};

use anyhow::{Context as _, Result};
use testkit::{Lab, fake_codex};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::stats::{median, ms};

/// Measures and prints.
pub(crate) async fn report(codexd: &str) -> Result<()> {
    let fake = fake_codex()?;
    let fake = fake.to_str().context("not UTF-8")?;
    let mut took = Vec::new();
    for _ in 0..20 {
        let lab = Lab::new(codexd).await?;
        let mut command = lab.command(&["serve", "--port", "0", "--codex-cmd", fake]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let begin = Instant::now();
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        lines.next_line().await?.context("it did not listen")?;
        took.push(ms(begin.elapsed()));
        child.kill().await?;
    }
    let lab = Lab::new(codexd).await?;
    let daemon = lab.serve_with(fake_codex()?.as_path(), &[], &[("CODEXD_LOG", "warn")]).await?;
    let fresh = resident(daemon.pid)?;
    let (session, _) = daemon.start("hello").await?;
    for _ in 0..1000 {
        daemon.go_on(&session, "hello").await?;
    }
    let worn = resident(daemon.pid)?;
    daemon.stop().await?;
    let size = std::fs::metadata(codexd)?.len() as f64 / 1e6;
    println!("\n### At rest\n\n| what | value |\n|---|---|");
    println!("| start to listening, a new store, median of 20 | {:.1} ms |", median(&took));
    println!("| resident, just started | {fresh:.1} MB |");
    println!("| resident, after 1,000 turns | {worn:.1} MB |");
    println!("| binary | {size:.1} MB |");
    Ok(())
}

/// Resident memory of a process in MB of 10^6 bytes, as Linux tells it.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}
