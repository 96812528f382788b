//! The file that `codexd config init` writes: every setting, what it means and its default, all commented out.
//!
//! A comment is `# ` and text; a setting that can be uncommented is `#` and, at once, its name.

use std::{ffi::OsStr, path::Path};

use serde_json::Value;

use super::keys::{self, Key, Kind, STORE_DIR, Scalar};

const HEAD: &str = "\
Settings of codexd. Take the # away in front of a setting to change it.

What counts, from the weakest: the default, this file, the environment, a flag of `codexd serve`. Each setting below \
names its flag and its variable. `codexd config show` tells what is in force and where it came from.

A relative path starts in the folder of this file, and ~/ is your home folder. Commands other than `codexd serve` \
read nothing but store-dir.
";

/// Hooks stand last: whatever follows a section in TOML belongs to it.
const HOOKS: &str = "\
Hooks: who is told when something happens. Each is a section of its own, behind all settings; docs/hooks.md tells more. \
`codexd hooks test` tries them.

on: events, such as approval.requested, turn.completed, turn.failed, turn.interrupted; turn.* for a kind, * for all.

command: a program and its arguments, without a shell. It gets the event as JSON on its standard input.
";
const HOOK_COMMAND: &str = "\
#[[hooks]]
#name = \"desktop\"
#on = [\"approval.requested\", \"turn.completed\", \"turn.failed\"]
#command = [\"notify-send\", \"Codex\", \"needs you, or is done\"]
#timeout = \"30s\"
";
const HOOK_URL: &str = "\
url: a POST of the same JSON, with the header X-Codexd-Signature: sha256=HEX, the HMAC-SHA256 of the body with what is in \
secret-file, which only you may be able to read.
";
const HOOK_POST: &str = "\
#[[hooks]]
#name = \"phone\"
#on = [\"approval.requested\"]
#url = \"https://example.org/codexd\"
#secret-file = \"~/.config/codex-mcp-bridge/hook-secret\"
";

/// How long lines get.
const COLUMNS: usize = 100;

/// The file. `store_dir`: where the store is when nobody says anything.
pub(crate) fn template(store_dir: Option<&Path>) -> String {
    let mut text = String::new();
    comment(&mut text, HEAD);
    for key in keys::all().iter().filter(|key| !key.is_secret()) {
        text.push('\n');
        comment(&mut text, &key.help());
        let env = key.env().map(|env| format!(", {env}")).unwrap_or_default();
        comment(&mut text, &format!("--{}{env}", key.name()));
        let store_dir = store_dir.and_then(Path::to_str).filter(|_| key.name() == STORE_DIR);
        match store_dir.map(Value::from).or_else(|| default(key)).or_else(|| example(key)) {
            Some(value) => text.push_str(&format!("#{} = {value}\n", key.name())),
            None => comment(&mut text, &format!("{} = …", key.name())),
        }
    }
    for (words, hook) in [(HOOKS, HOOK_COMMAND), (HOOK_URL, HOOK_POST)] {
        text.push('\n');
        comment(&mut text, words);
        text.push_str(hook);
    }
    text
}

/// What the setting is without a file. JSON's way to write strings, numbers and lists is TOML's as well.
fn default(key: &Key) -> Option<Value> {
    let default = key.default();
    match key.kind() {
        Kind::Switch => Some(Value::from(default.first().is_some_and(|text| text == "true"))),
        Kind::One(scalar) => default.first().map(|text| written(scalar, text)),
        Kind::List(_) if default.is_empty() => None,
        Kind::List(scalar) => Some(default.iter().map(|text| written(scalar, text)).collect()),
    }
}

/// A value for a setting that has no default: one that its flag takes.
fn example(key: &Key) -> Option<Value> {
    let (scalar, list) = match key.kind() {
        Kind::Switch => return None,
        Kind::One(scalar) => (scalar, false),
        Kind::List(scalar) => (scalar, true),
    };
    let named = match scalar {
        Scalar::Path => format!("~/{}", key.value_name()),
        _ => key.value_name(),
    };
    let tried = [named.as_str(), "1", "1h", "1MiB", "a=b", "127.0.0.1"];
    let taken = tried.into_iter().find(|text| key.check(OsStr::new(text)).is_ok())?;
    let value = written(scalar, taken);
    Some(if list { Value::from(vec![value]) } else { value })
}

fn written(scalar: Scalar, text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(number) if scalar == Scalar::Number => number.into(),
        _ => text.into(),
    }
}

/// Adds a text as comment lines.
fn comment(to: &mut String, text: &str) {
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > COLUMNS {
                to.push_str(&line);
                to.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        to.push_str(&line);
        to.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn its_hooks_are_right_when_they_are_uncommented() {
        let text = template(None);
        let hooks: String = text[text.find("#[[hooks]]").unwrap()..]
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
            .map(|line| format!("{line}\n"))
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), hooks).unwrap();
        let hooks = super::super::file::File::read(file.path(), true).unwrap().unwrap().hooks().unwrap();
        let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        assert_eq!(names, ["desktop", "phone"]);
    }

    #[test]
    fn it_has_every_setting_and_says_nothing_until_it_is_uncommented() {
        let text = template(Some(Path::new("/x/store")));
        assert!(DeTable::parse(&text).unwrap().get_ref().is_empty(), "all of it is commented out");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS || line.starts_with("#store-dir")), "{text}");
        for key in keys::all() {
            let setting = format!("\n#{} = ", key.name());
            assert_eq!(text.matches(&setting).count(), usize::from(!key.is_secret()), "{}", key.name());
        }
        for line in ["#port = 8787", "#store-dir = \"/x/store\"", "#turn-timeout = \"6h\"", "#no-auth = false"] {
            assert!(text.lines().any(|written| written == line), "{line} is not in:\n{text}");
        }
    }
}
