//! Exit codes: one table from what happened to a number, the same for every command.

use std::process::ExitCode;

use client::Error as ClientError;
use engine::Refusal;
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
    /// The turn has not ended: it is still going on, and was not waited for any longer.
    GoesOn = 6,
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
   6  the turn goes on; the time given with --timeout is over
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

/// Somebody stopped waiting; what was asked for goes on.
#[derive(Debug)]
pub(crate) struct Left {
    turn: Option<String>,
    text: String,
}

impl Left {
    /// `text` says how to come back.
    pub(crate) fn new(turn: Option<String>, text: impl Into<String>) -> Self {
        Self { turn, text: text.into() }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Left {}

/// The number of an error.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<BadConfig>() {
            return Exit::BadConfig;
        }
        if cause.is::<Usage>() {
            return Exit::Usage;
        }
        if cause.is::<Left>() {
            return Exit::Interrupted;
        }
        if matches!(cause.downcast_ref(), Some(ClientError::NoDaemon { .. })) {
            return Exit::NoDaemon;
        }
    }
    Exit::Other
}

/// Tells an error: in words on stderr and, for programs, as an object on stdout with the names that the API's errors have.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    if let Some(left) = error.downcast_ref::<Left>() {
        output::note(&left.text);
    } else {
        output::error(&text(error));
    }
    if json {
        output::line(&object(error));
    }
    of(error).into()
}

/// An error for people. What the engine refused reads the same with and without a daemon between.
fn text(error: &anyhow::Error) -> String {
    error.downcast_ref().map_or_else(|| format!("{error:#}"), |Refusal { detail, .. }| detail.clone())
}

/// An error for programs.
fn object(error: &anyhow::Error) -> String {
    let mut object = Map::from_iter([("error".to_owned(), Value::from(text(error)))]);
    let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(ClientError::Refused { status, code, retryable, session_id, turn_id, .. }), _) => {
            add("status", Value::from(*status));
            add("retryable", Value::from(*retryable));
            for (name, value) in
                [("code", &code.map(|code| code.to_string())), ("sessionId", session_id), ("turnId", turn_id)]
            {
                if let Some(value) = value {
                    add(name, Value::from(value.as_str()));
                }
            }
        }
        (_, Some(Left { turn: Some(turn), .. })) => {
            add("turnId", Value::from(turn.as_str()));
        }
        _ => {}
    }
    if let Some(Refusal { code, .. }) = error.downcast_ref() {
        object.insert("code".to_owned(), Value::from(code.to_string()));
    }
    Value::from(object).to_string()
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
        assert_eq!(of(&Left::new(None, "x").into()), Exit::Interrupted);
        assert_eq!(of(&anyhow!("x")), Exit::Other);
    }

    #[test]
    fn a_program_gets_what_the_daemon_said() {
        let refused = ClientError::Refused {
            status: 409,
            code: Some(types::Code::TurnActive),
            message: "busy".to_owned(),
            retryable: false,
            session_id: Some("s1".to_owned()),
            turn_id: None,
        };
        assert_eq!(
            object(&refused.into()),
            r#"{"code":"TURN_ACTIVE","error":"busy","retryable":false,"sessionId":"s1","status":409}"#
        );
        assert_eq!(object(&Left::new(Some("u1".to_owned()), "bye").into()), r#"{"error":"bye","turnId":"u1"}"#);
        let here = Refusal::new(types::Code::BadRequest, "no");
        assert_eq!(object(&here.into()), r#"{"code":"BAD_REQUEST","error":"no"}"#);
        assert_eq!(object(&anyhow!("x").context("y")), r#"{"error":"y: x"}"#);
    }

    #[test]
    fn help_lists_every_code() {
        use Exit::{BadConfig, Completed, GoesOn, Interrupted, NoDaemon, Other, TurnFailed, Usage};
        let listed: Vec<u8> =
            HELP.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        let all = [Completed, Other, Usage, NoDaemon, TurnFailed, Interrupted, GoesOn, BadConfig];
        assert_eq!(listed, all.map(|exit| exit as u8));
    }
}
