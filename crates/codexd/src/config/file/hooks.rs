//! The `[[hooks]]` of a configuration file: who is told, of what, and how.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use hooks::{DEFAULT_TIMEOUT, LONGEST_TIMEOUT, Selection, Target};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{super::units::parse_time, ALIKE, BadConfig, File, Problem, bad, found, kebab};

/// The section.
pub(super) const HOOKS: &str = "hooks";

/// What a hook may say.
const KEYS: [&str; 6] = ["name", "on", "command", "url", "secret-file", "timeout"];

/// The longest name, in characters.
const NAME_CHARS: usize = 64;

/// One hook as the file has it. Its secret has not been read yet.
#[derive(Debug, Clone)]
pub(crate) struct HookEntry {
    pub(crate) name: String,
    /// The file, and the line in which it begins.
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) on: Selection,
    pub(crate) how: HowEntry,
    pub(crate) timeout: Duration,
}

/// How it is told.
#[derive(Debug, Clone)]
pub(crate) enum HowEntry {
    Command(Vec<OsString>),
    Post { url: String, to: Target, secret_file: PathBuf },
}

/// A key of a hook with its value.
type Field<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

impl File {
    /// Its hooks, in its order.
    pub(in crate::config) fn hooks(&self) -> Result<Vec<HookEntry>, BadConfig> {
        let table = self.table()?;
        let Some((_, value)) = table.get_ref().iter().find(|(name, _)| name.get_ref() == HOOKS) else {
            return Ok(Vec::new());
        };
        let mut problems = Vec::new();
        let mut hooks: Vec<(usize, HookEntry)> = Vec::new();
        match value.get_ref() {
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                for item in items {
                    let at = item.span().start;
                    let DeValue::Table(table) = item.get_ref() else { continue };
                    match self.hook(at, table) {
                        Ok(hook) => hooks.push((at, hook)),
                        Err(found) => problems.extend(found),
                    }
                }
            }
            _ => problems.push(
                self.at(&value.span(), "hooks are written as sections of their own: [[hooks]], with two brackets"),
            ),
        }
        self.name_them(&mut hooks, &mut problems);
        if problems.is_empty() {
            return Ok(hooks.into_iter().map(|(_, hook)| hook).collect());
        }
        problems.sort_by_key(|Problem(at, _)| *at);
        bad(problems.into_iter().map(|Problem(_, text)| text).collect::<Vec<_>>().join("\n"))
    }

    fn hook(&self, at: usize, table: &DeTable<'_>) -> Result<HookEntry, Vec<Problem>> {
        let mut problems = Vec::new();
        for (key, _) in table {
            if !KEYS.contains(&kebab(key.get_ref()).as_str()) {
                problems.push(self.at_line(key.span().start, &unknown(key.get_ref())));
            }
        }
        let field = |name: &str| table.iter().find(|(key, _)| kebab(key.get_ref()) == name);
        let mut take = |result: Result<(), Problem>| problems.extend(result.err());
        let (mut name, mut on, mut timeout, mut how) = (String::new(), Selection::none(), DEFAULT_TIMEOUT, None);
        take(field("name").map_or(Ok(()), |field| self.name(field).map(|found| name = found)));
        take(field("timeout").map_or(Ok(()), |field| self.timeout(field).map(|found| timeout = found)));
        match field("on") {
            Some(field) => take(self.selection(field).map(|found| on = found)),
            None => take(Err(
                self.at_line(at, "a hook needs the events that it is told, such as on = [\"approval.requested\"]")
            )),
        }
        take(self.how(at, [field("command"), field("url"), field("secret-file")]).map(|found| how = Some(found)));
        match how {
            Some(how) if problems.is_empty() => {
                Ok(HookEntry { name, file: self.path.clone(), line: self.position(at).0, on, how, timeout })
            }
            _ => Err(problems),
        }
    }

    fn how(&self, at: usize, [command, url, secret]: [Option<Field<'_, '_>>; 3]) -> Result<HowEntry, Problem> {
        match (command, url, secret) {
            (Some(command), None, None) => self.argv(command).map(HowEntry::Command),
            (Some(_), Some((url, _)), _) => {
                Err(self.at_line(url.span().start, "a hook has either a command or a url; write two hooks for both"))
            }
            (_, None, Some((secret, _))) => {
                Err(self.at_line(secret.span().start, "\"secret-file\" goes with a url: a command needs no signature"))
            }
            (None, Some((url, _)), None) => Err(self.at_line(
                url.span().start,
                "a url needs a secret that its calls are signed with: umask 077; openssl rand -hex 32 > FILE, and here \
                 secret-file = \"FILE\"",
            )),
            (None, Some((_, value)), Some((_, file))) => {
                let url = self.string(value, "url", "a string, such as \"https://example.org/hook\"")?;
                // An address may have a secret in it, and is not repeated.
                let to = Target::parse(url).map_err(|error| self.at(&value.span(), &format!("\"url\" can't be used: {error}")))?;
                let path = self.string(file, "secret-file", "a string, the name of a file")?;
                if path.is_empty() {
                    return Err(self.at(&file.span(), "\"secret-file\" is empty and must be the name of a file"));
                }
                Ok(HowEntry::Post { url: url.to_owned(), to, secret_file: self.path_from(path).into() })
            }
            (None, None, None) => Err(self.at_line(
                at,
                "a hook needs a way to be told: command = [\"PROGRAM\", \"ARGUMENT\"], or url = \"http://…\" and secret-file = \"FILE\"",
            )),
        }
    }

    /// A program and its arguments. There is no shell, so one string is not taken apart.
    fn argv(&self, (_, value): Field<'_, '_>) -> Result<Vec<OsString>, Problem> {
        const WANTED: &str = "a list, the program and each of its arguments, such as [\"notify-send\", \"Codex\"]";
        let DeValue::Array(items) = value.get_ref() else { return Err(self.hook_mismatch(value, "command", WANTED)) };
        let mut argv = Vec::new();
        for item in items {
            argv.push(OsString::from(self.string(item, "command", "a list of strings")?));
        }
        match argv.first().and_then(|program| program.to_str()) {
            None | Some("") => Err(self.hook_mismatch(value, "command", WANTED)),
            Some(program) => {
                // As a flag's: a path is seen from the file's folder, a bare name is looked up on PATH.
                if program.contains(std::path::is_separator) || super::below_home(program).is_some() {
                    argv[0] = self.path_from(program);
                }
                Ok(argv)
            }
        }
    }

    fn selection(&self, (_, value): Field<'_, '_>) -> Result<Selection, Problem> {
        const WANTED: &str = "a list of events, such as [\"approval.requested\", \"turn.*\"]";
        let mut on = Selection::none();
        let items = match value.get_ref() {
            DeValue::Array(items) if !items.is_empty() => items.iter().collect(),
            DeValue::String(_) => vec![value],
            _ => return Err(self.hook_mismatch(value, "on", WANTED)),
        };
        for item in items {
            let word = self.string(item, "on", WANTED)?;
            on.add(word).map_err(|error| self.at(&item.span(), &error.to_string()))?;
        }
        Ok(on)
    }

    fn timeout(&self, (_, value): Field<'_, '_>) -> Result<Duration, Problem> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => return Err(self.hook_mismatch(value, "timeout", "a time, such as \"30s\"")),
        };
        let wrong = |why: String| self.at(&value.span(), &format!("\"timeout\" can't be used: {why}"));
        let time = parse_time(&text).map_err(wrong)?;
        if time > LONGEST_TIMEOUT {
            return Err(wrong(format!("the longest is {} s", LONGEST_TIMEOUT.as_secs())));
        }
        Ok(time)
    }

    /// It names a file, too.
    fn name(&self, (_, value): Field<'_, '_>) -> Result<String, Problem> {
        let name = self.string(value, "name", "a string")?;
        if is_name(name) {
            return Ok(name.to_owned());
        }
        let text = format!("a hook's name has 1 to {NAME_CHARS} letters, digits, dashes, underscores and dots within");
        Err(self.at(&value.span(), &text))
    }

    /// Gives those a name that have none, and refuses two of one name. Some file systems don't tell `a` from `A`.
    fn name_them(&self, hooks: &mut [(usize, HookEntry)], problems: &mut Vec<Problem>) {
        for index in 0..hooks.len() {
            let (before, rest) = hooks.split_at_mut(index);
            let Some((at, hook)) = rest.first_mut() else { continue };
            let same = |name: &str| before.iter().find(|(_, other)| other.name.eq_ignore_ascii_case(name));
            if hook.name.is_empty() {
                let base = name_of(&hook.how);
                let mut names = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") });
                hook.name = names.find(|name| same(name).is_none()).unwrap_or(base.clone());
            }
            if let Some((_, first)) = same(&hook.name) {
                let text = format!(
                    "there is a hook {:?} in line {} already; give this one a name of its own",
                    hook.name, first.line
                );
                problems.push(self.at_line(*at, &text));
            }
        }
    }

    fn string<'v>(&self, value: &'v Spanned<DeValue<'_>>, key: &str, wanted: &str) -> Result<&'v str, Problem> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.hook_mismatch(value, key, wanted)),
        }
    }

    fn hook_mismatch(&self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str) -> Problem {
        self.at(&value.span(), &format!("\"{key}\" is {} and must be {wanted}", found(value.get_ref())))
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= NAME_CHARS
        && name.chars().all(plain)
        && !name.starts_with('.')
        && !name.ends_with('.')
}

/// What a hook is called that has no name: its program, or the host that it posts to.
fn name_of(how: &HowEntry) -> String {
    let text = match how {
        HowEntry::Command(argv) => {
            let program = argv.first().map(Path::new).and_then(Path::file_stem);
            program.unwrap_or_default().to_string_lossy().into_owned()
        }
        HowEntry::Post { to, .. } => to.host().to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = text.chars().map(plain).take(NAME_CHARS - 4).collect();
    let name = name.trim_matches('.');
    if name.is_empty() { HOOKS.trim_end_matches('s').to_owned() } else { name.to_owned() }
}

fn unknown(written: &str) -> String {
    let name = kebab(written);
    let likeness = |key: &&&str| strsim::jaro(&name, key);
    let nearest = KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|key| likeness(key) > ALIKE);
    match nearest {
        Some(nearest) => format!("a hook has no {written:?}; did you mean \"{nearest}\"?"),
        None => format!("a hook has no {written:?}; it has {}", KEYS.join(", ")),
    }
}

#[cfg(test)]
mod tests;
