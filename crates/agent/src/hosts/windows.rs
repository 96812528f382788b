//! Windows has no hosts yet: Codex is held in this process, and ends with it.

use std::{path::Path, time::Duration};

use types::{AgentId, Timestamp, agent::Backend};

use super::{HostOptions, Unborn};
use crate::{handshake::Met, locate::Located, transport::Hosted};

/// An agent that was found running.
pub(crate) struct Found {
    pub(crate) agent: AgentId,
    pub(crate) hosted: Hosted,
    pub(crate) met: Met,
    pub(crate) passed: Vec<String>,
    pub(crate) busy: Vec<String>,
    pub(crate) started: Timestamp,
}

pub(crate) async fn find(_options: &HostOptions) -> Option<Found> {
    None
}

pub(crate) async fn birth(
    _options: &HostOptions,
    _program: &Located,
    _backend: Backend,
    _agent: &AgentId,
    _work_dir: &Path,
    _limit: Duration,
) -> Result<Hosted, Unborn> {
    Err(Unborn { error: "there is no agent host on Windows".to_owned(), missing: false })
}

/// There are none.
pub(super) fn alive(_agents: &Path) -> Vec<u32> {
    Vec::new()
}

/// There are none.
pub(super) async fn end_all(_agents: &Path) -> usize {
    0
}
