//! The typed calls.

use std::{fmt::Write as _, ops::Deref, time::Duration};

use bytes::Bytes;
use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use types::agent::AgentInfo;

use crate::{Answer, Client, Continue, Error, Health, SHORT_LIMIT, SessionDetail, Sessions, Start, error::refused};

/// An answer, decoded and as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// The fields that this client knows.
    pub value: T,
    /// The JSON, with whatever else a newer daemon told.
    pub json: Bytes,
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success, and with
/// [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `GET /health`: is it alive, and ready?
    pub async fn health(&self) -> Result<Reply<Health>, Error> {
        self.get("/health").await
    }

    /// `GET /v1/agent`: the Codex that it keeps.
    pub async fn agent(&self) -> Result<Reply<AgentInfo>, Error> {
        self.get("/v1/agent").await
    }

    /// `POST /start`: makes a session and waits for its first turn, up to `limit`. The daemon itself answers after 1800 s,
    /// with status 504 and the ids, when the turn is still running then.
    pub async fn start(&self, start: &Start, limit: Duration) -> Result<Reply<Answer>, Error> {
        self.post("/start", start, limit).await
    }

    /// `POST /continue`: a further turn, waited for as in [`Client::start`].
    pub async fn continue_(&self, further: &Continue, limit: Duration) -> Result<Reply<Answer>, Error> {
        self.post("/continue", further, limit).await
    }

    /// `GET /sessions`: all of them, newest activity first.
    pub async fn sessions(&self) -> Result<Reply<Sessions>, Error> {
        self.get("/sessions").await
    }

    /// `GET /sessions/{id}`: one, with its history.
    pub async fn session(&self, id: &str) -> Result<Reply<SessionDetail>, Error> {
        self.get(&format!("/sessions/{}", escaped(id))).await
    }

    /// `GET /sessions/search`: the best matches, filled up with the newest ones to `limit`, which the daemon clamps to 1..10.
    pub async fn search(&self, query: &str, limit: Option<u32>) -> Result<Reply<Sessions>, Error> {
        let mut path = format!("/sessions/search?q={}", escaped(query));
        if let Some(limit) = limit {
            let _ = write!(path, "&limit={limit}");
        }
        self.get(&path).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Reply<T>, Error> {
        self.call(Method::GET, path, None, SHORT_LIMIT).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<Reply<T>, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::BadAnswer { call: format!("POST {path}"), reason: error.to_string() })?;
        self.call(Method::POST, path, Some(body.into()), limit).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<Reply<T>, Error> {
        let call = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let (status, json) = self.request(method, path, body, limit).await?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), &json));
        }
        match serde_json::from_slice(&json) {
            Ok(value) => Ok(Reply { value, json }),
            Err(error) => Err(Error::BadAnswer { call, reason: error.to_string() }),
        }
    }
}

/// A text as one segment of a path, or one value of a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else if byte == b'.' && !matches!(text, "." | "..") {
            escaped.push('.');
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_segment() {
        assert_eq!(escaped("../x?y=ä&z"), "..%2Fx%3Fy%3D%C3%A4%26z");
        assert_eq!(escaped(".."), "%2E%2E");
        assert_eq!(escaped("019f-ab_c.d"), "019f-ab_c.d");
    }
}
