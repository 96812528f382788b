//! The import as it runs: portions of files are read on one thread while what they mean is compared and committed on others.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    pin::Pin,
    task::Poll,
    vec,
};

use store::{Batch, Committed, Store, StoreError, StoredSession, Write};
use tokio::sync::Mutex;
use types::{AskId, SessionId, SessionStatus, ThreadId, Timestamp};

use crate::{
    ImportError, Options, Report, json,
    old::{Listed, Old, RawSession},
    plan::{self, Verdict},
    report::Damages,
    scan::{Entry, Scan},
};

/// A portion ends with this many sessions, or after this many bytes.
const PORTION: usize = 200;
const PORTION_BYTES: u64 = 8 << 20;

/// One at a time: two of the same folder would both find a session missing.
static ONE: Mutex<()> = Mutex::const_new(());

/// Reads the first version's store in `dir` and writes it into ours. `progress` hears how many files of sessions are done,
/// and of how many. What is damaged is named in the report and left out; running it again changes nothing. A caller that
/// stops waiting stops the import; what was committed stays.
///
/// # Errors
/// [`ImportError`] when the folder is none of the first version's, or our store fails.
pub async fn import(
    store: &Store,
    dir: &Path,
    options: Options,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Result<Report, ImportError> {
    let _one = ONE.lock().await;
    // One that was stopped may have left batches in the store's queue, which are committed all the same. Behind this one,
    // which settles a request that never was, none of them is left.
    store.commit(Batch { writes: vec![Write::SettleAsk(AskId(0))] }).await?;
    let folder = dir.to_owned();
    let Scan { dir, entries, index, damaged, notes } = blocking(move || Scan::of(&folder)).await??;
    let total = entries.len() as u64;
    progress(0, total);
    let mut run = Run {
        store,
        options,
        progress,
        done: 0,
        total,
        claimed: HashMap::new(),
        report: Report::default(),
        damaged,
        notes,
    };

    let read = |mut reader: Reader| blocking(move || (reader.portion(), reader));
    let mut reading = Box::pin(read(Reader { dir, entries: entries.into_iter(), index }));
    let mut committing = VecDeque::new();
    loop {
        let (portion, reader) = reading.await?;
        if portion.is_empty() {
            break;
        }
        reading = Box::pin(read(reader));
        let mut planned = Vec::new();
        for file in portion {
            planned.extend(run.plan(file).await?);
        }
        run.settle(std::mem::take(&mut committing)).await?;
        for planned in planned {
            committing.push_back(run.send(planned).await);
        }
    }
    run.settle(committing).await?;

    let report = Report { damaged: run.damaged.finish(), notes: run.notes.finish(), ..run.report };
    let Report { imported, extended, unchanged, kept, .. } = report;
    tracing::info!(imported, extended, unchanged, kept, damaged = report.damaged.len(), "imported");
    Ok(report)
}

/// Runs something that waits for the disk.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, ImportError>> + Send {
    // Begins at once, also when nobody waits for it yet.
    let running = tokio::task::spawn_blocking(work);
    async move { running.await.map_err(|error| ImportError::Broken(error.to_string())) }
}

/// Reads the files one after the other.
struct Reader {
    dir: PathBuf,
    entries: vec::IntoIter<Entry>,
    index: HashMap<String, Listed>,
}

/// A file, or why it is left out.
struct Read {
    file: String,
    old: Result<Old, String>,
}

impl Reader {
    /// The next files; none when all are read.
    fn portion(&mut self) -> Vec<Read> {
        let (mut portion, mut bytes) = (Vec::new(), 0);
        while portion.len() < PORTION
            && bytes < PORTION_BYTES
            && let Some(entry) = self.entries.next()
        {
            bytes += entry.size;
            portion.push(Read { file: entry.file(), old: self.read(entry) });
        }
        portion
    }

    fn read(&mut self, entry: Entry) -> Result<Old, String> {
        if let Some(reason) = entry.not {
            return Err(reason.to_owned());
        }
        let raw: RawSession = json::read(&self.dir.join(entry.file()), "a session")?;
        let listed = self.index.remove(entry.id.as_str());
        Old::read(entry.id, raw, listed.as_ref(), entry.modified, &self.dir)
    }
}

/// What is to be committed.
struct Planned {
    file: String,
    new: bool,
    notes: Vec<String>,
    batch: Batch,
}

/// What is being committed.
struct Sent<'a> {
    file: String,
    new: bool,
    notes: Vec<String>,
    answer: Pin<Box<dyn Future<Output = Result<Committed, StoreError>> + Send + 'a>>,
}

