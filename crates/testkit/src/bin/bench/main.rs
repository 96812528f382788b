//! Measures `codexd` against what it stands on, side by side in one run. `cargo xtask bench turn` builds and runs it.
//!
//! Every figure is a ratio or a difference to something measured in the same run, because the machine is noisy: two identical Codex
//! processes already differ by some per cent. So a *round* is one turn on each of several arms, in an order that rotates; what is told
//! is the paired difference within the rounds, its median, and a bootstrap interval of that median. After each block of rounds every
//! process is started afresh, so that the luck of one process is not taken for a property of the program.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

mod raw;
mod rest;
mod stats;
mod turn;

use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", about = "Measures codexd against what it stands on")]
struct Cli {
    /// The release build of codexd
    #[arg(long)]
    codexd: std::path::PathBuf,
    /// Rounds on the real Codex
    #[arg(long, default_value_t = 400)]
    rounds: usize,
    /// Rounds on fake-codex
    #[arg(long, default_value_t = 2000)]
    fake_rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let codexd = cli.codexd.to_str().ok_or_else(|| anyhow::anyhow!("a path that is not UTF-8"))?;
    turn::real(codexd, cli.rounds).await?;
    turn::fake(codexd, cli.fake_rounds).await?;
    turn::throughput(codexd).await?;
    rest::report(codexd).await
}
