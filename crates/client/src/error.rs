//! Why a call had no result. Each text ends with what to do about it.

use std::{io, path::PathBuf, time::Duration};

use hyper::Method;
use serde::Deserialize;
use types::Code;

/// Why a call had no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No daemon has this store.
    #[error(
        "no codexd is running for the store `{}`{}; start one with `codexd serve`",
        .store_dir.display(), if *.stale { " (the last one ended without cleaning up)" } else { "" }
    )]
    NoDaemon {
        /// The store.
        store_dir: PathBuf,
        /// There is a `daemon.json`, and nobody behind it.
        stale: bool,
    },
    /// The daemon lives, and the file of its socket was removed. By TCP it wants a token that was not given, or does not answer.
    #[error(
        "codexd (pid {pid}) runs, but its socket `{}` is gone{}; it makes a new one within seconds: try again, or restart it",
        .socket.display(), if *.by_tcp { ", and by TCP it wants a token (in CODEXD_TOKEN)" } else { "" }
    )]
    SocketGone {
        /// Its process.
        pid: u32,
        /// Where the socket was.
        socket: PathBuf,
        /// It answers by TCP, to who has a token.
        by_tcp: bool,
    },
    /// Somebody else listens where the daemon did. Nothing was said to them.
    #[error(
        "whoever listens at {address} is not the codexd of this store (pid {pid}): {why}. Nothing was sent, no token either; \
         see who it is (`ss -ltnp`), and start codexd again with `codexd serve`, on another port if need be (--port)"
    )]
    Stranger {
        /// Where.
        address: String,
        /// The process that should be there.
        pid: u32,
        /// How that is known.
        why: String,
    },
    /// `daemon.json` is there and can't be used.
    #[error("can't use `{}`: {reason}; start codexd again with `codexd serve`", .path.display())]
    DaemonFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The address is not one that this client speaks to.
    #[error("`{url}` is not an address of codexd; it looks like http://127.0.0.1:8787")]
    BadAddress {
        /// What was given.
        url: String,
    },
    /// The daemon answered that it won't, or could not.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason for programs, if it is one that this client knows.
        code: Option<Code>,
        /// The reason for people, in the daemon's words.
        message: String,
        /// The same request may succeed later, unchanged.
        retryable: bool,
        /// The session that it is about.
        session_id: Option<String>,
        /// The turn that it is about. It may go on: see the status.
        turn_id: Option<String>,
    },
    /// The daemon does not know the call: it is older than this program.
    #[error(
        "the codexd that is running is older than this one and does not know {call}; stop it and start `codexd serve` again"
    )]
    TooOld {
        /// Method and path.
        call: String,
    },
    /// The connection failed before the whole answer had come.
    #[error("can't {doing} ({address}): {source}; see `codexd status` and the daemon's log")]
    Transport {
        /// What failed, as it fits after "can't".
        doing: &'static str,
        /// Where.
        address: String,
        /// How.
        source: io::Error,
    },
    /// The system does not let this program connect. Trying again makes no sense.
    #[error(
        "this program may not connect to the daemon ({address}): {source}; it runs in a sandbox, such as Codex's, or the daemon is another user's"
    )]
    MayNotConnect {
        /// Where.
        address: String,
        /// How.
        source: io::Error,
    },
    /// The answer did not come in time. What was asked for may still be under way.
    #[error("the daemon did not answer in {} s; it may still be working: see `codexd status` and `codexd sessions`", .limit.as_secs())]
    TimedOut {
        /// The time that the call was given.
        limit: Duration,
    },
    /// The stream of events has ended with an error before.
    #[error("the stream of events is over; ask for a new one")]
    Over,
    /// What came is not what this version understands.
    #[error("the answer to {call} can't be understood: {reason}; is that a codexd of another version?")]
    BadAnswer {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The daemon's reason for programs, when it refused and this client knows the word.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => *code,
            _ => None,
        }
    }

    /// Whether the connection failed, or the daemon is about to go: things that end by themselves when it comes back. A
    /// request that starts work may have been heard all the same.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut { .. } | Self::NoDaemon { .. } | Self::SocketGone { .. } => true,
            _ => self.code() == Some(Code::ShuttingDown),
        }
    }
}

/// Both forms of a refusal: of v1 (`title`, `detail`) and of the first version (`error`), which old daemons and proxies give.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    error: Option<String>,
    detail: Option<String>,
    title: Option<String>,
    code: Option<serde_json::Value>,
    retryable: Option<bool>,
    session_id: Option<String>,
    turn_id: Option<String>,
}

/// How much of an answer that is not ours is shown.
const SHOWN: usize = 200;

/// Whether a refusal says that who asks may not do this.
pub(crate) fn is_forbidden(body: &[u8]) -> bool {
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    parsed.code.and_then(|code| serde_json::from_value(code).ok()) == Some(Code::Forbidden)
}

/// Reads a refusal. Whatever answers there, something can be said about it.
pub(crate) fn refused(method: &Method, path: &str, status: u16, body: &[u8]) -> Error {
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    // A code of a newer daemon is no reason to lose its sentence.
    let code: Option<Code> = parsed.code.and_then(|code| serde_json::from_value(code).ok());
    let path = path.split('?').next().unwrap_or(path);
    // Where the last part of a path is a name, the daemon says the same of a name that it does not know.
    if status == 404 && code == Some(Code::NotFound) && !path.starts_with("/v1/tokens/") {
        return Error::TooOld { call: format!("{method} {path}") };
    }
    let message = parsed.error.or(parsed.detail).or(parsed.title).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().next().unwrap_or_default();
        let shown: String = line.chars().take(SHOWN).collect();
        if shown.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {shown}") }
    });
    let retryable = parsed.retryable.unwrap_or_else(|| code.is_some_and(Code::retryable));
    Error::Refused { status, code, message, retryable, session_id: parsed.session_id, turn_id: parsed.turn_id }
}
