//! `cargo xtask`: runs the tests, installs what they need, and measures.

mod bench;
mod codex;
mod platforms;
mod sh;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of this workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must hold before a change lands: format, lints, docs, licences, tests on the real Codex
    Test,
    /// Installs the Codex that the tests run on, from tests/codex/package-lock.json into .codex-test
    Codex,
    /// Type-checks for Windows and macOS, on a Debian machine
    Platforms,
    /// Measures, on release builds; the tables of docs/benchmarks.md come from here
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Test => test::run(),
        Task::Codex => codex::install(),
        Task::Platforms => platforms::check(),
        Task::Bench(bench) => bench::run(&bench),
    }
}
