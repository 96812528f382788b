//! The store: the only crate that knows SQL. One writer that commits in groups, readers beside it.
//!
//! # Theory of operation
//!
//! A store is a folder with one SQLite file in it, owned by one process. Everything that changes it is a [`Batch`] of
//! facts ([`Write`]); everything that is asked of it is a method of [`Store`]. Sessions, turns and items are stored once;
//! events point to them.
//!
//! **Writing.** [`Store::commit`] hands a batch to the writer's thread, which commits all batches that wait in one
//! transaction and answers when the disk has it (write-ahead log, `synchronous=FULL`). A batch is stored whole or not at
//! all, and a bad one fails alone. Batches of one caller that awaits each are stored in that order; those of several
//! callers in the order in which they were sent. A caller that stops waiting takes nothing back: its batch is committed.
//!
//! **Reading.** A read sees everything whose `commit` was answered before it began, in one snapshot, and never waits for
//! a write or makes one wait.
//!
//! **Numbers.** Event ids and ask ids come from counters that are kept on disk: an id is never given twice, also when the
//! rows are gone, and there may be holes. A batch that failed has used no event id that anybody saw.
//!
//! **Search** is described in its module, where its bounds are. So is how the file is looked after: backups, checks, sizes.
//!
//! # What a crash leaves behind
//!
//! A killed process loses what was not answered, and perhaps keeps some of it; what was answered is there. The next
//! [`Store::open`] reads the log by itself. The lock ends with the process; `owner.json` stays and is overwritten. A crash
//! during a migration leaves the file as it was before it, and the migration runs again.
//!
//! # Architecture invariants
//!
//! No other crate opens the file or spells SQL. Nothing here knows a clock (times come with what is written), Codex, or a
//! protocol. The channels and connections don't leave this crate.

mod apply;
mod approvals;
mod care;
mod copies;
mod error;
mod migrate;
mod owner;
mod pages;
mod private;
mod published;
mod read;
mod readers;
mod rows;
mod search;
mod side;
mod space;
mod stored;
mod words;
mod worktrees;
mod write;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::{mpsc, oneshot};
use types::{AskId, Event, EventId, Session, SessionId, Turn, TurnId};

pub use care::{Backup, CareError, Checked, Problem, Restored, Sizes, backup, check, restore, sizes};
pub use error::{OpenError, StoreError};
pub use owner::{Held, Owned, hold, owner};
pub use pages::{Archived, SessionCursor, SessionFilter, TurnCursor};
pub use private::{private_dir, write_private};
pub use published::Published;
pub use stored::{Found, Message, Running, StoredApproval, StoredGrant, StoredSession, StoredTurn};
pub use worktrees::{StoredWorktree, WorktreeState};
pub use write::{
    Base, Batch, Committed, IdempotencyKey, NewApproval, NewEvent, NewSession, NewTurn, PendingAsk, Remembered,
    Resolution, SessionChange, TurnChange, Write, first_item,
};

use crate::{
    owner::Owner,
    readers::Readers,
    writer::{Counters, Job, WAITING, Writer},
};

