//! Nothing is looked at: see the module.

use std::{net::SocketAddr, path::Path};

use types::DaemonFile;

/// It is told in ways of each system's own.
pub(super) const fn process_start(_pid: u32) -> Option<u64> {
    None
}

#[expect(clippy::unnecessary_wraps, reason = "as on the other platforms")]
pub(super) fn is_somebody_else(_file: &Path, _daemon: &DaemonFile, _address: SocketAddr) -> Result<(), String> {
    Ok(())
}
