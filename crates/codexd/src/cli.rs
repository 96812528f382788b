//! The command line: its tree, and what runs for each leaf.
//!
//! Called without a subcommand `codexd` serves as the first version did. The flags of `serve` are then read by a parser of
//! their own ([`OldWay`]) and not by the tree: so a flag of the daemon cannot slip before a subcommand unnoticed, and an
//! environment that is meant for the daemon cannot break `codexd status`.
//!
//! What was called is decided by the arguments and the environment alone; then they are parsed again with the configuration
//! file below them ([`config`](mod@crate::config)).

use std::{ffi::OsString, process::ExitCode};

use clap::{
    CommandFactory as _, Parser, Subcommand,
    builder::{FalseyValueParser, TypedValueParser as _},
    error::ErrorKind,
};
use serde_json::json;

use crate::{
    commands::{
        self,
        agent::AgentArgs,
        approvals::ApprovalsArgs,
        backup::{BackupArgs, RestoreArgs},
        check::CheckArgs,
        codex::CodexCommand,
        completions::CompletionsArgs,
        config::ConfigCommand,
        continue_::ContinueArgs,
        demo::DemoArgs,
        fork::ForkArgs,
        gc::GcArgs,
        hooks::HooksCommand,
        import::ImportArgs,
        interrupt::InterruptArgs,
        man::ManArgs,
        sessions::SessionsArgs,
        start::StartArgs,
        steer::SteerArgs,
        stop::StopArgs,
        token::TokenCommand,
        turn::TurnCommand,
        watch::WatchArgs,
    },
    config::{ConfigArg, Layered, ServeArgs, StoreArg, blamed, layered},
    exit,
    globals::Globals,
    output, serve,
};

/// Keeps one Codex warm on this machine and lets other programs use it.
///
/// Without a command it serves as the first version did, with the flags of `codexd serve`.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten, next_help_heading = GLOBALS)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon, in the foreground
    #[command(after_help = exit::HELP)]
    Serve(Box<ServeArgs>),
    /// Starts a session with a prompt, in this folder, shows what happens, and prints the answer
    #[command(after_help = exit::HELP)]
    Start(StartArgs),
    /// Continues a session with a prompt, shows what happens, and prints the answer
    #[command(after_help = exit::HELP)]
    Continue(ContinueArgs),
    /// Lists, shows, searches, names, moves, archives, deletes and exports sessions
    #[command(after_help = exit::HELP)]
    Sessions(SessionsArgs),
    /// Shows a turn, waits for its end, or asks the same again
    #[command(subcommand, after_help = exit::HELP)]
    Turn(TurnCommand),
    /// Lists, shows and answers what Codex asks before it acts
    #[command(after_help = exit::HELP)]
    Approvals(ApprovalsArgs),
    /// Ends a turn that runs or waits, and waits for its end; a success when it was interrupted or had completed
    #[command(after_help = exit::HELP)]
    Interrupt(InterruptArgs),
    /// Shows what happens in a session, or in all, as it happens
    #[command(after_help = exit::HELP)]
    Watch(WatchArgs),
    /// Says something more to a turn that runs, without waiting for what comes of it
    #[command(after_help = exit::HELP)]
    Steer(SteerArgs),
    /// Makes a new session with the history of another one, and a future of its own; prints its id
    #[command(after_help = exit::HELP)]
    Fork(ForkArgs),
    /// Tells how the daemon and its Codex are; a success when Codex takes turns and the store can
    /// be written
    #[command(after_help = exit::HELP)]
    Status,
    /// Shows the Codex that codexd keeps, or starts it anew
    #[command(after_help = exit::HELP)]
    Agent(AgentArgs),
    /// Stops the daemon, and waits until it is gone; turns that run go on for the next one
    #[command(after_help = exit::HELP)]
    Stop(StopArgs),
    /// Makes, lists and ends the tokens that let programs in by TCP
    #[command(subcommand, after_help = exit::HELP)]
    Token(TokenCommand),
    /// Tells which Codex would be run, or installs one
    #[command(subcommand, after_help = exit::HELP)]
    Codex(CodexCommand),
    /// Lists and tests the hooks of the configuration file, which are told when something happens
    #[command(subcommand, after_help = exit::HELP)]
    Hooks(HooksCommand),
    /// Writes, shows and finds the configuration file
    #[command(subcommand, after_help = exit::HELP)]
    Config(ConfigCommand),
    /// Takes over the sessions of the first version's store
    #[command(after_help = exit::HELP)]
    Import(ImportArgs),
    /// Writes the whole store into a file, also while the daemon runs, and checks it
    #[command(after_help = exit::HELP)]
    Backup(BackupArgs),
    /// Puts a backup in the place of the store, which no daemon may have, and keeps what was there
    #[command(after_help = exit::HELP)]
    Restore(RestoreArgs),
    /// Tells whether the store is sound: the file, the search index, counts and states; a success when nothing is wrong, or not
    /// any more
    #[command(after_help = exit::HELP)]
    Check(CheckArgs),
    /// Deletes archived sessions in which nothing has happened for long, and gives their space back
    #[command(after_help = exit::HELP)]
    Gc(GcArgs),
    /// Prints what a shell needs to complete commands and flags
    #[command(after_help = exit::HELP)]
    Completions(CompletionsArgs),
    /// Prints a manual page, or writes all of them
    #[command(after_help = exit::HELP)]
    Man(ManArgs),
    /// Shows what codexd does, with the real Codex and a scripted model: needs no login and touches nothing of yours
    #[command(after_help = exit::HELP)]
    Demo(DemoArgs),
}