/// A handle of the store; cheap to clone. The store ends by [`Store::close`], or when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    epoch: String,
    counters: Arc<Counters>,
    jobs: mpsc::Sender<Job>,
    readers: Readers,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("epoch", &self.inner.epoch).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in this folder and becomes its owner. Makes the folder (for this user only) and the store when they
    /// are missing, closes to others what is open to them, and migrates an older store. Blocks the thread for some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`] says in words what is in the way and what to do.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let owner = Owner::take(dir)?;
        let path = dir.join(care::FILE);
        let failed = |error: rusqlite::Error| OpenError::from_sqlite(&path, &error);
        let conn = migrate::open_writer(&path)?;
        let epoch =
            conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).map_err(failed)?;
        let counters = Arc::new(Counters::read(&conn).map_err(failed)?);
        let (jobs, waiting) = mpsc::channel(WAITING);
        Writer::new(conn, Arc::clone(&counters))
            .start(waiting, owner)
            .map_err(|error| OpenError::Other { path: path.clone(), detail: error.to_string() })?;
        Ok(Self { inner: Arc::new(Inner { epoch, counters, jobs, readers: Readers::new(path) }) })
    }

    /// A random text that was made with the store. Event ids of another epoch mean nothing here.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.inner.epoch
    }

    /// The highest event id that is on disk; 0 before the first.
    #[must_use]
    pub fn last_event(&self) -> EventId {
        EventId(self.inner.counters.last_event.load(Ordering::Acquire))
    }

    /// A new number for a request to Codex. One that was stored once is never given again.
    #[must_use]
    pub fn next_ask(&self) -> AskId {
        AskId(self.inner.counters.next_ask.fetch_add(1, Ordering::Relaxed))
    }

    /// How many transactions were committed since the store was opened; a group of batches is one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.inner.counters.commits.load(Ordering::Relaxed)
    }

    /// Stores a batch, whole. When this returns `Ok`, it is on disk and every read from now on sees it. It is stored also
    /// when the caller stops waiting after the batch was sent.
    ///
    /// # Errors
    /// After any error nothing of the batch is stored. [`StoreError::Constraint`] is this batch's own fault.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        if batch.is_empty() {
            return Ok(Committed::default());
        }
        let (answer, committed) = oneshot::channel();
        self.inner.jobs.send(Job::Commit(batch, answer)).await.map_err(|_| StoreError::Closed)?;
        committed.await.map_err(|_| StoreError::Closed)?
    }

    /// A session, by its id.
    ///
    /// # Errors
    /// As each read: [`StoreError::Io`], [`StoreError::Corrupt`], [`StoreError::Busy`], [`StoreError::Closed`].
    pub async fn session(&self, id: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        let id = id.clone();
        self.inner.readers.read(move |conn| read::session(conn, &id)).await
    }

    /// Reads the session that a text names, as [`Store::find_session`] does, and does something with it on the same thread,
    /// which may block.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn session_named<T: Send + 'static>(
        &self,
        text: &str,
        look: impl FnOnce(StoredSession) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let text = text.to_owned();
        let read = move |conn: &_| match read::find_session(conn, &text)? {
            Some(id) => Ok(read::session(conn, &id)?.map(look)),
            None => Ok(None),
        };
        self.inner.readers.read(read).await
    }

    /// The session that a text names: by its own id, or by that of its current or a former thread. Any text may be asked.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn find_session(&self, text: &str) -> Result<Option<SessionId>, StoreError> {
        let text = text.to_owned();
        self.inner.readers.read(move |conn| read::find_session(conn, &text)).await
    }

    /// The sessions with the newest activity, without the archived ones.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn sessions(&self, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.inner.readers.read(move |conn| read::sessions(conn, limit)).await
    }

    /// The sessions that have all words of the query, each as a case-insensitive substring of the title or of a message;
    /// first those whose title has them all, then by latest activity. At most 200 results, without archived sessions. Any
    /// text may be asked; one without words finds nothing.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn search(&self, query: &str, limit: u32) -> Result<Vec<Found>, StoreError> {
        let query = query.to_owned();
        self.inner.readers.read(move |conn| search::search(conn, &query, limit)).await
    }

    /// What was said in a session, in the order of its turns: every prompt, also an undelivered one, what was steered in,
    /// and every completed agent message, also of turns that failed.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn history(&self, id: &SessionId) -> Result<Vec<Message>, StoreError> {
        let id = id.clone();
        self.inner.readers.read(move |conn| read::history(conn, &id)).await
    }

    /// A turn with its items.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn turn(&self, id: &TurnId) -> Result<Option<Turn>, StoreError> {
        let id = id.clone();
        self.inner.readers.read(move |conn| read::turn(conn, &id)).await
    }

    /// The turns of a session, oldest first, without their items.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn turns(&self, session: &SessionId) -> Result<Vec<Turn>, StoreError> {
        let id = session.clone();
        self.inner.readers.read(move |conn| read::turns(conn, &id)).await
    }

    /// The turns of a session that are queued or running, in their order, with their items.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn unfinished_turns(&self, session: &SessionId) -> Result<Vec<StoredTurn>, StoreError> {
        let id = session.clone();
        self.inner.readers.read(move |conn| read::unfinished_turns(conn, &id)).await
    }

    /// The turn of a session that runs, with all that is on disk of it.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn running(&self, session: &SessionId) -> Result<Option<Running>, StoreError> {
        let id = session.clone();
        self.inner.readers.read(move |conn| read::running(conn, &id)).await
    }

    /// The sessions that have queued or running turns: what there is to do at boot.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn unfinished_sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        self.inner.readers.read(read::unfinished_sessions).await
    }

    /// The requests to Codex that have no answer yet, oldest first.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn pending_asks(&self) -> Result<Vec<PendingAsk>, StoreError> {
        self.inner.readers.read(read::pending_asks).await
    }

    /// The events behind this one, of one session or of all, oldest first.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn events_after(
        &self,
        session: Option<&SessionId>,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let session = session.cloned();
        self.inner.readers.read(move |conn| read::events_after(conn, session.as_ref(), after, limit)).await
    }

    /// Makes the file as small as it can be, at the cost of writing it anew; what is asked meanwhile waits. Needs as much free space
    /// as the file takes.
    ///
    /// # Errors
    /// As [`Store::commit`]. Then the file is as it was.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let (answer, done) = oneshot::channel();
        self.inner.jobs.send(Job::Compact(answer)).await.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits what was sent, empties the log into the file, and releases the store: when this returns, another process
    /// may open it. Reads that are running end by themselves. Other handles then get [`StoreError::Closed`].
    pub async fn close(self) {
        self.inner.readers.close();
        let (done, closed) = oneshot::channel();
        if self.inner.jobs.send(Job::Close(done)).await.is_ok() {
            // An error means that the thread is gone, and with it the lock.
            let _ = closed.await;
        }
    }
}
