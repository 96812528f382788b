//! Hooks of the file, made ready to be told: their secrets read, their programs looked at.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf, is_separator},
};

use hooks::{Hook, How, Secret};
use serde_json::{Value, json};

use super::{BadConfig, HookEntry, HowEntry, bad};

/// Makes them ready. `confined`: the folders that agents may write in, from which no program is run.
pub(crate) fn ready(entries: &[HookEntry], confined: &[PathBuf]) -> Result<Vec<Hook>, BadConfig> {
    let (mut ready, mut problems) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry.ready(confined) {
            Ok(hook) => ready.push(hook),
            Err(why) => problems.push(format!("{}: the hook {:?}: {why}", entry.origin(), entry.name)),
        }
    }
    if problems.is_empty() { Ok(ready) } else { bad(problems.join("\n")) }
}

impl HookEntry {
    fn ready(&self, confined: &[PathBuf]) -> Result<Hook, String> {
        let how = match &self.how {
            HowEntry::Command(argv) => {
                let program = argv.first().and_then(|program| found(program));
                if let Some(program) = program
                    && let Some(root) = confined.iter().find(|root| program.starts_with(root))
                {
                    return Err(format!(
                        "{} lies in {}, where agents may write, so it is not run; move it elsewhere",
                        program.display(),
                        root.display()
                    ));
                }
                How::Command(argv.clone())
            }
            HowEntry::Post { to, secret_file, .. } => {
                let secret = Secret::read(secret_file).map_err(|error| error.to_string())?;
                How::Post { to: to.clone(), secret }
            }
        };
        Ok(Hook { name: self.name.clone(), on: self.on.clone(), how, timeout: self.timeout })
    }

    /// Where it stands.
    pub(crate) fn origin(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }

    /// How it is told, for people.
    pub(crate) fn how(&self) -> String {
        match &self.how {
            HowEntry::Command(argv) => argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
            HowEntry::Post { url, .. } => url.clone(),
        }
    }

    /// All of it, for programs: of the secret the file's name.
    pub(crate) fn object(&self) -> Value {
        let mut object = json!({
            "name": self.name,
            "on": self.on.words(),
            "timeoutMs": u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            "origin": { "kind": "file", "file": self.file, "line": self.line },
        });
        match &self.how {
            HowEntry::Command(argv) => {
                object["command"] = argv.iter().map(|word| Value::from(word.to_string_lossy())).collect();
            }
            HowEntry::Post { url, secret_file, .. } => {
                object["url"] = Value::from(url.as_str());
                object["secretFile"] = json!(secret_file);
            }
        }
        object
    }
}

/// The program that would be run, as far as it can be told; without links.
fn found(program: &OsStr) -> Option<PathBuf> {
    let path = if program.to_string_lossy().contains(is_separator) {
        PathBuf::from(program)
    } else {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| Path::is_file(path))?
    };
    dunce::canonicalize(path).ok()
}
