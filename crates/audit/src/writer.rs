//! The thread that owns the files.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use types::redact;

use crate::{Fact, files::Files, flood::Flood};

/// How long a disk may take nothing before that is said again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

pub(crate) struct Writer {
    files: Files,
    /// Facts that are missing: those that found no place, and those that the disk did not take.
    lost: Arc<AtomicU64>,
    flood: Flood,
    told: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(files: Files, lost: Arc<AtomicU64>) -> Self {
        Self { files, lost, flood: Flood::new(Instant::now()), told: None }
    }

    /// Until nobody can note anything any more.
    pub(crate) fn run(mut self, facts: &Receiver<Fact>) {
        while let Ok(fact) = facts.recv() {
            self.write(fact, Instant::now());
        }
    }

    fn write(&mut self, mut fact: Fact, now: Instant) {
        if fact.what.is_cheap() {
            match self.flood.another(now) {
                None => return,
                Some(0) => {}
                Some(left_out) => fact = fact.about("leftOut", left_out),
            }
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            fact = fact.about("lost", lost);
        }
        // Only a map with keys that are no text fails to serialise; these have none.
        let line = serde_json::to_string(&fact).unwrap_or_default();
        let line = format!("{}\n", redact(&line));
        if let Err(error) = self.files.append(line.as_bytes()) {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            if self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN) {
                self.told = Some(now);
                tracing::error!(%error, "the audit log can't be written; the next line that can will say how many are missing");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::{Audit, FILE, Kind, Limits};

    fn lines(dir: &std::path::Path) -> Vec<Value> {
        let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_is_noted_is_there_when_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::start(dir.path(), Limits::default());
        let token = format!("cdx_{}", "a".repeat(43));
        audit.note(Fact::own(Kind::DaemonStarted).about("version", "1"));
        audit.note(Fact::of_store(Kind::TokenRevoked).about("name", token.as_str()));
        audit.close();
        audit.note(Fact::own(Kind::DaemonStopped));
        let lines = lines(dir.path());
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["what"], &lines[0]["version"]), (&"daemon.started".into(), &"1".into()));
        assert_eq!((&lines[1]["principal"], &lines[1]["transport"]), (&"local".into(), &"store".into()));
        assert_eq!(lines[1]["name"], types::REDACTED);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("not there yet");
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::new(Files::new(&folder, Limits::default()), Arc::clone(&lost));
        let now = Instant::now();
        for _ in 0..3 {
            writer.write(Fact::own(Kind::AdminDone), now);
        }
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        fs::create_dir(&folder).unwrap();
        writer.write(Fact::own(Kind::AdminDone), now);
        assert_eq!((lines(&folder).len(), &lines(&folder)[0]["lost"]), (1, &3.into()));
    }

    #[test]
    fn guesses_are_written_twenty_times_and_then_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Files::new(dir.path(), Limits::default()), Arc::default());
        let now = Instant::now();
        for _ in 0..500 {
            writer.write(Fact::own(Kind::AuthFailed), now);
        }
        writer.write(Fact::own(Kind::TokenMade), now);
        writer.write(Fact::own(Kind::AuthFailed), now + Duration::from_secs(11));
        let lines = lines(dir.path());
        assert_eq!(lines.len(), 22);
        assert_eq!(lines[21]["leftOut"], 480);
    }
}
