//! What a configuration file may say: the long flags of `codexd serve`, and `--store-dir`.
//!
//! Nothing is listed here. Names, types, defaults, help and environment names are read off clap's description of the flags.

use std::{
    any::TypeId,
    error::Error as _,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{Arg, ArgAction, Args as _, Command, ValueHint, error::ErrorKind};

use super::{ServeArgs, StoreArg};

/// The one key that matters to every command.
pub(super) const STORE_DIR: &str = "store-dir";

/// How many values a key takes, and of which type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// true or false.
    Switch,
    /// One value.
    One(Scalar),
    /// Any number of values.
    List(Scalar),
}

/// The type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A string.
    Text,
    /// A string that names a file or a folder.
    Path,
    /// A string that names a program, maybe with arguments.
    Command,
    /// A number, or a string that the flag's own parser makes a number of (`"1MiB"`).
    Number,
    /// Whatever the flag's own parser makes something of.
    Other,
}

/// One setting.
#[derive(Debug, Clone)]
pub(super) struct Key {
    arg: Arg,
    name: String,
}

impl Key {
    /// Its name in the file: that of its flag, without the dashes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What clap calls it.
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// The name of its environment variable.
    pub(super) fn env(&self) -> Option<&str> {
        self.arg.get_env().and_then(OsStr::to_str)
    }

    /// What it means, in one or more paragraphs.
    pub(super) fn help(&self) -> String {
        self.arg.get_long_help().or_else(|| self.arg.get_help()).map(ToString::to_string).unwrap_or_default()
    }

    /// What its value is called in the help.
    pub(super) fn value_name(&self) -> String {
        let named = self.arg.get_value_names().and_then(|names| names.first());
        named.map_or_else(|| self.name.clone(), |name| name.to_ascii_lowercase())
    }

    /// What is taken when nobody says anything.
    pub(super) fn default(&self) -> Vec<String> {
        self.arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
    }

    /// It must not be shown, and not be written where files are shown and copied.
    pub(super) fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
    }

    pub(super) fn kind(&self) -> Kind {
        match self.arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => Kind::Switch,
            ArgAction::Append => Kind::List(self.scalar()),
            _ if self.is_a::<bool>() => Kind::Switch,
            _ => Kind::One(self.scalar()),
        }
    }

    fn scalar(&self) -> Scalar {
        let number = self.is_a::<u8>() || self.is_a::<u16>() || self.is_a::<u32>() || self.is_a::<u64>();
        if number || self.is_a::<usize>() || self.is_a::<i32>() || self.is_a::<i64>() {
            return Scalar::Number;
        }
        match self.arg.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath | ValueHint::ExecutablePath => Scalar::Path,
            ValueHint::CommandString | ValueHint::CommandName => Scalar::Command,
            _ if self.is_a::<PathBuf>() => Scalar::Path,
            _ if self.is_a::<String>() || self.is_a::<OsString>() => Scalar::Text,
            _ => Scalar::Other,
        }
    }

    fn is_a<T: 'static>(&self) -> bool {
        self.arg.get_value_parser().type_id() == TypeId::of::<T>()
    }

    /// Whether the flag takes this value; if not, what its parser says.
    pub(super) fn check(&self, value: &OsStr) -> Result<(), String> {
        let alone = |arg: Arg| arg.env(None::<&'static str>).value_delimiter(None::<char>).required(false);
        let mut flag = OsString::from(format!("--{}=", self.name));
        flag.push(value);
        match command().mut_args(alone).try_get_matches_from([OsString::from("codexd"), flag]) {
            Err(error) if is_about_the_value(error.kind()) => Err(reason(&error)),
            _ => Ok(()),
        }
    }
}

fn is_about_the_value(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8)
}

/// What a parser said, without what clap says around it: that is about flags.
pub(super) fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    let text = error.to_string();
    let first = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let first: Vec<&str> = first.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
    first.join(" ")
}

/// All flags that are settings, and nothing else.
fn command() -> Command {
    ServeArgs::augment_args(StoreArg::augment_args(Command::new("codexd")))
}

/// All settings, in the order in which they are declared.
pub(super) fn all() -> Vec<Key> {
    let key = |arg: &Arg| Some(Key { name: arg.get_long()?.to_owned(), arg: arg.clone() });
    command().get_arguments().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        all().into_iter().find(|key| key.name() == name).unwrap()
    }

    #[test]
    fn types_are_those_of_the_flags() {
        let kinds = [
            ("store-dir", Kind::One(Scalar::Path)),
            ("host", Kind::One(Scalar::Text)),
            ("port", Kind::One(Scalar::Number)),
            ("allow-root", Kind::List(Scalar::Path)),
            ("allow-host", Kind::List(Scalar::Text)),
            ("codex-cmd", Kind::One(Scalar::Command)),
            ("sandbox", Kind::One(Scalar::Other)),
            ("turn-timeout", Kind::One(Scalar::Other)),
            ("max-body-bytes", Kind::One(Scalar::Number)),
            ("no-auth", Kind::Switch),
        ];
        for (name, kind) in kinds {
            assert_eq!(key(name).kind(), kind, "{name}");
        }
        let secrets: Vec<String> =
            all().iter().filter(|key| key.is_secret()).map(|key| key.name().to_owned()).collect();
        assert_eq!(secrets, ["token"]);
        assert!(
            all().iter().all(|key| key.env().is_some() && !key.help().is_empty()),
            "help and config show need them"
        );
    }

    #[test]
    fn a_value_is_judged_by_the_parser_of_its_flag() {
        let check = |name: &str, value: &str| key(name).check(OsStr::new(value));
        for (name, value) in
            [("port", "0"), ("max-body-bytes", "1MiB"), ("turn-timeout", "600"), ("allow-root", "/a:/b")]
        {
            assert_eq!(check(name, value), Ok(()), "{name} {value}");
        }
        for (name, value, word) in [
            ("port", "70000", "65535"),
            ("port", "-1", "65535"),
            ("max-body-bytes", "lots", "1MiB"),
            ("turn-timeout", "soon", "24h"),
            ("sandbox", "none", "read-only"),
            ("cwd", "", "value"),
        ] {
            let said = check(name, value).unwrap_err();
            assert!(
                said.contains(word) && !said.contains("--help") && !said.contains("error:"),
                "{name} {value}: {said}"
            );
        }
    }
}
