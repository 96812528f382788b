//! The writer: one thread, one connection, one transaction at a time.
//!
//! It takes all batches that wait and commits them together, since a commit costs one sync of the disk however much is in
//! it: while one group is being synced, the next one gathers. Each batch has a savepoint, so that a bad one fails alone.
//! When the disk fails or is full the whole group fails, each of its callers is told, and the thread goes on: the next
//! group may fare better. Nobody is answered before the disk has it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};
use types::EventId;

use crate::{Batch, Committed, StoreError, Write, apply::apply, owner::Owner, space};

/// The most batches of one transaction; a bound on how long the first of them waits for the last.
const GROUP: usize = 256;

/// The most batches that wait. Over it, `commit` waits for its place.
pub(crate) const WAITING: usize = 1_024;

/// How long a disk may come and go before that is said again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// What a batch's caller waits for.
type Answer = oneshot::Sender<Result<Committed, StoreError>>;

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Job {
    /// Commit this.
    Commit(Batch, Answer),
    /// Write the file anew, as small as it can be.
    Compact(oneshot::Sender<Result<(), StoreError>>),
    /// End when everything that waits is committed, and say so when the lock is released.
    Close(oneshot::Sender<()>),
}

/// Numbers that are read without asking the writer.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The highest event id that is committed.
    pub(crate) last_event: AtomicI64,
    /// The next id of a request to Codex.
    pub(crate) next_ask: AtomicI64,
    /// Transactions that were committed.
    pub(crate) commits: AtomicU64,
    /// The last transaction failed.
    pub(crate) failing: AtomicBool,
}

impl Counters {
    /// As the file has them. AUTOINCREMENT remembers the highest ids ever given, also when their rows are gone.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let highest = |table: &str| {
            conn.query_row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1", [table], |row| {
                row.get::<_, i64>(0)
            })
        };
        Ok(Self {
            last_event: AtomicI64::new(highest("events")?),
            next_ask: AtomicI64::new(highest("asks")? + 1),
            commits: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        })
    }
}

/// The connection that writes, with what it keeps up to date.
pub(crate) struct Writer {
    conn: Connection,
    counters: Arc<Counters>,
    /// When it was last said that nothing can be stored, and whether that is the last thing that was said.
    told: Option<Instant>,
    told_failing: bool,
    /// Something was deleted, and its space was not given back yet.
    untidy: bool,
}

impl Writer {
    pub(crate) const fn new(conn: Connection, counters: Arc<Counters>) -> Self {
        Self { conn, counters, told: None, told_failing: false, untidy: false }
    }

