//! Takes out of a foreign text whatever a terminal would obey.
//!
//! Gone are control characters (of both sets, but for newline and tab), escape sequences with all that belongs to them, and
//! the marks that reverse the order in which a line is shown. Letters of all scripts stay.

use std::borrow::Cow;

/// A text of several lines, harmless. A carriage return ends a line, so that nothing is written over what stands there.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_obeyed) else { return Cow::Borrowed(text) };
    let mut cleaned = text[..first].to_owned();
    let mut rest = &text[first..];
    while let Some(at) = rest.find(is_obeyed) {
        cleaned.push_str(&rest[..at]);
        let after = after(&rest[at..]);
        if rest[at..].starts_with('\r') && !after.starts_with('\n') {
            cleaned.push('\n');
        }
        rest = after;
    }
    cleaned.push_str(rest);
    Cow::Owned(cleaned)
}

/// Cleans a text that comes in pieces: all of them together come out as [`clean`] has the whole. What may be the beginning of a
/// sequence is held back until it is known how it goes on.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    held: String,
}

/// The most that is held back, in bytes. Of a longer sequence the beginning goes, and the rest is text.
const HELD: usize = 4096;

impl Cleaner {
    /// What can be shown now.
    pub(crate) fn push(&mut self, more: &str) -> String {
        self.held.push_str(more);
        let known = known(&self.held);
        let known = if self.held.len() - known > HELD { self.held.len() } else { known };
        let cleaned = clean(&self.held[..known]).into_owned();
        self.held.drain(..known);
        cleaned
    }

