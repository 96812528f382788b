//! Connections to a host on Windows.

use std::{io, path::Path};

pub(super) use tokio::net::windows::named_pipe::NamedPipeClient as Stream;

/// Only to a pipe of this user's: the secret is said there.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    let stream = win32::pipe::connect(path.as_os_str()).await?;
    if win32::pipe::is_ours(&stream)? {
        Ok(stream)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the pipe belongs to another user"))
    }
}
