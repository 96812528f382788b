//! A pipe on Windows.

use std::{io, path::Path};

use tokio::net::windows::named_pipe::NamedPipeClient;

/// Connects; the caller says for how long that may take.
pub(crate) async fn connect(path: &Path) -> io::Result<NamedPipeClient> {
    win32::pipe::connect(path.as_os_str()).await
}

/// Why not, if it is another user's.
pub(crate) fn is_ours(stream: &NamedPipeClient) -> Result<(), String> {
    match win32::pipe::is_ours(stream) {
        Ok(true) => Ok(()),
        Ok(false) => Err("the pipe belongs to another user".to_owned()),
        Err(error) => Err(format!("whose the pipe is can't be seen ({error})")),
    }
}