/// What the program is called.
pub(crate) const NAME: &str = "codexd";

/// What stands above the flags that every command takes.
const GLOBALS: &str = "Options of every command";

/// The whole tree of commands.
pub(crate) fn tree() -> clap::Command {
    Cli::command()
}

/// `codexd` without a subcommand, as the first version was called.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = exit::HELP)]
struct OldWay {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug)]
enum Called {
    OldWay,
    /// One of the tree; `--json` decides how its errors are told.
    Command {
        json: bool,
    },
}

/// Parses the arguments, runs what they say, and tells what went wrong.
pub(crate) async fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let (result, json) = match parse(&args) {
        Ok(Called::OldWay) => (old_way_serves(&args).await, false),
        Ok(Called::Command { json }) => (command(&args).await, json),
        Err(error) => return not_parsed(&error, &args),
    };
    result.unwrap_or_else(|error| exit::report(&error, json))
}

fn not_parsed(error: &clap::Error, args: &[OsString]) -> ExitCode {
    // A reader who has gone needs no help.
    if !error.use_stderr() {
        let _ = error.print();
        return exit::Exit::Completed.into();
    }
    let json = wants_json(args);
    let blamed = if old_way(args) { blamed::<OldWay>(args) } else { blamed::<Cli>(args) };
    if let Some(variable) = blamed {
        return exit::report(&variable.into(), json);
    }
    let _ = error.print();
    if json {
        output::line(&json!({ "error": in_short(error) }).to_string());
    }
    exit::Exit::Usage.into()
}

/// Whether errors are told to a program, by what can be seen of that in arguments that can't be parsed.
fn wants_json(args: &[OsString]) -> bool {
    let flag = args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let variable = || std::env::var_os("CODEXD_JSON");
    flag || variable().is_some_and(|value| FalseyValueParser::new().parse_ref(&tree(), None, &value).unwrap_or(false))
}

/// What clap says is wrong, without its usage.
fn in_short(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "the command is not whole; --help tells what it takes".to_owned();
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    text[..end.unwrap_or(text.len())].trim_end().to_owned()
}

async fn old_way_serves(args: &[OsString]) -> anyhow::Result<ExitCode> {
    let Layered { parsed: OldWay { store, mut serve, .. }, sources } = layered(args)?;
    (serve.file_warnings, serve.hooks) = (sources.warnings.clone(), sources.hooks.clone());
    serve::run(serve, &store, true).await.map_err(|error| sources.explain(error))
}

