//! Connections to a host on Unix.

use std::{io, path::Path};

pub(super) use tokio::net::UnixStream as Stream;

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}
