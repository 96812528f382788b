//! The header `Idempotency-Key`: the same request under the same key is done once.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, Method, Uri};
use engine::Idempotency;
use sha2::{Digest as _, Sha256};
use types::redact;

use super::bad;
use crate::error::Failure;

/// The header.
const NAME: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
const LONGEST: usize = 255;

/// The key of a request, if it has one.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("the header Idempotency-Key is given more than once"));
    }
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad(format!(
            "the header Idempotency-Key must have 1 to {LONGEST} visible ASCII characters and no spaces; a UUID will do"
        )));
    }
    // It is kept.
    if matches!(redact(text), Cow::Owned(_)) {
        return Err(bad("the header Idempotency-Key must not have a token in it; a UUID will do"));
    }
    Ok(Some(text.to_owned()))
}

/// Binds a key to what it came with: whatever differs is another request.
pub(super) fn bind(key: String, method: &Method, uri: &Uri, body: &[u8]) -> Idempotency {
    let (method, path) = (method.as_str().to_owned(), uri.path().to_owned());
    Idempotency { key, method, path, body: Sha256::digest(body).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_plain_word() {
        let look = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NAME, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            of(&headers).map_err(drop)
        };
        let longest = "x".repeat(LONGEST);
        assert_eq!(look(&[]), Ok(None));
        for right in ["a", "\"quoted\"", "0192-af", "~!", longest.as_str()] {
            assert_eq!(look(&[right]), Ok(Some(right.to_owned())), "{right}");
        }
        for wrong in ["", "a b", "a\tb", "é", &"x".repeat(LONGEST + 1)] {
            assert_eq!(look(&[wrong]), Err(()), "{wrong:?}");
        }
        assert_eq!(look(&["a", "a"]), Err(()));
    }
}
