//! Changes of files as diffs. Pure: changes in, text out.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use types::ChangeKind;

use super::GOOD;

pub(super) const NEW: Style = GOOD;
pub(super) const GONE: Style = AnsiColor::Red.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();

/// A change as a diff. Of a file that comes or goes Codex may tell the content alone. `text` is the change's `diff`, with whatever
/// a terminal would obey made harmless.
pub(super) fn unified(kind: ChangeKind, text: &str) -> String {
    let mark = match kind {
        ChangeKind::Add => "+",
        ChangeKind::Delete => "-",
        ChangeKind::Update | ChangeKind::Move => "",
    };
    if text.starts_with("@@ ") || text.starts_with("--- ") {
        return text.to_owned();
    }
    text.lines().map(|line| format!("{mark}{line}\n")).collect()
}

/// The lines of a diff, indented, with their colours.
pub(super) fn coloured(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |mut text, line| {
        let style = match line.as_bytes() {
            [b'+', ..] => NEW,
            [b'-', ..] => GONE,
            [b'@', b'@', ..] => PLACE,
            _ => Style::new(),
        };
        let _ = writeln!(text, "  {style}{line}{style:#}");
        text
    })
}

/// How many lines of a diff come and go.
pub(super) fn counted(unified: &str) -> (usize, usize) {
    let of = |mark: &str, head: &str| {
        unified.lines().filter(|line| line.starts_with(mark) && !line.starts_with(head)).count()
    };
    (of("+", "+++ "), of("-", "--- "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_alone_becomes_a_diff() {
        assert_eq!(unified(ChangeKind::Add, "a\nb"), "+a\n+b\n");
        assert_eq!(unified(ChangeKind::Delete, "a\n"), "-a\n");
        assert_eq!(unified(ChangeKind::Update, "@@ -1 +1 @@\n-a\n+b\n"), "@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(counted("--- a\n+++ b\n@@ -1 +1,2 @@\n-a\n+b\n+c\n d\n"), (2, 1));
    }
}
