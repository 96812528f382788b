//! What was asked of Codex, in the words in which the store keeps it: so that an answer that comes to another daemon finds its question.

use agent::{Ask, AskKind};
use types::ThreadId;

/// The word for a copy of a thread.
pub(crate) const FORK: &str = "fork";

/// The word for an ask; the other direction is [`kind`].
pub(crate) const fn word(ask: &Ask) -> &'static str {
    match ask {
        Ask::StartThread(_) => "start",
        Ask::ResumeThread { .. } => "resume",
        Ask::Inject { .. } => "inject",
        Ask::StartTurn(_) => "turn",
        Ask::Interrupt { .. } => "interrupt",
        Ask::Steer { .. } => "steer",
        Ask::Fork { .. } => FORK,
        Ask::CleanTerminals { .. } => "clean",
        Ask::Compact { .. } => "compact",
        Ask::DeleteThread { .. } => "delete",
        Ask::Record { .. } => "record",
        Ask::Revert { .. } => "revert",
        Ask::Models => "models",
        Ask::Limits => "limits",
    }
}

/// What a word stands for; none for words of versions before, whose asks nobody waits for.
pub(crate) fn kind(word: &str) -> Option<AskKind> {
    Some(match word {
        "start" => AskKind::StartThread,
        "resume" => AskKind::ResumeThread,
        "inject" => AskKind::Inject,
        "turn" => AskKind::StartTurn,
        "interrupt" => AskKind::Interrupt,
        "steer" => AskKind::Steer,
        FORK => AskKind::Fork,
        "clean" => AskKind::CleanTerminals,
        "compact" => AskKind::Compact,
        "delete" => AskKind::DeleteThread,
        "record" => AskKind::Record,
        "revert" => AskKind::Revert,
        _ => return None,
    })
}

/// The thread that an ask is about.
pub(crate) fn thread(ask: &Ask) -> Option<&ThreadId> {
    match ask {
        Ask::ResumeThread { thread, .. }
        | Ask::Inject { thread, .. }
        | Ask::Interrupt { thread, .. }
        | Ask::Steer { thread, .. }
        | Ask::Fork { thread, .. }
        | Ask::CleanTerminals { thread }
        | Ask::Record { thread, .. }
        | Ask::Revert { thread, .. }
        | Ask::Compact { thread }
        | Ask::DeleteThread { thread } => Some(thread),
        Ask::StartTurn(turn) => turn.thread.as_ref(),
        Ask::StartThread(_) | Ask::Models | Ask::Limits => None,
    }
}
