//! Our tokens, wherever they turn up in a text: they are left out before the text is kept, told or given to Codex.
//!
//! A token is recognised by its form, `cdx_` and 43 characters of base64url: whether it opens anything, or did once, or belongs to another
//! daemon does not matter. What surrounds it does not matter either, so that one in an address, or with something at its end, is found.
//!
//! This is the one place that knows the form. Those who take texts in call it: the bodies of requests, the lines of Codex, the stores of the
//! first version, the log.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What our tokens begin with.
pub const TOKEN_PREFIX: &str = "cdx_";

/// How many characters follow: 32 bytes in base64url.
const TOKEN_CHARS: usize = 43;

/// What stands in a token's place. It needs no escape in JSON.
pub const REDACTED: &str = "[redacted token]";

/// A whole token, in bytes.
const TOKEN_BYTES: usize = TOKEN_PREFIX.len() + TOKEN_CHARS;

/// The text without tokens of ours.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let (clean, rest) = clean(text);
    if clean.is_empty() { Cow::Borrowed(rest) } else { Cow::Owned(clean + rest) }
}

/// The same for every text in a JSON value, the names of fields included.
fn redact_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = redact(text) {
                *text = clean;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact_json),
        Value::Object(fields) => redact_fields(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The same for an object.
pub fn redact_fields(fields: &mut Map<String, Value>) {
    if fields.keys().any(|name| matches!(redact(name), Cow::Owned(_))) {
        *fields = std::mem::take(fields).into_iter().map(|(name, value)| (redact(&name).into_owned(), value)).collect();
    }
    fields.values_mut().for_each(redact_json);
}

/// A text that comes in pieces, in which a token may be cut: what could be the beginning of one is held back until more of it is known.
/// All that was let through is always a beginning of what [`redact`] makes of the whole.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    held: String,
}

impl Redactor {
    /// The next piece; what may be shown of it, and of what was held.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let (mut shown, rest) = clean(&self.held);
        let open = rest.len() - unfinished(rest);
        shown.push_str(&rest[..open]);
        self.held = rest[open..].to_owned();
        shown
    }
}

/// Everything up to the end of the last token, without tokens, and the rest.
fn clean(text: &str) -> (String, &str) {
    let (mut clean, mut rest, mut from) = (String::new(), text, 0);
    while let Some(at) = rest[from..].find(TOKEN_PREFIX).map(|at| from + at) {
        if is_token(&rest.as_bytes()[at..]) {
            clean.push_str(&rest[..at]);
            clean.push_str(REDACTED);
            (rest, from) = (&rest[at + TOKEN_BYTES..], 0);
        } else {
            from = at + 1;
        }
    }
    (clean, rest)
}

fn is_token(bytes: &[u8]) -> bool {
    bytes.len() >= TOKEN_BYTES && bytes[TOKEN_PREFIX.len()..TOKEN_BYTES].iter().copied().all(is_of_token)
}

const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// How many bytes at the end may be the beginning of a token.
fn unfinished(text: &str) -> usize {
    let bytes = text.as_bytes();
    let begins = |tail: &[u8]| {
        let (prefix, rest) = tail.split_at(tail.len().min(TOKEN_PREFIX.len()));
        TOKEN_PREFIX.as_bytes().starts_with(prefix) && rest.iter().copied().all(is_of_token)
    };
    let longest = bytes.len().min(TOKEN_BYTES - 1);
    (1..=longest).rev().find(|count| begins(&bytes[bytes.len() - count..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "cdx_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM0123";

    #[test]
    fn a_token_is_found_wherever_it_is() {
        assert_eq!(TOKEN.len(), TOKEN_BYTES);
        for (text, clean) in [
            (TOKEN.to_owned(), REDACTED.to_owned()),
            (format!("a {TOKEN} b"), format!("a {REDACTED} b")),
            (format!("Bearer {TOKEN}\\n"), format!("Bearer {REDACTED}\\n")),
            (format!("http://x/?t={TOKEN}&y"), format!("http://x/?t={REDACTED}&y")),
            (format!("x{TOKEN}x"), format!("x{REDACTED}x")),
            (format!("{TOKEN}{TOKEN}"), format!("{REDACTED}{REDACTED}")),
            (format!("ä{TOKEN}ä"), format!("ä{REDACTED}ä")),
            (format!("cdx_ {TOKEN}"), format!("cdx_ {REDACTED}")),
            (TOKEN[..46].to_owned(), TOKEN[..46].to_owned()),
            ("cdx_".to_owned(), "cdx_".to_owned()),
            ("no token".to_owned(), "no token".to_owned()),
        ] {
            assert_eq!(redact(&text), clean, "{text}");
        }
        assert!(matches!(redact("no token"), Cow::Borrowed(_)));
    }

    #[test]
    fn all_of_a_json_value_is_looked_at() {
        let mut value = json!({"a": [TOKEN, 1, {"b": format!("x {TOKEN}")}], TOKEN: null});
        redact_json(&mut value);
        assert_eq!(value, json!({"a": [REDACTED, 1, {"b": format!("x {REDACTED}")}], REDACTED: null}));
    }

    #[test]
    fn a_token_that_is_cut_is_never_shown() {
        let whole = format!("one {TOKEN} two cdx");
        for cut in 0..whole.len() {
            for cut_again in cut..whole.len() {
                let mut redactor = Redactor::default();
                let pieces = [&whole[..cut], &whole[cut..cut_again], &whole[cut_again..]];
                let shown: String = pieces.map(|piece| redactor.push(piece)).concat();
                assert_eq!(shown, format!("one {REDACTED} two "), "{pieces:?}");
            }
        }
    }

    proptest! {
        /// Whatever comes in whatever pieces: what is shown is a beginning of the whole without tokens, and little is held.
        #[test]
        fn pieces_are_as_good_as_the_whole(parts in prop::collection::vec(
            prop_oneof![Just(TOKEN.to_owned()), "[cdx_a ä]{0,6}", "cdx_[a-z]{0,50}", "[c_]{1,3}"], 0..8), step in 1..20_usize) {
            let whole = parts.concat();
            let clean = redact(&whole);
            let (mut redactor, mut shown) = (Redactor::default(), String::new());
            let mut rest = whole.as_str();
            while !rest.is_empty() {
                let cut = rest.floor_char_boundary(step.min(rest.len())).max(rest.chars().next().map_or(1, char::len_utf8));
                shown.push_str(&redactor.push(&rest[..cut]));
                rest = &rest[cut..];
            }
            prop_assert!(clean.starts_with(&shown), "{shown} of {clean}");
            prop_assert!(clean.len() - shown.len() < TOKEN_BYTES);
            prop_assert!(!shown.contains(TOKEN));
        }
    }
}
