//! Check 3: who comes by TCP shows a token.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::http::{HeaderMap, header};
use engine::{Grants, Key};
use types::Grant;

/// So many failed authentications are answered each second, whoever they come from.
const FAILURES_A_SECOND: f64 = 10.0;

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No `Authorization` at all.
    Nothing,
    /// The token of this grant.
    Token(Arc<Grant>, Key),
    /// Something that is no token of ours.
    Wrong,
}

/// Looks at the headers.
pub(crate) fn shown(headers: &HeaderMap, grants: &Grants) -> Shown {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Shown::Nothing };
    let secret = bearer(value.as_bytes()).filter(|_| values.next().is_none());
    secret.and_then(|secret| grants.find(secret)).map_or(Shown::Wrong, |(grant, key)| Shown::Token(grant, key))
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
        let grants = Grants::default();
        grants.add_at_start("secret-a");
        let look = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            shown(&headers, &grants)
        };
        assert_eq!(look(&[]), Shown::Nothing);
        for right in ["Bearer secret-a", "bEARER   secret-a "] {
            assert!(matches!(look(&[right]), Shown::Token(grant, _) if grant.name == "start"), "{right:?}");
        }
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
            assert_eq!(look(&[wrong]), Shown::Wrong, "{wrong:?}");
        }
        assert_eq!(look(&["Bearer secret-a", "Bearer secret-a"]), Shown::Wrong);
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
