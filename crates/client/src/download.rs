//! An answer that is read piece by piece, because it may be larger than anybody wants to hold.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Error,
    connection::{ASK, Open},
};

/// The body of an answer as it comes. Dropping it closes the connection.
pub struct Download {
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
        Self { body: open.response.into_body(), address, limit, _driver: open.driver }
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
