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
        let mut after = rest[at..].chars();
        let found = after.next();
        rest = match found {
            Some('\r') => {
                if !after.as_str().starts_with('\n') {
                    cleaned.push('\n');
                }
                after.as_str()
            }
            Some('\x1b') => after_escape(after.as_str()),
            Some('\u{9b}') => after_csi(after.as_str()),
            Some('\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => after_string(after.as_str()),
            _ => after.as_str(),
        };
    }
    cleaned.push_str(rest);
    Cow::Owned(cleaned)
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
    let line = rest.lines().next().unwrap_or_default();
    let ends = ["\x07", "\u{9c}", "\x1b\\"];
    let end = ends.iter().filter_map(|end| line.find(end).map(|at| at + end.len())).min();
    end.map_or(rest, |end| &rest[end..])
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

    #[test]
    fn whatever_is_cleaned_is_harmless() {
        // Every pair and triple of the characters that sequences are made of.
        let parts = ["\x1b", "[", "]", "\u{9b}", "\u{9d}", "\u{9c}", "\x07", "\\", "3", "m", " ", "\n", "\r", "é"];
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