    /// Runs on its own thread until it is closed or nobody can ask it any more, then releases the store.
    pub(crate) fn start(self, jobs: mpsc::Receiver<Job>, owner: Owner) -> std::io::Result<()> {
        thread::Builder::new().name("store-writer".to_owned()).spawn(move || self.run(jobs, owner)).map(|_| ())
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>, owner: Owner) {
        let mut closers = Vec::new();
        let mut group = Vec::new();
        while let Some(job) = self.next(&mut jobs) {
            let mut next = Some(job);
            let mut compact = None;
            while let Some(job) = next {
                match job {
                    Job::Commit(batch, answer) => group.push((batch, answer)),
                    Job::Compact(answer) => compact = Some(answer),
                    Job::Close(done) => {
                        // What was sent is still committed; what comes now is refused.
                        jobs.close();
                        closers.push(done);
                    }
                }
                let more = group.len() < GROUP && compact.is_none();
                next = if more { jobs.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(std::mem::take(&mut group));
            }
            if let Some(answer) = compact {
                let _ = answer.send(space::compact(&self.conn));
            }
        }
        // Empties the log into the file as far as readers that are still at work allow, and waits for none of them; the
        // next owner reads what is left of it.
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "failed to empty the log of the store");
        }
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "failed to close the store");
        }
        drop(owner);
        for done in closers {
            let _ = done.send(());
        }
    }

    /// What is to be done next. While there is nothing, space is given back.
    fn next(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        while self.untidy {
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.untidy = space::give_back(&self.conn),
            }
        }
        jobs.blocking_recv()
    }

    /// Commits a group and answers each of its callers.
    fn commit(&mut self, group: Vec<(Batch, Answer)>) {
        let results = self.transact(group.iter().map(|(batch, _)| batch));
        let failed_before = self.counters.failing.swap(results.is_err(), Ordering::Relaxed);
        match &results {
            Err(error) => self.tell_failing(error),
            Ok(_) if failed_before => self.tell_well(),
            Ok(_) => {}
        }
        match results {
            Ok(results) => {
                let deletes = |write: &Write| matches!(write, Write::DeleteSession(_));
                self.untidy |= group.iter().any(|(batch, _)| batch.writes.iter().any(deletes));
                for ((_, answer), result) in group.into_iter().zip(results) {
                    // Who stopped waiting reads it from the store.
                    let _ = answer.send(result);
                }
            }
            Err(error) => {
                tracing::debug!(%error, batches = group.len(), "failed to commit");
                for (_, answer) in group {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Said once and not with each try, which are many, nor with each turn of a disk that has room now and then: the log may be on
    /// the same disk.
    fn tell_failing(&mut self, error: &StoreError) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            self.told = Some(Instant::now());
            self.told_failing = true;
            tracing::error!(
                %error, "nothing can be stored now: what would change something is refused, what is stored can be read"
            );
        }
    }

    fn tell_well(&mut self) {
        if std::mem::take(&mut self.told_failing) {
            tracing::warn!("the store can be written again");
        }
    }

    /// One transaction. The outer error is that of all batches, an inner one that of a batch alone.
    pub(crate) fn transact<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a Batch>,
    ) -> Result<Vec<Result<Committed, StoreError>>, StoreError> {
        let results = self.try_transact(batches);
        // Some failures end the transaction by themselves, and then there is nothing to roll back.
        if results.is_err() && !self.conn.is_autocommit() && self.run_sql("ROLLBACK").is_err() {
            tracing::error!("failed to roll back; the next commit will fail too");
        }
        results.map_err(StoreError::of_a_write)
    }

    fn try_transact<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a Batch>,
    ) -> Result<Vec<Result<Committed, StoreError>>, StoreError> {
        self.run_sql("BEGIN IMMEDIATE")?;
        let mut results = Vec::new();
        let mut last_event = None;
        for batch in batches {
            self.run_sql("SAVEPOINT batch")?;
            let result = apply(&self.conn, batch);
            match &result {
                Ok(committed) => last_event = committed.events.last().copied().or(last_event),
                Err(error) if error.is_everybodys() => return Err(error.clone()),
                Err(_) => self.run_sql("ROLLBACK TO batch")?,
            }
            self.run_sql("RELEASE batch")?;
            results.push(result);
        }
        self.run_sql("COMMIT")?;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(EventId(id)) = last_event {
            self.counters.last_event.store(id, Ordering::Release);
        }
        Ok(results)
    }

    fn run_sql(&self, sql: &str) -> Result<(), StoreError> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use types::{EventName, Timestamp};

    use super::*;
    use crate::{NewEvent, migrate};

    fn event(size: usize) -> Batch {
        let detail = Some(serde_json::Value::String("x".repeat(size)));
        let (name, at) = (EventName::AgentStarted, Timestamp::from_millis(0));
        let new = NewEvent { name, at, session: None, turn: None, item: None, detail };
        Batch { writes: vec![Write::AddEvent(Box::new(new))] }
    }

    #[test]
    fn a_full_disk_fails_the_group_and_then_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let conn = migrate::open_writer(&dir.path().join("store.db")).unwrap();
        let counters = Arc::new(Counters::read(&conn).unwrap());
        let mut writer = Writer::new(conn, counters);
        let pages: i64 = writer.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        writer.conn.query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(())).unwrap();
        assert_eq!(writer.transact([event(1), event(1 << 20)].iter()), Err(StoreError::Full));
        assert_eq!(writer.counters.last_event.load(Ordering::Acquire), 0);

        let results = writer.transact([event(1), event(2)].iter()).unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(writer.counters.last_event.load(Ordering::Acquire), 2);
        let stored: i64 = writer.conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
        assert_eq!((stored, writer.counters.commits.load(Ordering::Relaxed)), (2, 1));
    }
}
