//! Check 3: who comes by TCP shows a token.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// So many failed authentications are answered each second, whoever they come from.
const FAILURES_A_SECOND: f64 = 10.0;

/// A token that lets its holder in. Only its hash is kept.
#[derive(Clone)]
pub struct Token {
    name: String,
    hash: [u8; 32],
}

impl Token {
    /// The token of this name.
    #[must_use]
    pub fn new(name: &str, secret: &str) -> Self {
        Self { name: name.to_owned(), hash: Sha256::digest(secret).into() }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// No `Authorization` at all.
    Nothing,
    /// The token of this name.
    Token(&'a str),
    /// Something that is no token of ours.
    Wrong,
}

/// Looks at the headers. The time that it takes says nothing about which token it was, or how near a wrong one came.
pub(crate) fn shown<'a>(headers: &HeaderMap, tokens: &'a [Token]) -> Shown<'a> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Shown::Nothing };
    let Some(secret) = bearer(value.as_bytes()).filter(|_| values.next().is_none()) else { return Shown::Wrong };
    let hash: [u8; 32] = Sha256::digest(secret).into();
    let mut found = Shown::Wrong;
    for token in tokens {
        if bool::from(token.hash.ct_eq(&hash)) {
            found = Shown::Token(&token.name);
        }
    }
    found
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked(6)?;
    let secret = secret.strip_prefix(b" ")?.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !secret.is_empty()).then_some(secret)
}

/// Counts failed authentications: one bucket for all, so that it needs no memory for each of those who try.
#[derive(Debug)]
pub(crate) struct Attempts(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: FAILURES_A_SECOND, at: Instant::now() }))
    }
}

impl Attempts {
    /// Counts one failure. False when there were too many already.
    pub(crate) fn another(&self) -> bool {
        // A poisoned lock guards two numbers that are right whatever happened.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * FAILURES_A_SECOND).min(FAILURES_A_SECOND);
        self.at = now;
        let fine = self.left >= 1.0;
        if fine {
            self.left -= 1.0;
        }
        fine
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_one_well_formed_bearer_token_counts() {
        let tokens = [Token::new("a", "secret-a"), Token::new("b", "secret-b"), Token::new("empty", "")];
        let look = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            match shown(&headers, &tokens) {
                Shown::Token(name) => name.to_owned(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(look(&[]), "Nothing");
        assert_eq!(look(&["Bearer secret-a"]), "a");
        assert_eq!(look(&["bEARER   secret-b "]), "b");
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearer secret",
            "Bearer secret-a secret-b",
            "Bearersecret-a",
            "Basic secret-a",
            "secret-a",
        ] {
            assert_eq!(look(&[wrong]), "Wrong", "{wrong:?}");
        }
        assert_eq!(look(&["Bearer secret-a", "Bearer secret-a"]), "Wrong");
        assert!(!format!("{tokens:?}").contains("hash"));
    }

    #[test]
    fn ten_failures_a_second_and_then_it_refills() {
        let start = Instant::now();
        let mut bucket = Bucket { left: FAILURES_A_SECOND, at: start };
        assert_eq!((0..30).filter(|_| bucket.take(start)).count(), 10);
        assert!(bucket.take(start + Duration::from_millis(150)));
        assert!(!bucket.take(start + Duration::from_millis(150)));
        assert_eq!((0..30).filter(|_| bucket.take(start + Duration::from_secs(60))).count(), 10);
    }
}
