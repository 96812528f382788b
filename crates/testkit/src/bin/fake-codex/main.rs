//! `fake-codex`: a scripted double of the Codex CLI at the process boundary.
//!
//! Its behaviour is copied from the real binaries (0.169.0 for `app-server`, 0.153.4 for `mcp-server`), as `facts/codex.md` measured them:
//! the order of messages, the texts of errors, what survives a restart. It has no model: it answers turns at once and by itself, by the
//! same words in the prompt as the `fake_model` crate (`RECALL`, `OPTIONS`, `SAY:`, `SLOW:`, `TIMES:`, `BIG:`, `REASON:`, `FAIL:`, `CONTEXT`,
//! `CUT`, `HANG`, `COMPACT:`), so that what it is measured with is measured alone. `RUN:`, `ESCALATE:` and `PATCH:` report items, ask for approval
//! and touch nothing.
//!
//! `OPTIONS` answers with a line of JSON: the `model` and the `effort` in force, the `config` of the thread, the `schema` of the turn, and
//! its `images` as they were named. It is strict where the real one is not: a field that it does not know is an error, so that our side of
//! the contract is checked.
//!
//! | command | does |
//! |---|---|
//! | `--version` | prints `codex-cli 0.169.0` |
//! | `--help` | prints the commands, with `mcp-server` only below 0.154 |
//! | `app-server` | the app server's protocol on stdio |
//! | `mcp-server` | the MCP server that 0.154.0 removed; gone when `FAKE_CODEX_VERSION` says 0.154 or later |
//!
//! | variable | effect |
//! |---|---|
//! | `FAKE_CODEX_VERSION` | the version it claims to be |
//! | `FAKE_CODEX_LOG` | a file to which each server appends `{"env":[names],"args":[..],"pid":n}` and then every line it receives |
//! | `FAKE_CODEX_FAULT` | one fault, or several with commas between them (see [`faults`]) |
//! | `FAKE_CODEX_FAULT_ONCE` | a file; a fault that would end or hang the process strikes only if it can create it, so once |
//! | `FAKE_CODEX_FAULT_IN` | a text; the faults of a turn strike only turns whose prompt contains it |
//! | `FAKE_CODEX_LIMITS` | it has an account, and that many percent of its first limit are used; without, `account/rateLimits/read` is an error |
//! | `CODEX_HOME` | threads are kept in `fake-sessions/` below it; `~/.codex` unless set |

mod app_server;
mod faults;
mod journal;
mod mcp_server;
mod pump;
mod script;
mod sessions;
mod shapes;
mod threads;
mod turns;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::faults::Faults;

const DEFAULT_VERSION: &str = "0.169.0";

fn main() -> io::Result<ExitCode> {
    let faults = Faults::from_env();
    let claimed = env::var("FAKE_CODEX_VERSION").ok();
    let version = claimed.clone().unwrap_or_else(|| DEFAULT_VERSION.to_owned());
    let args: Vec<String> = env::args().skip(1).collect();
    match command(&args) {
        Some("--version" | "-V") => {
            if faults.hang_at_version {
                pump::hang();
            }
            writeln!(io::stdout(), "codex-cli {version}")?;
            Ok(ExitCode::SUCCESS)
        }
        Some("app-server") if !faults.mcp_only => {
            if faults.exit_at_start && faults.strikes() {
                writeln!(io::stderr(), "fake-codex: the fault exit-at-start")?;
                return Ok(ExitCode::FAILURE);
            }
            let home = codex_home();
            pump::run(app_server::AppServer::new(home, version, faults.clone()), &faults)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("mcp-server") if faults.mcp_only || claimed.as_deref().is_none_or(has_mcp_server) => {
            if faults.exit_at_start && faults.strikes() {
                return Ok(ExitCode::FAILURE);
            }
            let version = claimed.unwrap_or_else(|| "0.153.4".to_owned());
            pump::run(mcp_server::McpServer::new(version, faults.clone()), &faults)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("mcp-server") if !args.iter().any(|arg| arg == "--help") => {
            writeln!(io::stderr(), "Error: stdin is not a terminal")?;
            Ok(ExitCode::FAILURE)
        }
        _ => {
            help(&version, &faults)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The first argument that is neither `-c` nor its value.
fn command(args: &[String]) -> Option<&str> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "-c" || arg == "--config" {
            args.next();
        } else {
            return Some(arg);
        }
    }
    None
}

/// Whether a Codex of this version had an MCP server.
fn has_mcp_server(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (0, 154)
}

fn codex_home() -> PathBuf {
    env::var_os("CODEX_HOME").map_or_else(|| env::home_dir().unwrap_or_default().join(".codex"), PathBuf::from)
}

fn help(version: &str, faults: &Faults) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "Codex CLI\n\nIf no subcommand is specified, options will be forwarded to the interactive CLI.\n\n\
         Usage: codex [OPTIONS] [PROMPT]\n       codex [OPTIONS] <COMMAND> [ARGS]\n\nCommands:\n  \
         exec        Run Codex non-interactively [aliases: e]"
    )?;
    if faults.mcp_only || has_mcp_server(version) {
        writeln!(out, "  mcp-server  [experimental] Run the Codex MCP server (stdio transport)")?;
    }
    if !faults.mcp_only {
        writeln!(out, "  app-server  [experimental] Run the app server or related tooling")?;
    }
    writeln!(out, "  help        Print this message or the help of the given subcommand(s)")
}
