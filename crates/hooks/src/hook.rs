//! A hook, and one try to tell it something.

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use crate::{Secret, Selection, Target, command, letter::Letter, post};

/// How long one try may take, unless the hook says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one try may take at most.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Somebody who is told.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What it is called; also the name of the file that its cursor is kept in.
    pub name: String,
    /// What it is told.
    pub on: Selection,
    /// How it is told.
    pub how: How,
    /// How long one try may take, all in all.
    pub timeout: Duration,
}

/// How somebody is told.
#[derive(Debug, Clone)]
pub enum How {
    /// A program with its arguments, never a shell's line. It gets the event on its standard input.
    Command(Vec<OsString>),
    /// A POST, signed.
    Post {
        /// Where to.
        to: Target,
        /// What it is signed with.
        secret: Secret,
    },
}

/// Where commands run.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store, by which a command finds this daemon (`CODEXD_STORE_DIR`).
    pub store_dir: PathBuf,
    /// The folder that a command starts in.
    pub cwd: PathBuf,
}

/// Why somebody was not told. None of these texts has a secret in it: of an address they name the host, of a command the program.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The program is not there, or can't be run.
    #[error("the command {program} can't be started: {source}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended badly.
    #[error("the command {program} ended with {end}{}", said(.words))]
    Ended {
        /// The program.
        program: String,
        /// Its exit code or signal.
        end: String,
        /// The last lines that it wrote.
        words: String,
    },
    /// It did not end.
    #[error("the command {program} was killed because it took longer than {} s{}", .limit.as_secs(), said(.words))]
    TookTooLong {
        /// The program.
        program: String,
        /// The hook's timeout.
        limit: Duration,
        /// The last lines that it wrote.
        words: String,
    },
    /// There is no conversation with the address.
    #[error("{to}: {source}")]
    Unreachable {
        /// Scheme, host and port.
        to: String,
        /// Why.
        source: io::Error,
    },
    /// There was no answer in time.
    #[error("{to} did not answer within {} s", .limit.as_secs())]
    Silent {
        /// Scheme, host and port.
        to: String,
        /// The hook's timeout.
        limit: Duration,
    },
    /// The answer was no success.
    #[error("{to} answered {status}{}{}", moved(*.status), said(.words))]
    Refused {
        /// Scheme, host and port.
        to: String,
        /// The status code.
        status: u16,
        /// The beginning of the answer.
        words: String,
    },
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; it said: {words}") }
}

const fn moved(status: u16) -> &'static str {
    if status >= 300 && status < 400 { " (redirects are not followed: name the address where it is)" } else { "" }
}

impl Hook {
    /// Tells it about an event that never was, once and now. What it answered, in words.
    ///
    /// # Errors
    /// [`Failed`] says why it was not told.
    pub async fn test(&self, place: &Place) -> Result<String, Failed> {
        self.tell_once(&Letter::test(&self.name), 1, place).await
    }

    /// One try.
    pub(crate) async fn tell_once(&self, letter: &Letter, attempt: u32, place: &Place) -> Result<String, Failed> {
        match &self.how {
            How::Command(argv) => command::run(argv, letter, attempt, self, place).await,
            How::Post { to, secret } => post::post(to, secret, letter, attempt, self.timeout).await,
        }
    }
}
