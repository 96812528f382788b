//! Reading a configuration file: TOML, one setting a line, checked before anything is done with it.
//!
//! Everything that is wrong is told at once, in the order of the file, with the line (and for values the column).

use std::{
    ffi::OsString,
    io::Read as _,
    ops::Range,
    path::{Path, PathBuf, is_separator},
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

mod hooks;

use self::hooks::HOOKS;
pub(crate) use self::hooks::{HookEntry, HowEntry};
use super::{
    BadConfig, bad,
    keys::{self, Key, Kind, STORE_DIR, Scalar},
};

/// The largest file that is read.
const LIMIT: u64 = 1024 * 1024;

/// How much alike two names must be for the one to be meant by the other.
const ALIKE: f64 = 0.7;

/// A file that is there.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: String,
    /// Its mode, if others may write to it.
    loose: Option<u32>,
}

/// What the file says about one setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The setting.
    pub(super) name: String,
    /// Where it stands.
    pub(super) line: usize,
    /// Its values, as its flag would be given them.
    pub(super) values: Vec<OsString>,
}

/// Something wrong, and where.
struct Problem(usize, String);

impl File {
    /// Reads it. `None`: there is none, and nobody `named` it.
    pub(super) fn read(path: &Path, named: bool) -> Result<Option<Self>, BadConfig> {
        let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let unreadable = |error| bad(format!("the configuration file {} can't be read: {error}", path.display()));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return bad(format!(
                    "--config: there is no file {}; `codexd --config {0} config init` writes one",
                    path.display()
                ));
            }
            Err(error) => return unreadable(error),
        };
        let mut bytes = Vec::new();
        if let Err(error) = file.take(LIMIT + 1).read_to_end(&mut bytes) {
            return unreadable(error);
        }
        if bytes.len() as u64 > LIMIT {
            return bad(format!("{} is larger than a configuration file can be (1 MiB)", path.display()));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Self { path: path.to_owned(), text, loose: loose(&metadata) })),
            Err(error) => {
                let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
                bad(format!("{}:{}: this is not UTF-8", path.display(), line + 1))
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the operator should hear about it.
    pub(super) fn warning(&self) -> Option<String> {
        self.loose.map(|mode| {
            format!(
                "{} can be written by others (mode {mode:04o}), who can so choose what runs as you: chmod go-w it",
                self.path.display()
            )
        })
    }

    /// What it says, in its order.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, BadConfig> {
        let keys = keys::all();
        let mut problems = Vec::new();
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (name, value) in self.table()?.get_ref().iter().filter(|(name, _)| name.get_ref() != HOOKS) {
            match self.entry(&keys, name, value) {
                Ok(entry) => entries.push((name.span().start, entry)),
                Err(found) => problems.extend(found),
            }
        }
        entries.sort_by_key(|(at, _)| *at);
        for (index, (at, entry)) in entries.iter().enumerate() {
            if let Some((_, first)) = entries[..index].iter().find(|(_, other)| other.name == entry.name) {
                let text = format!("\"{}\" stands in line {} already", entry.name, first.line);
                problems.push(self.at_line(*at, &text));
            }
        }
        if problems.is_empty() {
            return Ok(entries.into_iter().map(|(_, entry)| entry).collect());
        }
        problems.sort_by_key(|Problem(at, _)| *at);
        let texts: Vec<String> = problems.into_iter().map(|Problem(_, text)| text).collect();
        bad(texts.join("\n"))
    }

    /// What it says about the store, whatever else is wrong with it (as long as it is TOML).
    pub(super) fn store_dir(&self) -> Result<Option<Entry>, BadConfig> {
        let keys = keys::all();
        let table = self.table()?;
        let Some((name, value)) = table.get_ref().iter().find(|(name, _)| kebab(name.get_ref()) == STORE_DIR) else {
            return Ok(None);
        };
        match self.entry(&keys, name, value) {
            Ok(entry) => Ok(Some(entry)),
            Err(problems) => bad(problems.into_iter().map(|Problem(_, text)| text).collect::<Vec<_>>().join("\n")),
        }
    }

    fn table(&self) -> Result<Spanned<DeTable<'_>>, BadConfig> {
        DeTable::parse(&self.text).or_else(|error| {
            let Problem(_, text) = self.at(&error.span().unwrap_or(0..0), error.message());
            bad(text)
        })
    }

    fn entry(
        &self,
        keys: &[Key],
        written: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, Vec<Problem>> {
        let at = written.span().start;
        let name = kebab(written.get_ref());
        let Some(key) = keys.iter().find(|key| key.name() == name) else {
            return Err(vec![self.at_line(at, &unknown(keys, written.get_ref(), value.get_ref().is_table()))]);
        };
        if key.is_secret() {
            let file = format!("{name}-file");
            let instead = if keys.iter().any(|key| key.name() == file) {
                format!("; write it into a file of its own, and the name of that here, with {file} = \"…\"")
            } else {
                String::new()
            };
            let text = format!("\"{name}\" is a secret, and this file is no place for one{instead}");
            return Err(vec![self.at_line(at, &text)]);
        }
        let values = self.values(key, value)?;
        Ok(Entry { name, line: self.position(at).0, values })
    }

    fn values(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Vec<Problem>> {
        match (key.kind(), value.get_ref()) {
            (Kind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string().into()]),
            (Kind::Switch, _) => Err(vec![self.mismatch(key, value, "true or false")]),
            (Kind::One(scalar), _) => self.scalar(key, scalar, value).map(|value| vec![value]).map_err(|p| vec![p]),
            (Kind::List(scalar), DeValue::Array(items)) => {
                let (mut values, mut problems) = (Vec::new(), Vec::new());
                for item in items {
                    match self.scalar(key, scalar, item) {
                        Ok(value) => values.push(value),
                        Err(problem) => problems.push(problem),
                    }
                }
                if problems.is_empty() { Ok(values) } else { Err(problems) }
            }
            // A list of one may be written without its brackets.
            (Kind::List(scalar), DeValue::String(_) | DeValue::Integer(_)) => {
                self.scalar(key, scalar, value).map(|value| vec![value]).map_err(|problem| vec![problem])
            }
            (Kind::List(_), _) => Err(vec![self.mismatch(key, value, "a list, such as [\"one\", \"two\"]")]),
        }
    }

    fn scalar(&self, key: &Key, scalar: Scalar, value: &Spanned<DeValue<'_>>) -> Result<OsString, Problem> {
        let wanted = match scalar {
            Scalar::Number => "a number",
            Scalar::Other if key.check("1".as_ref()).is_ok() => "a string or a number",
            _ => "a string",
        };
        let given = match (scalar, value.get_ref()) {
            (Scalar::Number, DeValue::String(text)) if text.parse::<i128>().is_ok() => {
                return Err(self.mismatch(key, value, "a number: write it without quotes"));
            }
            (Scalar::Path, DeValue::String(text)) => self.path_from(text),
            (Scalar::Command, DeValue::String(text)) => self.command_from(text),
            (_, DeValue::String(text)) => text.as_ref().into(),
            (Scalar::Number | Scalar::Other, DeValue::Integer(number)) => {
                let plain = i128::from_str_radix(number.as_str(), number.radix());
                plain.map_or_else(|_| number.as_str().to_owned(), |plain| plain.to_string()).into()
            }
            _ => return Err(self.mismatch(key, value, wanted)),
        };
        match key.check(&given) {
            Ok(()) => Ok(given),
            Err(reason) => {
                let text = format!("\"{}\" can't be {}: {reason}", key.name(), found(value.get_ref()));
                Err(self.at(&value.span(), &text))
            }
        }
    }

    /// A path, seen from the file's folder. The empty one stays what it is, and is refused as such.
    fn path_from(&self, text: &str) -> OsString {
        if text.is_empty() {
            return OsString::new();
        }
        if let Some(below) = below_home(text)
            && let Ok(home) = etcetera::home_dir()
        {
            return if below.is_empty() { home.into() } else { home.join(below).into() };
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        // Without the dot of `./x`.
        folder.join(text).components().collect::<PathBuf>().into()
    }

    /// A command: when its first word is a path, it is seen from the file's folder. A bare name is looked up on PATH.
    fn command_from(&self, text: &str) -> OsString {
        let (first, rest) = text.find(char::is_whitespace).map_or((text, ""), |end| text.split_at(end));
        let is_path = first.contains(is_separator) || below_home(first).is_some();
        if !is_path || first.starts_with(['"', '\'']) || Path::new(first).is_absolute() {
            return text.into();
        }
        let path = self.path_from(first);
        let mut command = OsString::new();
        let quote = if path.to_string_lossy().contains(char::is_whitespace) { "\"" } else { "" };
        for part in [quote.as_ref(), path.as_os_str(), quote.as_ref(), rest.as_ref()] {
            command.push(part);
        }
        command
    }

    fn mismatch(&self, key: &Key, value: &Spanned<DeValue<'_>>, wanted: &str) -> Problem {
        let text = format!("\"{}\" is {} and must be {wanted}", key.name(), found(value.get_ref()));
        self.at(&value.span(), &text)
    }

    fn at(&self, span: &Range<usize>, text: &str) -> Problem {
        let (line, column) = self.position(span.start);
        Problem(span.start, format!("{}:{line}:{column}: {text}", self.path.display()))
    }

    fn at_line(&self, at: usize, text: &str) -> Problem {
        Problem(at, format!("{}:{}: {text}", self.path.display(), self.position(at).0))
    }

    /// Line and column, from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// What stands behind `~/`.
fn below_home(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('~')?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(is_separator) }
}

/// The name of the flag: people may write `allow_root` for `allow-root`.
fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

fn unknown(keys: &[Key], written: &str, section: bool) -> String {
    let name = kebab(written);
    let likeness = |key: &&Key| strsim::jaro(&name, key.name());
    let nearest = keys.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|key| likeness(key) > ALIKE) {
        _ if strsim::jaro(&name, HOOKS) > 0.9 => format!("there is no {written:?}; did you mean [[{HOOKS}]]?"),
        _ if section => format!("there is no section [{written}]; settings stand alone, without sections"),
        Some(nearest) => format!("there is no setting {written:?}; did you mean \"{}\"?", nearest.name()),
        None => format!("there is no setting {written:?}; `codexd serve --help` lists them"),
    }
}

/// What stands there, in words.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

#[cfg(unix)]
fn loose(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    // What is no file, such as /dev/null, is nobody's settings.
    (metadata.is_file() && mode & 0o022 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn loose(_metadata: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests;
