//! Benchmarks: release builds, then the `bench` program of the testkit, which prints the tables of docs/benchmarks.md.

use anyhow::Result;
use clap::Subcommand;

use crate::{codex, sh};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// A turn: raw app-server and codexd in rounds, on the real Codex and on fake-codex; then what codexd costs at rest
    Turn {
        /// Rounds on the real Codex
        #[arg(long, default_value_t = 400)]
        rounds: usize,
    },
    /// A delta: from the model's write to the client's read, raw, by a bare write loop and by codexd, for 1, 10 and 100 readers
    Stream {
        /// Rounds on the real Codex
        #[arg(long, default_value_t = 200)]
        rounds: usize,
    },
    /// 500 readers that never read, and one that does: by the socket and by TCP
    Crowd {
        /// Pairs of turns, one alone and one beside the others
        #[arg(long, default_value_t = 24)]
        pairs: usize,
    },
}

/// Builds and measures.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    codex::install()?;
    let build = ["build", "--release", "--locked", "--package", "codex-mcp-bridge", "--package", "testkit", "--bins"];
    sh::run("release builds", sh::cargo().args(build))?;
    let folder = sh::root().join("target/release");
    let mut program = std::process::Command::new(folder.join("bench"));
    match bench {
        Bench::Turn { rounds } => program.args(["turn", "--rounds", &rounds.to_string()]),
        Bench::Stream { rounds } => program.args(["stream", "--rounds", &rounds.to_string()]),
        Bench::Crowd { pairs } => program.args(["crowd", "--pairs", &pairs.to_string()]),
    };
    program.arg("--codexd").arg(folder.join("codexd"));
    sh::run("measuring; leave the machine alone", &mut program)
}
