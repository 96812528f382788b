//! Faults on demand, from `FAKE_CODEX_FAULT`.
//!
//! | word | effect |
//! |---|---|
//! | `exit-at-start` | a server ends at once with status 1 |
//! | `garbage` | lines that are not JSON (one of them not UTF-8) at the start and in each turn |
//! | `hang-at-version` | `--version` never ends |
//! | `hang-at-initialize` | `initialize` is never answered |
//! | `mcp-only` | `app-server` prints the top-level help and ends, as a program would that knows only `mcp-server` |
//! | `exit-at-turn[:<when>]` | the process ends in a turn: at the `request` (unless told), after the `reply`, `started`, `user` or `answer` was sent |
//! | `overloaded:<n>` | the first n requests after `initialize` get the error -32001 |
//! | `wider` | `thread/start` and `thread/resume` reply with dangerFullAccess and never |
//! | `approval` | every turn asks for the approval of a command first |
//! | `ask-input`, `ask-permissions`, `ask-elicitation` | every turn asks a person first, for that; the answer tells what was replied (`app-server` only) |
//! | `small-pages` | `model/list` tells one model a page |
//! | `big-line:<bytes>` | every turn without a script of its own is answered in one line of that size |

use std::env;
use std::fs::File;

/// How far a turn comes before `exit-at-turn` strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Request,
    Reply,
    Started,
    User,
    Answer,
}

/// What a person can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Input,
    Permissions,
    Elicitation,
}

impl Asked {
    /// The word in the answer.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Permissions => "permissions",
            Self::Elicitation => "elicitation",
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) exit_at_start: bool,
    pub(crate) garbage: bool,
    pub(crate) hang_at_version: bool,
    pub(crate) hang_at_initialize: bool,
    pub(crate) mcp_only: bool,
    pub(crate) exit_at_turn: Option<Stage>,
    pub(crate) overloaded: usize,
    pub(crate) wider: bool,
    pub(crate) approval: bool,
    pub(crate) person: Option<Asked>,
    pub(crate) small_pages: bool,
    pub(crate) big_line: Option<usize>,
}

impl Faults {
    pub(crate) fn from_env() -> Self {
        Self::parse(&env::var("FAKE_CODEX_FAULT").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut faults = Self::default();
        for fault in text.split(',').map(str::trim) {
            let (word, rest) = fault.split_once(':').unwrap_or((fault, ""));
            match word {
                "exit-at-start" => faults.exit_at_start = true,
                "garbage" => faults.garbage = true,
                "hang-at-version" => faults.hang_at_version = true,
                "hang-at-initialize" => faults.hang_at_initialize = true,
                "mcp-only" => faults.mcp_only = true,
                "exit-at-turn" => {
                    faults.exit_at_turn = Some(match rest {
                        "reply" => Stage::Reply,
                        "started" => Stage::Started,
                        "user" => Stage::User,
                        "answer" => Stage::Answer,
                        _ => Stage::Request,
                    });
                }
                "overloaded" => faults.overloaded = rest.parse().unwrap_or(1),
                "wider" => faults.wider = true,
                "approval" => faults.approval = true,
                "ask-input" => faults.person = Some(Asked::Input),
                "ask-permissions" => faults.person = Some(Asked::Permissions),
                "ask-elicitation" => faults.person = Some(Asked::Elicitation),
                "small-pages" => faults.small_pages = true,
                "big-line" => faults.big_line = Some(rest.parse().unwrap_or(1 << 20)),
                _ => {}
            }
        }
        faults
    }

    /// Whether a fault that ends the process strikes now: always, or once if `FAKE_CODEX_FAULT_ONCE` names a file.
    pub(crate) fn strikes(&self) -> bool {
        env::var_os("FAKE_CODEX_FAULT_ONCE").is_none_or(|path| File::create_new(path).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_faults_and_their_arguments() {
        let faults = Faults::parse("overloaded:3, exit-at-turn:user,nonsense");
        assert_eq!(faults.overloaded, 3);
        assert_eq!(faults.exit_at_turn, Some(Stage::User));
        assert!(!faults.garbage);
    }
}
