//! How a running daemon is found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// `<store-dir>/daemon.json`: written when the daemon listens, removed when it stops cleanly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonFile {
    /// Its process.
    pub pid: u32,
    /// When that was started, as the system counts it, where it does; the number of a process is given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
    /// Since when it listens.
    pub started_at: Timestamp,
    /// The version of codexd.
    pub version: String,
    /// Its address, such as `http://127.0.0.1:8787`.
    pub http: Option<String>,
    /// Its socket.
    pub socket: Option<PathBuf>,
}

impl DaemonFile {
    /// The file's name in the store's folder.
    pub const NAME: &str = "daemon.json";
}
