//! `codexd` keeps one Codex warm on this machine and lets other programs use it.

mod agent_host;
mod cli;
mod commands;
mod config;
mod exit;
mod globals;
mod install;
mod logging;
mod output;
mod serve;
mod signals;

use std::{process::ExitCode, time::Duration};

fn main() -> ExitCode {
    if agent_host::called(std::env::args_os()) {
        return agent_host::run();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("can't start"), false),
    };
    let code = runtime.block_on(cli::run(std::env::args_os()));
    // A file operation that hangs must not keep a program that is done.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}
