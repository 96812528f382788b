//! A file of JSON, or in words why it is none.
//!
//! The first version wrote a session's file in place and did not always wait for the disk: a file that ends in the middle, is
//! empty, or has NUL bytes for content is what a crash or a power failure left of it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// The largest file that is read, in bytes.
const FILE_BYTES: u64 = 256 << 20;

/// What editors put at the beginning of a file; it is no part of the JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file that should be an object of this type. An error is a text for people that fits behind the file's name.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, String> {
    let bytes = bytes(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "was there when the folder was listed, and is gone".to_owned(),
        _ => format!("can't be read: {error}"),
    })?;
    let Some(bytes) = bytes else {
        return Err(format!("is larger than {} MiB, which is the most that is read", FILE_BYTES >> 20));
    };
    parse(&bytes, what)
}

/// What is in a file; `None` when it is too much.
fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > FILE_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    // It may be growing.
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= FILE_BYTES).then_some(bytes))
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    let clean = std::str::from_utf8(bytes).map(types::redact);
    let bytes = clean.as_ref().map_or(bytes, |text| text.as_bytes());
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err("is empty: the first version was probably stopped when it began to write it".to_owned());
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err("has nothing but NUL bytes: what was written to it never reached the disk".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        format!("is not UTF-8: what stands at line {line} column {column} is no character")
    })?;
    // An array would be taken for an object whose fields stand in their order.
    if !text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Err(format!("is JSON, but not an object, and so not {what}"));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => format!(
            "ends in the middle, at line {} column {}: the first version was probably stopped while it wrote it",
            error.line(),
            error.column()
        ),
        Category::Data => format!("is JSON, but not {what}: {error}"),
        Category::Syntax | Category::Io => format!("is not JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn reason(bytes: &[u8]) -> String {
        parse::<Map<String, Value>>(bytes, "a session").unwrap_err()
    }

    #[test]
    fn reasons_say_what_is_wrong_and_where() {
        for (bytes, expected) in [
            (&b""[..], "is empty: "),
            (b" \n", "is empty: "),
            (b"\0\0\0\0", "has nothing but NUL bytes"),
            (b"{\n  \"a\": 1,\n  \"b", "ends in the middle, at line 3 column 4: "),
            (b"{\"a\": [1, 2", "ends in the middle, at line 1 column 11: "),
            (b"{\n\"a\": \"b\xFF\"}", "is not UTF-8: what stands at line 2 column 8 is no character"),
            (b"\xFF\xFE{\0}\0", "is not UTF-8: what stands at line 1 column 1 is no character"),
            (b"{\n} {", "is not JSON: trailing characters at line 2 column 3"),
            (b"{\"a\": \"\0\"}", "is not JSON: control character"),
            (b"{\"a\": NaN}", "is not JSON: expected value at line 1 column 7"),
            (b"<html>", "is not JSON: expected value at line 1 column 1"),
            (b"[1, 2]", "is JSON, but not an object, and so not a session"),
            (b"null", "is JSON, but not an object, and so not a session"),
        ] {
            let reason = reason(bytes);
            assert!(reason.starts_with(expected), "{bytes:?}: {reason}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parse::<Map<String, Value>>(b"\xEF\xBB\xBF{}", "a session"), Ok(Map::new()));
    }
}
