//! What a program said last, for the message that says why it failed.

use std::fmt::Write as _;

/// How much of it is kept while it runs, and how much is shown.
const TAIL_BYTES: usize = 4096;
pub(super) const TAIL_LINES: usize = 12;

/// Adds what was read and forgets what is too old.
pub(super) fn keep(tail: &mut Vec<u8>, read: &[u8]) {
    tail.extend_from_slice(read);
    tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
}

/// The last lines, below ours. Without where npm's log is: that goes with the partial folder.
pub(super) fn last_words(tail: &[u8]) -> String {
    let said = String::from_utf8_lossy(tail);
    let lines: Vec<_> = said
        .lines()
        .map(|line| line.trim_end().replace(|letter: char| letter.is_control(), " "))
        .filter(|line| {
            !line.trim().is_empty() && !line.contains("complete log of this run") && !line.ends_with("-debug-0.log")
        })
        .collect();
    if lines.is_empty() {
        return "; it said nothing".to_owned();
    }
    let mut text = "; its last lines:".to_owned();
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        let _ = write!(text, "\n  {line}");
    }
    text
}
