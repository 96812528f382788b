//! The command line: its tree, and what runs for each leaf.
//!
//! Called without a subcommand `codexd` serves as the first version did. The flags of `serve` are then read by a parser of
//! their own ([`OldWay`]) and not by the tree: so a flag of the daemon cannot slip before a subcommand unnoticed, and an
//! environment that is meant for the daemon cannot break `codexd status`.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    commands::{
        self, codex::CodexCommand, continue_::ContinueArgs, demo::DemoArgs, sessions::SessionsArgs, start::StartArgs,
    },
    config::{ServeArgs, StoreArg},
    exit,
    globals::Globals,
    output, serve,
};

/// Keeps one Codex warm on this machine and lets other programs use it.
///
/// Without a command it serves as the first version did, with the flags of `codexd serve`.
#[derive(Debug, Parser)]
#[command(name = "codexd", version, after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon, in the foreground
    #[command(after_help = exit::HELP)]
    Serve(Box<ServeArgs>),
    /// Starts a session with a prompt, in this folder, and prints the answer
    #[command(after_help = exit::HELP)]
    Start(StartArgs),
    /// Continues a session with a prompt and prints the answer
    #[command(after_help = exit::HELP)]
    Continue(ContinueArgs),
    /// Lists, shows and searches sessions
    #[command(after_help = exit::HELP)]
    Sessions(SessionsArgs),
    /// Tells how the daemon and its Codex are
    #[command(after_help = exit::HELP)]
    Status,
    /// Tells which Codex would be run, or installs one
    #[command(subcommand, after_help = exit::HELP)]
    Codex(CodexCommand),
    /// Shows what codexd does, with the real Codex and a scripted model: needs no login and touches nothing of yours
    #[command(after_help = exit::HELP)]
    Demo(DemoArgs),
}

/// `codexd` without a subcommand, as the first version was called.
#[derive(Debug, Parser)]
#[command(name = "codexd", version, after_help = exit::HELP)]
struct OldWay {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug)]
enum Called {
    OldWay(Box<OldWay>),
    Command(Cli),
}

/// Parses the arguments, runs what they say, and tells what went wrong.
pub(crate) async fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let (result, json) = match parse(args.collect()) {
        Ok(Called::OldWay(called)) => (serve::run(called.serve, &called.store, true).await, false),
        Ok(Called::Command(cli)) => {
            let json = cli.globals.json;
            (command(cli).await, json)
        }
        Err(error) => {
            // Help is no error, and a reader who has gone needs none.
            let _ = error.print();
            return if error.use_stderr() { exit::Exit::Usage } else { exit::Exit::Completed }.into();
        }
    };
    result.unwrap_or_else(|error| exit::report(&error, json))
}

async fn command(cli: Cli) -> anyhow::Result<ExitCode> {
    let globals = cli.globals;
    let exit = match cli.command {
        Command::Serve(args) => return serve::run(*args, &globals.store, false).await,
        Command::Start(args) => commands::start::run(args, &globals).await?,
        Command::Continue(args) => commands::continue_::run(args, &globals).await?,
        Command::Sessions(args) => commands::sessions::run(args, &globals).await?,
        Command::Status => commands::status::run(&globals).await?,
        Command::Codex(command) => commands::codex::run(command, &globals).await?,
        Command::Demo(args) => commands::demo::run(args, &globals).await?,
    };
    output::flush()?;
    Ok(exit.into())
}

fn parse(args: Vec<OsString>) -> Result<Called, clap::Error> {
    if !old_way(&args) {
        return Cli::try_parse_from(args).map(Called::Command);
    }
    OldWay::try_parse_from(args).map(|called| Called::OldWay(Box::new(called))).map_err(|mut error| {
        if error.kind() == ErrorKind::UnknownArgument {
            use clap::error::{ContextKind, ContextValue};
            let hint = "flags of the daemon and a command don't go together: `codexd --help` lists the commands, `codexd serve --help` the flags";
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
        }
        error
    })
}

/// Whether the daemon's flags stand where a subcommand would: nothing at all, or a flag that is not for everything.
fn old_way(args: &[OsString]) -> bool {
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        match arg.to_str().unwrap_or_default() {
            "--store-dir" => {
                rest.next();
            }
            "--json" => {}
            flag if flag.starts_with("--store-dir=") => {}
            "-h" | "--help" | "-V" | "--version" => return false,
            other => return other.starts_with('-'),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn called(words: &[&str]) -> Result<Called, clap::Error> {
        parse(std::iter::once("codexd").chain(words.iter().copied()).map(OsString::from).collect())
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
        OldWay::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn walk(command: &clap::Command, path: &[String]) -> usize {
            let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
            let error = called(&words).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0), "{path:?}");
            let nested = command.get_subcommands().filter(|command| command.get_name() != "help").map(|command| {
                let path: Vec<String> = path.iter().cloned().chain([command.get_name().to_owned()]).collect();
                walk(command, &path)
            });
            1 + nested.sum::<usize>()
        }
        assert!(walk(&Cli::command(), &[]) > 10);
    }

    #[test]
    fn without_a_command_it_serves_as_it_did() {
        for words in [&[][..], &["--port", "0"], &["--store-dir", "/x", "--host", "127.0.0.1"], &["--store-dir=/x"]] {
            assert!(matches!(called(words), Ok(Called::OldWay(_))), "{words:?}");
        }
        for words in [
            &["status"][..],
            &["--json", "status"],
            &["--store-dir", "/x", "sessions", "--json"],
            &["sessions", "list"],
        ] {
            assert!(matches!(called(words), Ok(Called::Command(_))), "{words:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        let wrong = [
            &["--port", "0", "status"][..],
            &["--json"],
            &["nonsense"],
            &["start"],
            &["start", "x", "--sandbox", "none"],
            &["continue", "only-a-session"],
            &["sessions", "show"],
        ];
        for words in wrong {
            let error = called(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
