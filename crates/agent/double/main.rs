//! Processes that the tests of the agent host start and kill.
//!
//! | arguments | does |
//! |---|---|
//! | `agent-host` | is a host, as `codexd agent-host` is |
//! | `client FOLDER FILE SKIP` | attaches to a host and appends every line that it is given to FILE, with its number; it acknowledges all but each SKIPth |
//! | `agent DIR CODEX PROMPT` | runs an agent with a host, as codexd does: starts a thread and a turn and appends what comes of it to DIR/reports |
//! | `codex` | is a Codex that does what it is told, a line each: `lines N BYTES`, `say TEXT`, `long BYTES`, `exit CODE` |

#[cfg(unix)]
mod agent;
#[cfg(unix)]
mod client;
mod codex;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["agent-host"] => return ::agent::host::main(),
        #[cfg(unix)]
        ["client", folder, file, skip] => client::run(folder, file, skip),
        #[cfg(unix)]
        ["agent", dir, codex, prompt] => agent::run(dir, codex, prompt),
        ["codex"] => codex::run(),
        _ => Err(std::io::Error::other("no such double")),
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
