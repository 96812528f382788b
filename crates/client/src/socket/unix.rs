//! A socket on Unix.

use std::{io, path::Path};

use tokio::net::UnixStream;

/// Connects.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Its folder says so.
pub(crate) const fn is_ours(_stream: &UnixStream) -> Result<(), String> {
    Ok(())
}
