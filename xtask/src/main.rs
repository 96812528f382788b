//! `cargo xtask`: runs the tests, installs what they need, and measures.

mod bench;
mod chromium;
mod codex;
mod fuzz;
mod openapi;
mod openclaw;
mod platforms;
mod schemathesis;
mod service;
mod sh;
mod soak;
mod test;
mod wine;

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
    /// Writes openapi/v1.json, the OpenAPI document, from the code
    Openapi {
        /// Also keeps it as that of this version, which later ones are compared with
        #[arg(long)]
        release: bool,
    },
    /// Type-checks for Windows and macOS, on a Debian machine
    Platforms,
    /// Builds for Windows and runs that under wine, on a Debian machine (wine64 and gcc-mingw-w64-x86-64-win32)
    Wine,
    /// Checks the units and the scripts with systemd-analyze and shellcheck
    Service,
    /// Asks the real OpenClaw whether it takes the skill (about 860 MB from npm, into target/openclaw)
    Openclaw,
    /// Has a page of another origin try what it can in a real Chromium (some 400 MB from Debian)
    Chromium,
    /// Asks a running daemon everything that openapi/v1.json allows, and more (Python, PyPI, some minutes)
    Schemathesis {
        /// How long, in seconds
        #[arg(long, default_value_t = 180)]
        seconds: u64,
    },
    /// libFuzzer on everything that reads bytes from outside (needs a C++ compiler; builds with a sanitizer)
    Fuzz(fuzz::Wanted),
    /// Fifty sessions of the real Codex while everything is killed at random; then all records are compared
    Soak {
        /// How long, in minutes
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// That of a run that is to be had again
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Measures, on release builds; the tables of docs/benchmarks.md come from here
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Test => test::run(),
        Task::Codex => codex::install(),
        Task::Openapi { release } => openapi::write(release),
        Task::Platforms => platforms::check(),
        Task::Wine => wine::check(),
        Task::Service => service::check(),
        Task::Openclaw => openclaw::check(),
        Task::Chromium => chromium::check(),
        Task::Schemathesis { seconds } => schemathesis::run(seconds),
        Task::Fuzz(wanted) => fuzz::run(&wanted),
        Task::Soak { minutes, seed } => soak::run(minutes, seed),
        Task::Bench(bench) => bench::run(&bench),
    }
}
