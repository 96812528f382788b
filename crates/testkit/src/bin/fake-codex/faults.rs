//! Faults on demand, from `FAKE_CODEX_FAULT`.
//!
//! At the start:
//!
//! | word | effect |
//! |---|---|
//! | `exit-at-start` | a server ends at once with status 1 |
//! | `exit-when-ready[:<ms>]` | a server ends with status 1 so long after it has shaken hands, 10 ms unless told, with words of more than one kind on stderr (`app-server` only) |
//! | `hang-at-version` | `--version` never ends |
//! | `hang-at-initialize` | `initialize` is never answered |
//! | `mcp-only` | `app-server` prints the top-level help and ends, as a program would that knows only `mcp-server` |
//!
//! In a turn. With `FAKE_CODEX_FAULT_IN` these strike only turns whose prompt contains that text:
//!
//! | word | effect |
//! |---|---|
//! | `exit-at-turn[:<when>]` | the process ends with status 1, at one of the steps below |
//! | `hang-at-turn[:<when>]` | the process does nothing any more from that step on: it reads nothing, answers nobody and outlives its stdin |
//! | `torn` | the last line of `exit-at-turn` is only half written |
//! | `approval` | every turn asks for the approval of a command first |
//! | `ask-input`, `ask-permissions`, `ask-elicitation` | every turn asks a person first, for that; the answer tells what was replied (`app-server` only) |
//! | `ask-unknown` | every turn asks something that nobody knows first, once for nobody and once for the turn, and goes on when it has a reply; the answer tells the error (`app-server` only) |
//! | `big-line:<bytes>` | every turn without a script of its own is answered in one line of that size |
//! | `flood[:<n>]` | every turn without a script of its own is answered in n deltas at once, 100,000 unless told |
//! | `stderr-flood[:<bytes>]` | so much is written to stderr, 64 MB unless told, with a line of 1 MB in it and [`LAST_WORDS`] at its end |
//! | `unknown-notes` | notifications of unknown methods, of known ones about threads, turns and items that are not there, and some whose parameters make no sense (`app-server` only) |
//!
//! The steps are `request` (unless told; nothing was said), and after one of these was sent: the `reply`, turn `started`, the prompt
//! `heard` (nothing is sent then: it is remembered, and not on record yet), the `user`'s message, the first `delta`, a `command` that begins, a question for `approval`, the `answer`, the turn `completed`. `mcp-server` knows
//! only `request`.
//!
//! All the time:
//!
//! | word | effect |
//! |---|---|
//! | `garbage` | lines that are not JSON (one of them not UTF-8, one half a message) at the start and in each turn |
//! | `half-lines` | each line is written in two halves, with a moment in between |
//! | `overloaded:<n>` | the first n requests after `initialize` get the error -32001; with `FAKE_CODEX_FAULT_IN` the first n `turn/start` with that text |
//! | `odd-ids` | each reply comes twice, with replies in between to what nobody asked, under ids of every kind |
//! | `late-replies` | what is said of a turn comes before the reply to the request for it, and the last reply comes first |
//! | `slow-stdin[:<ms>]` | stdin is read 1 kB at a time, so far apart, 1 ms unless told |
//! | `held[:<ms>]` | for so long after its start, 3 s unless told, a process refuses to resume a thread because another one has it |
//! | `wider` | `thread/start` and `thread/resume` reply with dangerFullAccess and never |
//! | `small-pages` | `model/list` tells one model a page |

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

/// The long line of `stderr-flood`.
const LONG_LINE: usize = 1_000_000;

/// The last line of `stderr-flood`.
const LAST_WORDS: &str = "fake-codex: the last of many words";

/// How far a turn comes before `exit-at-turn` or `hang-at-turn` strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Request,
    Reply,
    Started,
    Heard,
    User,
    Delta,
    Command,
    Approval,
    Answer,
    Completed,
}

impl Stage {
    fn parse(word: &str) -> Self {
        match word {
            "reply" => Self::Reply,
            "started" => Self::Started,
            "heard" => Self::Heard,
            "user" => Self::User,
            "delta" => Self::Delta,
            "command" => Self::Command,
            "approval" => Self::Approval,
            "answer" => Self::Answer,
            "completed" => Self::Completed,
            _ => Self::Request,
        }
    }
}

/// What a person can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Input,
    Permissions,
    Elicitation,
    Unknown,
}

impl Asked {
    /// The word in the answer.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Permissions => "permissions",
            Self::Elicitation => "elicitation",
            Self::Unknown => "unknown",
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) exit_at_start: bool,
    pub(crate) exit_when_ready: Option<Duration>,
    pub(crate) garbage: bool,
    pub(crate) hang_at_version: bool,
    pub(crate) hang_at_initialize: bool,
    pub(crate) mcp_only: bool,
    pub(crate) exit_at_turn: Option<Stage>,
    pub(crate) hang_at_turn: Option<Stage>,
    pub(crate) torn: bool,
    pub(crate) overloaded: usize,
    pub(crate) wider: bool,
    pub(crate) approval: bool,
    pub(crate) person: Option<Asked>,
    pub(crate) small_pages: bool,
    pub(crate) big_line: Option<usize>,
    pub(crate) flood: Option<usize>,
    pub(crate) stderr_flood: Option<usize>,
    pub(crate) unknown_notes: bool,
    pub(crate) half_lines: bool,
    pub(crate) odd_ids: bool,
    pub(crate) late_replies: bool,
    pub(crate) slow_stdin: Option<Duration>,
    pub(crate) held: Option<Duration>,
    /// The text of the prompts that are struck; all are without.
    pub(crate) only: Option<String>,
}

