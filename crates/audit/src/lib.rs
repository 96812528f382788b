//! The audit log: who did what, and what was refused, a line of JSON each, in `<store-dir>/audit.jsonl`.
//!
//! # Theory of operation
//!
//! Whoever decides something hands over a [`Fact`] and goes on: [`Audit::note`] never waits and never fails. One thread takes the facts from a
//! bounded channel and writes them; nobody else touches the files. What does not fit into the channel, or the disk does not take, is counted,
//! and the next line that can be written says how many are missing: a full disk harms nothing and hides nothing.
//!
//! **Size.** When the file has [`Limits::file`] bytes it becomes `audit.jsonl.1`, that one `audit.jsonl.2`, and so on up to
//! [`Limits::old`] of them; the oldest goes. So all of it together is bounded.
//!
//! **Floods.** What anybody can cause who has no token, facts of [`Kind::is_cheap`], is written at most [`CHEAP`] times in ten seconds. The next
//! one after that says how many were left out.
//!
//! **What is not in it**: prompts, answers, titles, bodies, queries, tokens.
//!
//! # What a crash leaves behind
//!
//! Each line is one write at the end of the file, so a process that dies leaves whole lines; a machine that loses its power may lose the last
//! ones, since nothing waits for the disk here.

mod fact;
mod files;
mod flood;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

pub use fact::{Decision, Fact, Kind, Transport};
pub use files::{FILE, Limits};
pub use flood::CHEAP;

use crate::{files::Files, writer::Writer};

/// So many facts may wait for the disk.
const WAITING: usize = 1_024;

/// Takes facts; cheap to clone. [`Audit::nowhere`] throws them away.
#[derive(Clone, Default)]
pub struct Audit {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    /// `None` once it is closed.
    facts: Mutex<Option<SyncSender<Fact>>>,
    lost: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("writes", &self.inner.is_some()).finish()
    }
}

impl Audit {
    /// One that throws all facts away.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Begins to write into this folder, at the end of what is there.
    #[must_use]
    pub fn start(store_dir: &Path, limits: Limits) -> Self {
        let (sender, facts) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(Files::new(store_dir, limits), Arc::clone(&lost));
        match Builder::new().name("audit".to_owned()).spawn(move || writer.run(&facts)) {
            Ok(thread) => {
                let (facts, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
                Self { inner: Some(Arc::new(Inner { facts, lost, thread })) }
            }
            Err(error) => {
                tracing::error!(%error, "there is no audit log: its thread can't be started");
                Self::nowhere()
            }
        }
    }

    /// Notes a fact. Never waits.
    pub fn note(&self, fact: Fact) {
        let Some(inner) = &self.inner else { return };
        // A poisoned lock guards a sender, which is whole whatever happened.
        let facts = inner.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = facts.as_ref().map(|facts| facts.try_send(fact));
        if matches!(sent, Some(Err(TrySendError::Full(_)))) {
            inner.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits, and ends. Blocks for as long as that takes; what is noted afterwards is lost.
    pub fn close(&self) {
        let Some(inner) = &self.inner else { return };
        drop(inner.facts.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It does not panic; if it did, there is nothing left to write.
            let _ = thread.join();
        }
    }
}
