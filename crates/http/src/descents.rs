//! Whose the process is that came by the socket: it may be an agent's, and is not the user at the machine then.
//!
//! How that is told is for whoever wires us to say: this crate knows nothing of processes.

use std::{fmt, sync::Arc};

use tokio::task::{JoinHandle, spawn_blocking};
use types::agent::Descent;

use crate::Peer;

/// Tells whose a process is, by its pid; cheap to clone.
#[derive(Clone)]
pub struct Descents(Arc<dyn Fn(u32) -> Descent + Send + Sync>);

impl fmt::Debug for Descents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Descents")
    }
}

impl Descents {
    /// With this, which may block for a moment.
    pub fn new(tell: impl Fn(u32) -> Descent + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn look(&self, pid: u32) -> Looking {
        let tell = Arc::clone(&self.0);
        Looking(spawn_blocking(move || tell(pid)))
    }
}

/// It is being found out.
pub(crate) struct Looking(JoinHandle<Descent>);

impl Looking {
    /// By which way a request of this connection comes. Who can't be told any more is not let in as the user.
    pub(crate) async fn peer(self, otherwise: Peer) -> Peer {
        match self.0.await.unwrap_or(Descent::Gone) {
            Descent::Outside => otherwise,
            descent => Peer::Inside(Arc::new(descent)),
        }
    }
}
