//! The command line against a running daemon, as a script and as a person see it: what it prints, where, and with which exit
//! code.
#![cfg(unix)]

#[path = "cli/approvals.rs"]
mod approvals;
#[path = "cli/cut.rs"]
mod cut;
#[path = "cli/described.rs"]
mod described;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/hooks.rs"]
mod hooks;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/prompts.rs"]
mod prompts;
#[path = "cli/ran.rs"]
mod ran;
#[path = "cli/sessions.rs"]
mod sessions;
#[path = "cli/start.rs"]
mod start;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/tokens.rs"]
mod tokens;
#[path = "cli/turns.rs"]
mod turns;
#[path = "cli/which.rs"]
mod which;
#[path = "cli/whole.rs"]
mod whole;
