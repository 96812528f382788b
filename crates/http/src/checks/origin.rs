//! Check 2: a web page calls only when it came from us, or from where the operator says. Browsers put `Origin` on every
//! request that could change something; programs send none.

use axum::http::{HeaderMap, header};
use types::Code;

use crate::error::Failure;

/// The origins, besides our own, whose pages may call.
#[derive(Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    /// The origins that the operator allows: scheme, host and port, as browsers send them.
    pub(crate) fn new(allowed: &[String]) -> Self {
        Self(allowed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    /// Passes a request without `Origin`, or with one that is allowed. Another port of the same host is another origin.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let single = origins.next().is_none();
        if single && !origin.is_empty() && origin != "null" && (self.is_own(origin, headers) || self.lists(origin)) {
            return Ok(());
        }
        let shown: String = origin.chars().take(64).collect();
        let detail = format!("pages of {shown:?} may not call this daemon; --allow-origin ORIGIN lets one do so");
        Err(Failure::new(Code::BadOrigin, detail))
    }

    fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        !host.is_empty() && origin.strip_prefix("http://").is_some_and(|own| own.as_bytes() == host.as_bytes())
    }

    fn lists(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(origins: &[&str], host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        Origins::new(&["https://Box.example/".into(), "null".into(), "".into()]).check(&headers).is_ok()
    }

    #[test]
    fn only_the_own_origin_and_the_listed_ones() {
        let host = "localhost:8787";
        assert!(passes(&[], host));
        assert!(passes(&["http://localhost:8787"], host));
        assert!(passes(&["https://box.example"], host));
        for foreign in [
            "http://localhost",
            "http://localhost:8788",
            "https://localhost:8787",
            "http://127.0.0.1:8787",
            "null",
            "",
            "http://localhost:8787/",
            "http://localhost:8787.evil.example",
            "http://evil@localhost:8787",
            "http://box.example",
            "https://box.example:444",
            "https://sub.box.example",
            "file://",
            "localhost:8787",
        ] {
            assert!(!passes(&[foreign], host), "{foreign:?}");
        }
        assert!(!passes(&["http://localhost:8787", "http://localhost:8787"], host));
        assert!(!passes(&["http://"], ""));
    }
}
