//! What the typed calls have in common: a request, its answer decoded, and the JSON as it came.

use std::{
    fmt::{Display, Write as _},
    ops::Deref,
    time::Duration,
};

use bytes::Bytes;
use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Client, Error, SHORT_LIMIT, error::refused};

/// An answer, decoded and as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// The fields that this client knows.
    pub value: T,
    /// The JSON, with whatever else a newer daemon told.
    pub json: Bytes,
    /// The idempotency key was known: what is told was begun by an earlier request, and nothing by this one.
    pub replayed: bool,
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// One call.
pub(crate) struct Call<'a> {
    method: Method,
    path: String,
    body: Option<Bytes>,
    key: Option<&'a str>,
    limit: Duration,
}

impl<'a> Call<'a> {
    /// A call without a body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, key: None, limit: SHORT_LIMIT }
    }

    /// GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// POST with a body.
    pub(crate) fn post(path: impl Into<String>, body: &impl Serialize) -> Result<Self, Error> {
        Self::new(Method::POST, path).with(body)
    }

    /// With a body.
    pub(crate) fn with(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| self.not_understood(&error))?;
        self.body = Some(body.into());
        Ok(self)
    }

    /// With an idempotency key.
    pub(crate) fn keyed(mut self, key: Option<&'a str>) -> Self {
        self.key = key;
        self
    }

    /// Asks the daemon to answer only when the turn has ended, or after that time.
    pub(crate) fn waiting(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.path = query(&self.path, [("wait", wait.as_secs())]);
            self.limit += wait;
        }
        self
    }

    /// With a limit of its own.
    pub(crate) const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn not_understood(&self, error: &serde_json::Error) -> Error {
        let path = self.path.split('?').next().unwrap_or(&self.path);
        Error::BadAnswer { call: format!("{} {path}", self.method), reason: error.to_string() }
    }
}

impl Client {
    /// Makes the call and decodes its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Reply<T>, Error> {
        let answer = self.raw(&call).await?;
        let value = serde_json::from_slice(&answer.body).map_err(|error| call.not_understood(&error))?;
        let replayed = answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true");
        Ok(Reply { value, json: answer.body, replayed })
    }

    /// Makes a call whose answer may have nothing to tell.
    pub(crate) async fn call_or_nothing<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, Error> {
        let answer = self.raw(&call).await?;
        if answer.body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer.body).map(Some).map_err(|error| call.not_understood(&error))
    }

    /// Makes a call whose answer has nothing to tell.
    pub(crate) async fn done(&self, call: Call<'_>) -> Result<(), Error> {
        self.raw(&call).await.map(drop)
    }

    async fn raw(&self, call: &Call<'_>) -> Result<crate::connection::Answer, Error> {
        let body = call.body.clone();
        let answer = self.exchange(call.method.clone(), &call.path, body, call.key, call.limit).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(refused(&call.method, &call.path, answer.status.as_u16(), &answer.body))
    }
}

/// A path with these values added to its query.
pub(crate) fn query<V: Display>(path: &str, values: impl IntoIterator<Item = (&'static str, V)>) -> String {
    let mut whole = path.to_owned();
    for (name, value) in values {
        let mark = if whole.contains('?') { '&' } else { '?' };
        let _ = write!(whole, "{mark}{name}={}", escaped(&value.to_string()));
    }
    whole
}

/// A text as one segment of a path, or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
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

    #[test]
    fn a_query_grows_value_by_value() {
        assert_eq!(query("/x", [("a", "1"), ("b", "k:v")]), "/x?a=1&b=k%3Av");
        assert_eq!(query("/x?y=1", [("a", 2)]), "/x?y=1&a=2");
        assert_eq!(query::<&str>("/x", []), "/x");
    }
}
