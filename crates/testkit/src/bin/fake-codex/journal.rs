//! The record of what was received, for tests to look at (`FAKE_CODEX_LOG`).

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use serde_json::json;

/// The open record, if one is wanted.
#[derive(Debug)]
pub(crate) struct Journal(Option<File>);

impl Journal {
    /// Opens the record and tells who writes. Of the environment only the names are told: values may be secret.
    pub(crate) fn open() -> io::Result<Self> {
        let Some(path) = env::var_os("FAKE_CODEX_LOG") else {
            return Ok(Self(None));
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut names: Vec<String> = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        names.sort();
        let args: Vec<String> = env::args().skip(1).collect();
        let head = json!({"env": names, "args": args, "pid": std::process::id()});
        file.write_all(format!("{head}\n").as_bytes())?;
        Ok(Self(Some(file)))
    }

    pub(crate) fn received(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0 {
            // In one write, so that lines of several processes do not mix.
            Some(file) => file.write_all(format!("{line}\n").as_bytes()),
            None => Ok(()),
        }
    }
}
