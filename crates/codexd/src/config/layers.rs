//! Puts the file between the defaults and the environment, and remembers where each value came from.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args as _, Command, Parser, parser::ValueSource};
use serde_json::Value;

use super::{
    BadConfig, ConfigArg, ServeArgs,
    file::{Entry, File, HookEntry},
    keys::{self, Key, Kind, STORE_DIR, Scalar},
};
use crate::exit::{self, Exit};

/// What a secret looks like when it is shown.
const HIDDEN: &str = "(set)";

/// A command line with the file below it.
#[derive(Debug)]
pub(crate) struct Layered<P> {
    /// What was parsed.
    pub(crate) parsed: P,
    /// Where it came from.
    pub(crate) sources: Sources,
}

/// Where the settings came from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Each setting that the command takes.
    pub(crate) settings: Vec<Shown>,
    /// Who is told what happens; for a command that wants to know.
    pub(crate) hooks: Vec<HookEntry>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// What the operator should hear about the file.
    pub(crate) warnings: Vec<String>,
}

/// A setting as it is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its name in the file.
    pub(crate) name: String,
    /// Its value; null when it has none. Secrets are hidden.
    pub(crate) value: Value,
    /// Who said so.
    pub(crate) origin: Origin,
}

/// Who said what a setting is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody.
    Default,
    /// A line of the file.
    File {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Sources {
    /// Adds to an error of the daemon's where the settings that it names were set, unless that was on this command line.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let text = format!("{error:#}");
        let place = |setting: &Shown| match &setting.origin {
            Origin::File { .. } | Origin::Environment(_) if names(&text, &setting.name) => {
                Some(format!("--{} is from {}", setting.name, setting.origin))
            }
            _ => None,
        };
        let places: Vec<String> = self.settings.iter().filter_map(place).collect();
        if places.is_empty() {
            return error;
        }
        let text = format!("{text} ({})", places.join("; "));
        if exit::of(&error) == Exit::BadConfig { BadConfig(text).into() } else { anyhow::Error::msg(text) }
    }
}

/// Whether a text names this flag, and not only one whose name begins like it.
fn names(text: &str, name: &str) -> bool {
    let flag = format!("--{name}");
    text.match_indices(&flag).any(|(at, _)| {
        let next = text[at + flag.len()..].chars().next();
        !next.is_some_and(|c| c == '-' || c.is_ascii_alphanumeric())
    })
}

/// Parses arguments that `P` takes, with the configuration file below the environment. All of the file counts, and has to be
/// right, for a command with the flags of `codexd serve`; only the store's folder for any other, and its hooks for `codexd hooks`.
pub(crate) fn layered<P: Parser>(args: &[OsString]) -> anyhow::Result<Layered<P>> {
    let plain = P::command().try_get_matches_from(args)?;
    let (path, leaf) = leaf(&plain);
    let serves = takes_settings(&P::command(), &path);
    let config = ConfigArg { config: leaf.get_one::<PathBuf>("config").cloned() };
    let wants_hooks = serves || path.first().is_some_and(|command| command == "hooks");
    let about_the_file = path.first().is_some_and(|command| command == "config") && !serves;
    let store_is_named = is_explicit(leaf, "store_dir");
    let file = match config.path() {
        _ if about_the_file => None,
        // An unreadable file is in nobody's way who wants nothing of it.
        Ok(_) if config.config.is_none() && store_is_named && !wants_hooks => None,
        Ok(path) => File::read(&path, config.config.is_some())?,
        Err(_) if config.config.is_none() => None,
        Err(error) => return Err(error.into()),
    };
    let hooks = match &file {
        Some(file) if wants_hooks => file.hooks(),
        _ => Ok(Vec::new()),
    };
    let entries = match &file {
        Some(file) if serves => match (file.entries(), &hooks) {
            (Err(BadConfig(first)), Err(BadConfig(second))) => {
                return Err(BadConfig(format!("{first}\n{second}")).into());
            }
            (entries, _) => entries?,
        },
        Some(file) if !store_is_named => file.store_dir()?.into_iter().collect(),
        _ => Vec::new(),
    };
    let hooks = hooks?;
    let keys = keys::all();
    let mut command = P::command();
    for key in keys.iter().filter(|key| !is_explicit(leaf, key.id())) {
        let Some(entry) = entries.iter().find(|entry| entry.name == key.name()) else { continue };
        command =
            if key.name() == STORE_DIR { with(command, &[], key, entry) } else { with(command, &path, key, entry) };
    }
    let wrong = |error: clap::Error| {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        match &file {
            Some(file) => BadConfig(format!("{}: {text}", file.path().display())),
            None => BadConfig(text.to_owned()),
        }
    };
    let matches = command.try_get_matches_from(args).map_err(wrong)?;
    let parsed = P::from_arg_matches(&matches).map_err(wrong)?;
    let (_, last) = self::leaf(&matches);
    let shown = |key: &Key| Shown {
        name: key.name().to_owned(),
        value: value(key, last),
        origin: origin(key, leaf, &entries, file.as_ref().map(File::path)),
    };
    let settings = if serves { keys.iter().map(shown).collect() } else { Vec::new() };
    let warnings = file.iter().filter_map(File::warning).collect();
    let file = file.map(|file| file.path().to_owned());
    Ok(Layered { parsed, sources: Sources { settings, hooks, file, warnings } })
}

