//! Exit codes: one table from what happened to a number, the same for every command.

use std::process::ExitCode;

use client::Error as ClientError;
use serde_json::{Map, Value};

use crate::{config::BadConfig, output};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked to.
    Completed = 0,
    /// Anything that has no number of its own.
    Other = 1,
    /// It was called in a way that can't be meant.
    Usage = 2,
    /// There is no daemon to ask.
    NoDaemon = 3,
    /// The turn ended without an answer.
    TurnFailed = 4,
    /// The turn was interrupted or cancelled, or somebody pressed Ctrl-C.
    Interrupted = 5,
    /// The daemon's settings can't be used.
    BadConfig = 64,
}

/// What `--help` says of them.
pub(crate) const HELP: &str = "\
Exit codes:
   0  completed
   1  anything else
   2  wrong usage
   3  no daemon is running
   4  the turn failed
   5  interrupted or cancelled
  64  bad configuration";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command line that clap accepts and that still makes no sense.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The number of an error.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<BadConfig>() {
            return Exit::BadConfig;
        }
        if cause.is::<Usage>() {
            return Exit::Usage;
        }
        if matches!(cause.downcast_ref(), Some(ClientError::NoDaemon { .. })) {
            return Exit::NoDaemon;
        }
    }
    Exit::Other
}

/// Tells an error: in words on stderr and, for programs, as an object on stdout, of the form that the API's errors have.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let text = format!("{error:#}");
    output::error(&text);
    if json {
        let mut object = Map::from_iter([("error".to_owned(), Value::from(text))]);
        if let Some(ClientError::Refused { code, session_id, turn_id, .. }) = error.downcast_ref() {
            let ids = [("sessionId", session_id), ("turnId", turn_id)];
            object.extend(code.map(|code| ("code".to_owned(), Value::from(code.to_string()))));
            object.extend(ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), Value::from(id.clone()?)))));
        }
        output::line(&Value::from(object).to_string());
    }
    of(error).into()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_keeps_its_number_under_what_is_said_around_it() {
        let no_daemon = || ClientError::NoDaemon { store_dir: "/x".into(), stale: false };
        assert_eq!(of(&no_daemon().into()), Exit::NoDaemon);
        assert_eq!(of(&anyhow::Error::new(no_daemon()).context("can't")), Exit::NoDaemon);
        assert_eq!(of(&BadConfig("x".into()).into()), Exit::BadConfig);
        assert_eq!(of(&Usage("x".into()).into()), Exit::Usage);
        assert_eq!(of(&anyhow!("x")), Exit::Other);
    }
}
