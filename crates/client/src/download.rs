//! An answer that is read piece by piece, because it may be larger than anybody wants to hold.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Error,
    connection::{ASK, Open},
};

/// The body of an answer as it comes. Dropping it closes the connection.
pub struct Download {
    headers: HeaderMap,
    body: Incoming,
    address: String,
    /// How long each piece may take.
    limit: Duration,
    _driver: JoinSet<hyper::Result<()>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Download {
    pub(crate) fn new(open: Open, address: String, limit: Duration) -> Self {
        let (head, body) = open.response.into_parts();
        Self { headers: head.headers, body, address, limit, _driver: open.driver }
    }

    /// Whether the answer says that it is of that media type.
    pub(crate) fn is_of(&self, media_type: &str) -> bool {
        let told = self.headers.get(CONTENT_TYPE).and_then(|told| told.to_str().ok()).unwrap_or_default();
        told.split(';').next().is_some_and(|told| told.trim().eq_ignore_ascii_case(media_type))
    }

    /// The error of an answer that must not end and did.
    pub(crate) fn broke_off(&self) -> Error {
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon has ended the stream");
        Error::Transport { doing: ASK, address: self.address.clone(), source }
    }

    /// The next piece; nothing at the end. A body that breaks off is an error, never an end.
    ///
    /// # Errors
    /// [`Error::Transport`] and [`Error::TimedOut`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame =
                timeout(self.limit, self.body.frame()).await.map_err(|_| Error::TimedOut { limit: self.limit })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    let source = io::Error::other(error);
                    return Err(Error::Transport { doing: ASK, address: self.address.clone(), source });
                }
                // Trailers are no data.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