/// The subcommand that was called, as the names on the way to it, and what it was given.
fn leaf(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut path, mut at) = (Vec::new(), matches);
    while let Some((name, below)) = at.subcommand() {
        path.push(name.to_owned());
        at = below;
    }
    (path, at)
}

fn takes_settings(command: &Command, path: &[String]) -> bool {
    let leaf = path.iter().try_fold(command, |command, name| command.find_subcommand(name));
    let wanted = ServeArgs::group_id();
    leaf.is_some_and(|leaf| leaf.get_groups().any(|group| Some(group.get_id()) == wanted.as_ref()))
}

/// Makes what the file says the default of one flag.
fn with(command: Command, path: &[String], key: &Key, entry: &Entry) -> Command {
    match path {
        // The delimiter is for the environment: in the file a list has brackets.
        [] => command.mut_arg(key.id(), |arg| arg.value_delimiter(None::<char>).default_values(&entry.values)),
        [next, rest @ ..] => command.mut_subcommand(next, |command| with(command, rest, key, entry)),
    }
}

/// Whether a flag or the environment says something about it.
fn is_explicit(matches: &ArgMatches, id: &str) -> bool {
    matches!(source(matches, id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// As [`ArgMatches::value_source`], which must not be asked for what a command does not have.
fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    matches.try_contains_id(id).is_ok_and(|there| there).then(|| matches.value_source(id)).flatten()
}

fn origin(key: &Key, plain: &ArgMatches, entries: &[Entry], file: Option<&Path>) -> Origin {
    match (source(plain, key.id()), key.env()) {
        (Some(ValueSource::CommandLine), _) => return Origin::Flag(format!("--{}", key.name())),
        (Some(ValueSource::EnvVariable), Some(name)) => return Origin::Environment(name.to_owned()),
        _ => {}
    }
    let entry = entries.iter().find(|entry| entry.name == key.name());
    match (entry, file) {
        (Some(entry), Some(file)) => Origin::File { file: file.to_owned(), line: entry.line },
        _ => Origin::Default,
    }
}

fn value(key: &Key, matches: &ArgMatches) -> Value {
    let raw = matches.try_get_raw(key.id()).ok().flatten();
    let mut texts = raw.into_iter().flatten().map(OsStr::to_string_lossy);
    match key.kind() {
        _ if key.is_secret() => texts.next().map_or(Value::Null, |_| HIDDEN.into()),
        Kind::Switch => matches.try_get_one::<bool>(key.id()).ok().flatten().copied().unwrap_or(false).into(),
        Kind::List(_) => texts.map(Value::from).collect(),
        Kind::One(scalar) => texts.next().map_or(Value::Null, |text| match text.parse::<u64>() {
            Ok(number) if scalar == Scalar::Number => number.into(),
            _ => text.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_named_by_its_whole_name() {
        assert!(names("--host \"x\" is no address", "host"));
        assert!(names("needs --allow-never: Codex", "allow-never"));
        assert!(!names("--token-file x", "token"));
        assert!(!names("the host", "host"));
    }

    #[test]
    fn an_error_tells_where_its_settings_were_set() {
        let file = || Origin::File { file: "/etc/config.toml".into(), line: 3 };
        let shown = |name: &str, origin| Shown { name: name.into(), value: Value::Null, origin };
        let settings = vec![
            shown("host", file()),
            shown("port", file()),
            shown("sandbox", Origin::Environment("CODEXD_SANDBOX".into())),
            shown("allow-never", Origin::Flag("--allow-never".into())),
        ];
        let sources = Sources { settings, ..Sources::default() };
        let error = sources.explain(BadConfig("--host, --sandbox and --allow-never don't fit".into()).into());
        assert_eq!(exit::of(&error), Exit::BadConfig);
        assert_eq!(
            error.to_string(),
            "--host, --sandbox and --allow-never don't fit (--host is from /etc/config.toml:3; --sandbox is from environment \
             CODEXD_SANDBOX)"
        );
        let other = sources.explain(anyhow::anyhow!("choose another --port"));
        assert_eq!(exit::of(&other), Exit::Other);
        assert_eq!(other.to_string(), "choose another --port (--port is from /etc/config.toml:3)");
        assert_eq!(sources.explain(anyhow::anyhow!("the disk is full")).to_string(), "the disk is full");
    }
}