async fn command(args: &[OsString]) -> anyhow::Result<ExitCode> {
    let Layered { parsed: cli, sources } = layered::<Cli>(args)?;
    let globals = cli.globals;
    let exit = match cli.command {
        Command::Serve(mut args) => {
            (args.file_warnings, args.hooks) = (sources.warnings.clone(), sources.hooks.clone());
            return serve::run(*args, &globals.store, false).await.map_err(|error| sources.explain(error));
        }
        Command::Hooks(command) => commands::hooks::run(command, &globals, &sources).await?,
        Command::Config(command) => commands::config::run(&command, &globals, &sources)?,
        Command::Start(args) => commands::start::run(args, &globals).await?,
        Command::Continue(args) => commands::continue_::run(args, &globals).await?,
        Command::Sessions(args) => commands::sessions::run(args, &globals).await?,
        Command::Turn(command) => commands::turn::run(command, &globals).await?,
        Command::Approvals(args) => commands::approvals::run(args, &globals).await?,
        Command::Interrupt(args) => commands::interrupt::run(args, &globals).await?,
        Command::Watch(args) => commands::watch::run(args, &globals).await?,
        Command::Steer(args) => commands::steer::run(args, &globals).await?,
        Command::Fork(args) => commands::fork::run(args, &globals).await?,
        Command::Status => commands::status::run(&globals).await?,
        Command::Agent(args) => commands::agent::run(args, &globals).await?,
        Command::Stop(args) => commands::stop::run(args, &globals).await?,
        Command::Token(command) => commands::token::run(command, &globals).await?,
        Command::Codex(command) => commands::codex::run(command, &globals).await?,
        Command::Import(args) => commands::import::run(args, &globals).await?,
        Command::Backup(args) => commands::backup::run(args, &globals).await?,
        Command::Restore(args) => commands::backup::restore(args, &globals).await?,
        Command::Check(args) => commands::check::run(args, &globals).await?,
        Command::Gc(args) => commands::gc::run(args, &globals).await?,
        Command::Completions(args) => commands::completions::run(&args)?,
        Command::Man(args) => commands::man::run(&args)?,
        Command::Demo(args) => commands::demo::run(args, &globals).await?,
    };
    output::flush()?;
    Ok(exit.into())
}

fn parse(args: &[OsString]) -> Result<Called, clap::Error> {
    if !old_way(args) {
        return Cli::try_parse_from(args).map(|cli| Called::Command { json: cli.globals.json });
    }
    OldWay::try_parse_from(args).map(|_| Called::OldWay).map_err(|mut error| {
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
            "--store-dir" | "--config" => {
                rest.next();
            }
            "--json" => {}
            flag if flag.starts_with("--store-dir=") || flag.starts_with("--config=") => {}
            "-h" | "--help" | "-V" | "--version" => return false,
            other => return other.starts_with('-'),
        }
    }
    true
}

#[cfg(test)]
mod described;

#[cfg(test)]
mod tests {
    use super::*;

    fn called(words: &[&str]) -> Result<Called, clap::Error> {
        let args: Vec<OsString> = std::iter::once("codexd").chain(words.iter().copied()).map(OsString::from).collect();
        parse(&args)
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
        for words in [
            &[][..],
            &["--port", "0"],
            &["--store-dir", "/x", "--host", "127.0.0.1"],
            &["--store-dir=/x"],
            &["--config", "x"],
        ] {
            assert!(matches!(called(words), Ok(Called::OldWay)), "{words:?}");
        }
        for words in [
            &["status"][..],
            &["--json", "status"],
            &["--store-dir", "/x", "sessions", "--json"],
            &["sessions", "list"],
            &["--config", "/x", "config", "path"],
        ] {
            assert!(matches!(called(words), Ok(Called::Command { .. })), "{words:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        let wrong = [
            &["--port", "0", "status"][..],
            &["--json"],
            &["nonsense"],
            &["start", "x", "--sandbox", "none"],
            &["start", "x", "--detach", "--timeout", "1s"],
            &["start", "x", "--from", "1", "--tail", "1"],
            &["start", "x", "--label", "no-value"],
            &["start", "--prompt-file", "x", "--prompt-b64", "eA=="],
            &["sessions", "show"],
            &["sessions", "--limit", "1", "show", "x"],
            &["turn"],
            &["turn", "show"],
            &["turn", "show", "x", "--items", "--from", "1", "--tail", "1"],
            &["token", "new", "x", "--scope", "everything"],
        ];
        for words in wrong {
            let error = called(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