    /// What was held back, when nothing more comes.
    pub(crate) fn end(&mut self) -> String {
        clean(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// How much of a text is the same however it goes on, in bytes.
fn known(text: &str) -> usize {
    let mut rest = text;
    while let Some(at) = rest.find(is_obeyed) {
        let here = &rest[at..];
        if is_open(here) {
            return text.len() - here.len();
        }
        rest = after(here);
    }
    text.len()
}

/// Whether a sequence, with which the text begins, may go on behind its end.
fn is_open(text: &str) -> bool {
    let csi = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| matches!(c, '0'..='?'));
        rest.trim_start_matches(|c: char| matches!(c, ' '..='/')).is_empty()
    };
    let string = |rest: &str| !rest.contains('\n') && string_end(rest).is_none();
    let mut chars = text.chars();
    let first = chars.next();
    let rest = chars.as_str();
    match (first, rest.bytes().next()) {
        (Some('\r' | '\x1b'), None) => true,
        (Some('\x1b'), Some(b'[')) => csi(&rest[1..]),
        (Some('\x1b'), Some(b']' | b'P' | b'X' | b'^' | b'_')) => string(&rest[1..]),
        (Some('\x1b'), Some(b' '..=b'/')) => rest.trim_start_matches(|c: char| matches!(c, ' '..='/')).is_empty(),
        (Some('\u{9b}'), _) => csi(rest),
        (Some('\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}'), _) => string(rest),
        _ => false,
    }
}

/// What follows the sequence with which a text begins.
fn after(text: &str) -> &str {
    let mut chars = text.chars();
    match chars.next() {
        Some('\x1b') => after_escape(chars.as_str()),
        Some('\u{9b}') => after_csi(chars.as_str()),
        Some('\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => after_string(chars.as_str()),
        _ => chars.as_str(),
    }
}

/// A text on one line, harmless.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

fn is_obeyed(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What follows the escape character: ECMA-48 5.3 and 5.4, and the strings of 5.6.
fn after_escape(rest: &str) -> &str {
    match rest.bytes().next() {
        Some(b'[') => after_csi(&rest[1..]),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => after_string(&rest[1..]),
        Some(b' '..=b'~') => {
            let last = rest.trim_start_matches(|c: char| matches!(c, ' '..='/'));
            skip_if(last, |c| matches!(c, '0'..='~'))
        }
        _ => rest,
    }
}

/// Parameters, intermediates, and the letter that ends the sequence.
fn after_csi(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c: char| matches!(c, '0'..='?'));
    let rest = rest.trim_start_matches(|c: char| matches!(c, ' '..='/'));
    skip_if(rest, |c| matches!(c, '@'..='~'))
}

/// A title, a link, a clipboard: up to its terminator. Without one on this line only its beginning goes, so that nobody can
/// hide the rest of an answer.
fn after_string(rest: &str) -> &str {
    string_end(rest).map_or(rest, |end| &rest[end..])
}

fn string_end(rest: &str) -> Option<usize> {
    let line = rest.lines().next().unwrap_or_default();
    let ends = ["\x07", "\u{9c}", "\x1b\\"];
    ends.iter().filter_map(|end| line.find(end).map(|at| at + end.len())).min()
}

fn skip_if(rest: &str, last: impl FnOnce(char) -> bool) -> &str {
    let mut chars = rest.chars();
    if chars.next().is_some_and(last) { chars.as_str() } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_script_stays() {
        for text in ["", "a\tb\nc\n", "日本語 ünï 👩‍👩‍👧 العربية", "5 > 3 [31m is text"] {
            assert!(matches!(clean(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_gone() {
        for (text, cleaned) in [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[2J\x1b[1;1Hover", "over"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b]52;c;cm0gLXJm\x07x", "x"),
            ("\x1bPq#1\x1b\\x", "x"),
            ("\u{9b}31mred", "red"),
            ("\u{9d}0;title\u{9c}x", "x"),
            ("\x1bcreset", "reset"),
            ("\x1b(0lines\x1b(B", "lines"),
            ("a\x08\x08\x08b\x07\x7f", "ab"),
            ("pass\rfail", "pass\nfail"),
            ("a\r\nb", "a\nb"),
            ("safe\u{202e}txt.exe", "safetxt.exe"),
            ("\x1b", ""),
            ("\x1b[", ""),
            ("\x1b[31", ""),
            ("\x1b\x1b[31mx", "x"),
            ("\x1b[3\x1b[1mx", "x"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }

    #[test]
    fn an_open_string_hides_nothing_that_follows() {
        assert_eq!(clean("\x1b]0;never closed\nrm -rf"), "0;never closed\nrm -rf");
        assert_eq!(clean("\x1b]0;é\nx\x07y"), "0;é\nxy");
    }

    /// Of what sequences are made.
    const PARTS: [&str; 14] =
        ["\x1b", "[", "]", "\u{9b}", "\u{9d}", "\u{9c}", "\x07", "\\", "3", "m", " ", "\n", "\r", "é"];

    #[test]
    fn pieces_come_out_as_the_whole() {
        let mut texts = Vec::new();
        for a in PARTS {
            for b in PARTS {
                for c in PARTS {
                    texts.push(["x", a, b, c, "3", a, "y"].concat());
                }
            }
        }
        texts.push("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\ \x1b[31mred\x1b[0m \x1b(0b\r\n\r.".to_owned());
        for text in texts {
            let cuts = text.char_indices().map(|(at, _)| at);
            for cut in cuts {
                let mut cleaner = Cleaner::default();
                let (one, two) = (cleaner.push(&text[..cut]), cleaner.push(&text[cut..]));
                for piece in [&one, &two] {
                    assert!(!piece.contains(is_obeyed), "{text:?} at {cut}: {piece:?}");
                }
                assert_eq!(format!("{one}{two}{}", cleaner.end()), clean(&text), "{text:?} at {cut}");
            }
            let mut cleaner = Cleaner::default();
            let mut all: String = text.chars().map(|c| cleaner.push(&c.to_string())).collect();
            all.push_str(&cleaner.end());
            assert_eq!(all, clean(&text), "{text:?}");
        }
    }

    #[test]
    fn plain_text_is_shown_at_once_and_nothing_is_held_back_for_ever() {
        let mut cleaner = Cleaner::default();
        assert_eq!(cleaner.push("日本"), "日本");
        assert_eq!(cleaner.push("\x1b]0;"), "");
        let mut shown = String::new();
        for _ in 0..2 * HELD {
            shown.push_str(&cleaner.push("x"));
        }
        assert!(shown.len() > HELD && shown.starts_with("0;x"), "{}", shown.len());
    }

    #[test]
    fn whatever_is_cleaned_is_harmless() {
        // Every pair and triple of the characters that sequences are made of.
        let parts = PARTS;
        for a in parts {
            for b in parts {
                for c in parts {
                    let text = [a, b, c, a].concat();
                    let cleaned = clean(&text);
                    assert!(!cleaned.contains(is_obeyed), "{text:?} -> {cleaned:?}");
                }
            }
        }
    }
}
