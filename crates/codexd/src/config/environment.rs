//! Environment variables that can't be used. clap tells of them as of flags, and nobody has written that flag: so they are found out
//! and named.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
};

use clap::{Arg, Command, Parser};

use super::{BadConfig, keys::reason};

/// The variable that keeps these arguments from being parsed, and why; nothing when the arguments themselves do.
pub(crate) fn blamed<P: Parser>(args: &[OsString]) -> Option<BadConfig> {
    let parsed = |only: Option<&OsStr>| hearing(P::command(), only).try_get_matches_from(args);
    if parsed(None).is_err() {
        return None;
    }
    let mut all = BTreeSet::new();
    collect(&P::command(), &mut all);
    all.into_iter().find_map(|(name, secret)| {
        let value = env::var_os(&name)?;
        let error = parsed(Some(&name)).err()?;
        let name = name.to_string_lossy();
        Some(BadConfig(if value.is_empty() {
            format!("the environment variable {name} is set and empty; give it a value, or unset it")
        } else if secret {
            format!("the environment variable {name} can't be used: {}", reason(&error))
        } else {
            format!("the environment variable {name} can't be {value:?}: {}", reason(&error))
        }))
    })
}

/// A command that hears of no environment variable but this one.
fn hearing(command: Command, only: Option<&OsStr>) -> Command {
    let deaf = |arg: Arg| if arg.get_env() == only { arg } else { arg.env(None::<&'static str>) };
    command.mut_args(deaf).mut_subcommands(|command| hearing(command, only))
}

/// The variables of a whole tree, and whether their values must not be shown.
fn collect(command: &Command, all: &mut BTreeSet<(OsString, bool)>) {
    let named = |arg: &Arg| Some((arg.get_env()?.to_owned(), arg.is_hide_env_values_set()));
    all.extend(command.get_arguments().filter_map(named));
    command.get_subcommands().for_each(|command| collect(command, all));
}
