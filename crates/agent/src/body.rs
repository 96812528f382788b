//! How a Codex is held: by this process, or by a host of its own.

use std::{path::Path, time::Duration};

use tokio::process::ChildStdout;
use types::{AgentId, agent::Backend};

use crate::{
    handshake::{Met, ShakeError, shake},
    hosts::{self, HostOptions, Unborn},
    locate::Located,
    process::Process,
    transport::{Hosted, Pipes},
};

/// How Codex is held.
pub(crate) enum Body {
    Own(Process, Pipes<ChildStdout>),
    Hosted(Hosted),
}

impl Body {
    /// Starts `program` as the server of `backend`, with a host of its own where there is to be one.
    pub(crate) async fn spawn(
        program: &Located,
        backend: Backend,
        agent: &AgentId,
        work_dir: &Path,
        hosts: Option<&HostOptions>,
        limit: Duration,
    ) -> Result<Self, Unborn> {
        if let Some(options) = hosts {
            return hosts::birth(options, program, backend, agent, work_dir, limit).await.map(Self::Hosted);
        }
        let (process, stdout, stdin) = Process::spawn(program, backend.as_str(), agent, work_dir).map_err(|error| {
            Unborn { error: error.to_string(), missing: error.kind() == std::io::ErrorKind::NotFound }
        })?;
        Ok(Self::Own(process, Pipes::new(stdout, stdin)))
    }

    /// Ends it, with some time for it to end by itself, and says what ended it.
    pub(crate) async fn finish(self, grace: Duration) -> String {
        match self {
            Self::Own(process, pipes) => {
                // With it goes Codex's stdin.
                drop(pipes);
                process.finish(grace).await
            }
            Self::Hosted(hosted) => hosted.finish(grace).await,
        }
    }

    pub(crate) async fn shake(&mut self, backend: Backend, limit: Duration) -> Result<Met, ShakeError> {
        match self {
            Self::Own(_, pipes) => shake(pipes, backend, limit).await,
            Self::Hosted(hosted) => shake(hosted, backend, limit).await,
        }
    }
}
