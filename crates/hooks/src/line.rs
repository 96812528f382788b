//! The line to one hook: reads events, tells those that it wants, and notes how far it came.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use engine::{Engine, Reader, Told};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{EventId, Timestamp};

use crate::{
    Hook, Place,
    cursor::CursorFile,
    lanes::Lanes,
    letter::Letter,
    tell::{End, tell},
};

/// What is older when its turn comes is not told any more.
pub(crate) const OLD: Duration = Duration::from_secs(3600);

/// How long what is being told may take when codexd stops.
const LAST: Duration = Duration::from_secs(2);

/// So many events may pass that are not for a hook before that is noted.
const NOTE_EVERY: i64 = 1000;

/// How long to wait before the store is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// All hooks at work.
#[derive(Debug)]
pub struct Hooks {
    stop: CancellationToken,
    lines: TaskTracker,
}

impl Hooks {
    /// Starts to tell: from where each hook was left, or from now on.
    ///
    /// # Errors
    /// When the folder of the cursors can't be made, or a cursor not be written.
    pub fn start(engine: &Engine, hooks: Vec<Hook>, place: Place) -> io::Result<Self> {
        let (stop, lines) = (CancellationToken::new(), TaskTracker::new());
        let place = Arc::new(place);
        for hook in hooks {
            let file = CursorFile::of(&place.store_dir, &hook.name)?;
            let epoch = engine.epoch().to_owned();
            let noted = match file.read(&epoch) {
                Some(after) => after,
                None => {
                    let now = engine.last_event();
                    file.write(&epoch, now)?;
                    tracing::info!(hook = hook.name, "is new here, and is told what happens from now on");
                    now
                }
            };
            let line = Line {
                hook: Arc::new(hook),
                place: Arc::clone(&place),
                epoch,
                file,
                noted,
                lanes: Lanes::default(),
                telling: JoinSet::new(),
                ids: HashMap::new(),
                unwritten: false,
                stop: stop.clone(),
            };
            // The line alone is a reader, so that without hooks nobody is.
            lines.spawn(line.run(engine.follow_events(noted)));
        }
        lines.close();
        Ok(Self { stop, lines })
    }

    /// Begins nothing new, and gives what is being told a moment. What is not told by then the next codexd tells.
    pub async fn stop(self) {
        self.stop.cancel();
        self.lines.wait().await;
    }
}

struct Line {
    hook: Arc<Hook>,
    place: Arc<Place>,
    epoch: String,
    file: CursorFile,
    /// What the file says.
    noted: EventId,
    lanes: Lanes,
    telling: JoinSet<(EventId, End)>,
    /// Which event a task tells, should it not be able to say so.
    ids: HashMap<Id, EventId>,
    /// The file could not be written, which was said.
    unwritten: bool,
    stop: CancellationToken,
}

impl Line {
    async fn run(mut self, mut reader: Reader) {
        loop {
            self.begin();
            let told = tokio::select! {
                () = self.stop.cancelled() => break,
                Some(done) = self.telling.join_next_with_id(), if !self.telling.is_empty() => {
                    self.ended(done);
                    self.note(reader.last(), true).await;
                    continue;
                }
                told = reader.next(), if self.lanes.has_room() => told,
            };
            match told {
                Ok(told) => self.take(told),
                Err(store_error) if self.stop.is_cancelled() => {
                    tracing::debug!(%store_error, "the store is closed");
                    break;
                }
                Err(error) => {
                    tracing::warn!(hook = self.hook.name, %error, "events can't be read; trying again");
                    tokio::select! {
                        () = sleep(READ_AGAIN) => {}
                        () = self.stop.cancelled() => break,
                    }
                }
            }
            self.note(reader.last(), false).await;
        }
        let rest = async {
            while let Some(done) = self.telling.join_next_with_id().await {
                self.ended(done);
            }
        };
        let _ = timeout(LAST, rest).await;
        self.telling.shutdown().await;
        self.note(reader.last(), true).await;
    }

    fn take(&mut self, told: Vec<Told>) {
        for told in told {
            if let Told::Event(event) = told
                && self.hook.on.has(event.name)
            {
                self.lanes.push(Letter::new(&event, &self.epoch));
            }
        }
    }

    /// Tells what can be told now.
    fn begin(&mut self) {
        let (mut old, now) = (0_u64, Timestamp::now().as_millis());
        let oldest = now.saturating_sub(i64::try_from(OLD.as_millis()).unwrap_or(i64::MAX));
        while let Some(letter) = self.lanes.next() {
            let id = letter.id;
            if letter.at.as_millis() < oldest {
                old += 1;
                self.lanes.done(id);
                continue;
            }
            let (hook, place, stop) = (Arc::clone(&self.hook), Arc::clone(&self.place), self.stop.clone());
            let task = self.telling.spawn(async move { (id, tell(hook, letter, place, stop).await) });
            self.ids.insert(task.id(), id);
        }
        if old > 0 {
            tracing::warn!(hook = self.hook.name, "not told of {old} events that are older than an hour");
        }
    }

    fn ended(&mut self, done: Result<(Id, (EventId, End)), JoinError>) {
        let (task, end) = match done {
            Ok((task, (_, end))) => (task, end),
            Err(error) => {
                tracing::error!(hook = self.hook.name, %error, "telling it ended by itself");
                (error.id(), End::Over)
            }
        };
        if let Some(id) = self.ids.remove(&task)
            && end == End::Over
        {
            self.lanes.done(id);
        }
    }

    /// Notes how far it came: at once when something was told, or when much passed by that was not for it.
    async fn note(&mut self, read: EventId, now: bool) {
        let after = self.lanes.cursor(read);
        if after <= self.noted || (!now && after.0 - self.noted.0 < NOTE_EVERY) {
            return;
        }
        let (file, epoch) = (self.file.clone(), self.epoch.clone());
        match tokio::task::spawn_blocking(move || file.write(&epoch, after)).await {
            Ok(Ok(())) => (self.noted, self.unwritten) = (after, false),
            Ok(Err(error)) if !self.unwritten => {
                self.unwritten = true;
                tracing::warn!(hook = self.hook.name, %error, "how far it was told can't be noted; after a restart it is told again");
            }
            _ => {}
        }
    }
}