impl Faults {
    pub(crate) fn from_env() -> Self {
        let mut faults = Self::parse(&env::var("FAKE_CODEX_FAULT").unwrap_or_default());
        faults.only = env::var("FAKE_CODEX_FAULT_IN").ok().filter(|text| !text.is_empty());
        faults
    }

    fn parse(text: &str) -> Self {
        let mut faults = Self::default();
        for fault in text.split(',').map(str::trim) {
            let (word, rest) = fault.split_once(':').unwrap_or((fault, ""));
            match word {
                "exit-at-start" => faults.exit_at_start = true,
                "exit-when-ready" => faults.exit_when_ready = Some(Duration::from_millis(number(rest, 10))),
                "garbage" => faults.garbage = true,
                "hang-at-version" => faults.hang_at_version = true,
                "hang-at-initialize" => faults.hang_at_initialize = true,
                "mcp-only" => faults.mcp_only = true,
                "exit-at-turn" => faults.exit_at_turn = Some(Stage::parse(rest)),
                "hang-at-turn" => faults.hang_at_turn = Some(Stage::parse(rest)),
                "torn" => faults.torn = true,
                "overloaded" => faults.overloaded = number(rest, 1),
                "wider" => faults.wider = true,
                "approval" => faults.approval = true,
                "ask-input" => faults.person = Some(Asked::Input),
                "ask-permissions" => faults.person = Some(Asked::Permissions),
                "ask-elicitation" => faults.person = Some(Asked::Elicitation),
                "ask-unknown" => faults.person = Some(Asked::Unknown),
                "small-pages" => faults.small_pages = true,
                "big-line" => faults.big_line = Some(number(rest, 1 << 20)),
                "flood" => faults.flood = Some(number(rest, 100_000)),
                "stderr-flood" => faults.stderr_flood = Some(number(rest, 64_000_000)),
                "unknown-notes" => faults.unknown_notes = true,
                "half-lines" => faults.half_lines = true,
                "odd-ids" => faults.odd_ids = true,
                "late-replies" => faults.late_replies = true,
                "slow-stdin" => faults.slow_stdin = Some(Duration::from_millis(number(rest, 1))),
                "held" => faults.held = Some(Duration::from_millis(number(rest, 3000))),
                _ => {}
            }
        }
        faults
    }

    /// Whether a turn with this prompt is one that faults of turns are meant for.
    pub(crate) fn concern(&self, prompt: &str) -> bool {
        self.only.as_ref().is_none_or(|text| prompt.contains(text.as_str()))
    }

    /// Whether a fault that ends the process, or hangs it, strikes now: always, or once if `FAKE_CODEX_FAULT_ONCE` names a file.
    pub(crate) fn strikes(&self) -> bool {
        env::var_os("FAKE_CODEX_FAULT_ONCE").is_none_or(|path| File::create_new(path).is_ok())
    }
}

/// Writes what `stderr-flood` wants. It waits for whoever reads it.
pub(crate) fn flood_stderr(faults: &Faults) {
    let Some(bytes) = faults.stderr_flood else { return };
    let line = format!("{}\n", "WARN fake_codex: so it goes on and on".repeat(3));
    let mut stderr = io::stderr().lock();
    // What nobody reads is not wanted.
    let _ = stderr.write_all(&[b'x'; LONG_LINE]).and_then(|()| stderr.write_all(b"\n"));
    for _ in 0..bytes / line.len() {
        let _ = stderr.write_all(line.as_bytes());
    }
    let _ = writeln!(stderr, "{LAST_WORDS}");
}

/// Ends the process a moment after it has shaken hands, when `exit-when-ready` wants that.
pub(crate) fn exit_when_ready(faults: &Faults) {
    let Some(pause) = faults.exit_when_ready.filter(|_| faults.strikes()) else { return };
    std::thread::spawn(move || {
        std::thread::sleep(pause);
        let words = "fake-codex: \u{1b}[31mit can't go on\u{1b}[0m\u{7}\u{8}\r\nfake-codex: so it ends\n";
        let _ = io::stderr().write_all(words.as_bytes());
        std::process::exit(1);
    });
}

/// The argument of a word, or what it is when none is told.
fn number<T: FromStr>(text: &str, otherwise: T) -> T {
    text.parse().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_faults_and_their_arguments() {
        let faults = Faults::parse("overloaded:3, exit-at-turn:user,torn,hang-at-turn,flood,held:5,nonsense");
        assert_eq!(faults.overloaded, 3);
        assert_eq!((faults.exit_at_turn, faults.hang_at_turn), (Some(Stage::User), Some(Stage::Request)));
        assert_eq!((faults.flood, faults.held), (Some(100_000), Some(Duration::from_millis(5))));
        assert!(faults.torn && !faults.garbage);
    }

    #[test]
    fn a_text_chooses_the_turns_that_are_struck() {
        let mut faults = Faults::parse("flood");
        assert!(faults.concern("any"));
        faults.only = Some("STRIKE".to_owned());
        assert!(faults.concern("SAY:x\nSTRIKE") && !faults.concern("SAY:x"));
    }
}
