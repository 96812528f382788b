//! `codexd sessions`: lists, shows, searches, changes, resumes, deletes and exports.

mod change;
mod export;
mod list;
mod show;
mod sink;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use types::WorktreeFate;

pub(super) use self::change::worktree_left;

use self::{export::Format, list::ListArgs};
use crate::{exit::Exit, globals::Globals};

/// What to do with sessions.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    command: Option<SessionsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// Lists sessions, newest activity first (what `codexd sessions` alone does)
    #[command(after_help = crate::exit::HELP)]
    List(ListArgs),
    /// Shows one session and what was said in it
    #[command(after_help = crate::exit::HELP)]
    Show {
        #[command(flatten)]
        session: SessionArg,
        /// How many of the newest turns are shown
        #[arg(long, value_name = "N", alias = "limit", default_value_t = 10)]
        turns: u32,
    },
    /// Searches titles and messages
    #[command(after_help = crate::exit::HELP)]
    Search {
        /// Words, or parts of words; all of them must be found
        #[arg(required = true)]
        words: Vec<String>,
        /// The most sessions that are shown
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
        limit: u32,
    },
    /// Gives a session a title, which automatic titles don't replace
    #[command(after_help = crate::exit::HELP)]
    Rename {
        #[command(flatten)]
        session: SessionArg,
        /// The title; several words are one title
        #[arg(required = true)]
        title: Vec<String>,
    },
    /// Takes the title from the session's latest prompt
    #[command(after_help = crate::exit::HELP)]
    Autoname {
        #[command(flatten)]
        session: SessionArg,
        /// Also when a person has given it a title
        #[arg(long)]
        force: bool,
    },
    /// Changes the folder that a session works in, from its next turn on, and prints it
    #[command(after_help = crate::exit::HELP)]
    Move {
        #[command(flatten)]
        session: SessionArg,
        /// The new folder [default: the current folder]
        dir: Option<PathBuf>,
    },
    /// Puts a session away: it is kept, left out of lists, and takes no turns
    #[command(after_help = crate::exit::HELP)]
    Archive {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Takes a session back that was put away
    #[command(after_help = crate::exit::HELP)]
    Unarchive {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Lets the turns of a session go on that are held, because the one before them was interrupted or lost
    #[command(after_help = crate::exit::HELP)]
    Resume {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Deletes a session for good: its turns, all that was said and done in them, and what a search finds of it; a turn that runs
    /// in it is interrupted
    #[command(after_help = crate::exit::HELP)]
    Delete {
        #[command(flatten)]
        session: SessionArg,
        /// Also deletes Codex's own record of the conversation, which otherwise stays below CODEX_HOME
        #[arg(long)]
        thread: bool,
        /// What becomes of the git worktree that the session has to itself: `auto` removes it when nothing would be lost, `keep` lets it
        /// stay, `remove` removes it with whatever would be lost
        #[arg(long, value_name = "FATE", value_parser = change::fate, default_value = "auto")]
        worktree: WorktreeFate,
        /// Deletes without asking; needed where nobody can be asked
        #[arg(long)]
        yes: bool,
    },
    /// Writes down all that was said and done in a session
    #[command(after_help = crate::exit::HELP)]
    Export {
        #[command(flatten)]
        session: SessionArg,
        /// For people, or for programs [default: markdown; json with --json]
        #[arg(long)]
        format: Option<Format>,
        /// The file to write; its content is there when it is whole. A pipe or a device is written through, and `-` is standard
        /// output [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which session.
#[derive(Debug, Args)]
struct SessionArg {
    /// The session: its id, the beginning of its id, or the id of any Codex thread that it has had
    session: String,
}

/// Asks the daemon and prints.
pub(crate) async fn run(args: SessionsArgs, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command.unwrap_or(SessionsCommand::List(args.list)) {
        SessionsCommand::List(args) => list::run(&args, globals).await,
        SessionsCommand::Show { session, turns } => show::run(&session.session, turns, globals).await,
        SessionsCommand::Search { words, limit } => list::search(&words.join(" "), limit, globals).await,
        SessionsCommand::Rename { session, title } => change::rename(&session.session, title.join(" "), globals).await,
        SessionsCommand::Autoname { session, force } => change::autoname(&session.session, force, globals).await,
        SessionsCommand::Move { session, dir } => change::relocate(&session.session, dir, globals).await,
        SessionsCommand::Archive { session } => change::archive(&session.session, true, globals).await,
        SessionsCommand::Unarchive { session } => change::archive(&session.session, false, globals).await,
        SessionsCommand::Resume { session } => change::resume(&session.session, globals).await,
        SessionsCommand::Delete { session, thread, worktree, yes } => {
            change::delete(&session.session, thread, worktree, yes, globals).await
        }
        SessionsCommand::Export { session, format, output } => {
            export::run(&session.session, format, output.as_deref(), globals).await
        }
    }
}