/// Where an import stands.
struct Run<'a, P> {
    store: &'a Store,
    options: Options,
    progress: P,
    done: u64,
    total: u64,
    /// The threads of the sessions that were sent, each with the latest activity of its session.
    claimed: HashMap<ThreadId, (Timestamp, SessionId)>,
    report: Report,
    damaged: Damages,
    notes: Damages,
}

impl<'a, P: Fn(u64, u64)> Run<'a, P> {
    /// What a file means for the store; nothing when it is settled with that.
    async fn plan(&mut self, read: Read) -> Result<Option<Planned>, StoreError> {
        let Read { file, old } = read;
        let mut old = match old {
            Ok(old) => old,
            Err(reason) => {
                self.damaged.push(file, reason);
                self.done();
                return Ok(None);
            }
        };
        let now = Timestamp::now();
        let Some(ours) = self.store.session(&old.id).await? else {
            let mut notes = std::mem::take(&mut old.notes);
            self.claim(&mut old, &mut notes).await?;
            let batch = plan::create(old, self.options, now);
            return Ok(Some(Planned { file, new: true, notes, batch }));
        };
        let history = self.store.history(&old.id).await?;
        let session = ours.session;
        let kept = match plan::compare(&session, &history, &old) {
            Verdict::Unchanged => {
                self.report.unchanged += 1;
                self.done();
                return Ok(None);
            }
            Verdict::Kept(why) => why,
            Verdict::Retitled | Verdict::Longer => {
                let last = self.store.turns_page(&session.id, true, None, 1).await?.0.pop();
                let mut notes = std::mem::take(&mut old.notes);
                self.claim(&mut old, &mut notes).await?;
                match plan::extend(&session, history.len(), last, old, now) {
                    Some(batch) => return Ok(Some(Planned { file, new: false, notes, batch })),
                    None => Some("is newer than the session here, but that one has had other turns: it stays as it is"),
                }
            }
        };
        self.report.kept += 1;
        if let Some(why) = kept {
            self.notes.push(file, why);
        }
        self.done();
        Ok(None)
    }

    /// Leaves a session those threads that no session with a later activity has.
    async fn claim(&mut self, old: &mut Old, notes: &mut Vec<String>) -> Result<(), StoreError> {
        let claim = (old.updated_at, old.id.clone());
        for mine in [&mut old.former, &mut old.thread] {
            let Some(thread) = mine.clone() else { continue };
            let owner = match self.claimed.get(&thread) {
                Some(owner) => Some(owner.clone()),
                None => self.owner(&thread).await?,
            };
            if let Some(owner) = owner.filter(|owner| owner.1 != claim.1) {
                let stays = owner > claim;
                let other = if stays { "this one" } else { "the other" };
                notes.push(format!(
                    "its thread {thread} is also that of session {}: the one that was active last has it, and {other} goes on \
                     with a new thread that is given what was said",
                    owner.1
                ));
                if stays {
                    *mine = None;
                    continue;
                }
            }
            self.claimed.insert(thread, claim.clone());
        }
        Ok(())
    }

    /// The session here that has a thread, and when it was active last.
    async fn owner(&self, thread: &ThreadId) -> Result<Option<(Timestamp, SessionId)>, StoreError> {
        let look = |owner: StoredSession| {
            let busy = owner.session.status != SessionStatus::Idle;
            // What a session works with now is not taken from it.
            let at = if busy { Timestamp::from_millis(i64::MAX) } else { owner.session.updated_at };
            (at, owner.session.id)
        };
        self.store.session_named(thread.as_str(), look).await
    }

    /// Gives a batch to the store, behind all that were given before, without waiting for the disk.
    async fn send(&self, planned: Planned) -> Sent<'a> {
        let Planned { file, new, notes, batch } = planned;
        // Asked once, a commit has its place in the writer's queue; a budget of the runtime must not keep it from asking.
        let mut answer: Pin<Box<dyn Future<Output = _> + Send + 'a>> =
            Box::pin(tokio::task::unconstrained(self.store.commit(batch)));
        if let Poll::Ready(early) = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
            answer = Box::pin(std::future::ready(early));
        }
        Sent { file, new, notes, answer }
    }

    /// Waits until what was sent is on disk.
    async fn settle(&mut self, sent: VecDeque<Sent<'a>>) -> Result<(), StoreError> {
        for Sent { file, new, notes, answer } in sent {
            match answer.await {
                Ok(_) if new => self.report.imported += 1,
                Ok(_) => self.report.extended += 1,
                Err(StoreError::Constraint(why)) => {
                    self.damaged.push(&file, format!("is refused by the store: {why}"));
                    self.done();
                    continue;
                }
                Err(error) => return Err(error),
            }
            for note in notes {
                self.notes.push(&file, note);
            }
            self.done();
        }
        Ok(())
    }

    fn done(&mut self) {
        self.done += 1;
        (self.progress)(self.done, self.total);
    }
}
