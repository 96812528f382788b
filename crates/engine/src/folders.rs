//! Which sessions are at work in which folder: two that write in one undo each other's work, and neither sees why.
//!
//! A session takes a place in its folder when a turn of it is about to begin, and gives it up with the end of the turn. Places are in the
//! order in which they were taken. Sessions that only read are in nobody's way, and a session is never in its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use types::SessionId;

/// What happens to a turn in a folder in which another session is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SharedCwd {
    /// It runs, and says so.
    #[default]
    Warn,
    /// It fails.
    Refuse,
    /// It waits until the others have ended.
    Queue,
}

/// All folders in which somebody is at work; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Folders(Arc<Inner>);

#[derive(Default)]
struct Inner {
    places: Mutex<HashMap<PathBuf, Vec<Taken>>>,
    /// Somebody left.
    left: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Taken {
    session: SessionId,
    writes: bool,
}

/// A place in a folder, for as long as this is kept.
pub(crate) struct Place {
    folders: Folders,
    cwd: PathBuf,
    session: SessionId,
}

impl Folders {
    /// Takes a place behind those who are there.
    pub(crate) fn enter(&self, cwd: &Path, session: &SessionId, writes: bool) -> Place {
        let taken = Taken { session: session.clone(), writes };
        self.places().entry(cwd.to_owned()).or_default().push(taken);
        Place { folders: self.clone(), cwd: cwd.to_owned(), session: session.clone() }
    }

    /// Which other session came before this one and is in its way.
    pub(crate) fn before(&self, cwd: &Path, session: &SessionId) -> Option<SessionId> {
        let places = self.places();
        let there = places.get(cwd)?;
        let own = there.iter().position(|taken| taken.session == *session)?;
        let writes = there[own].writes;
        there[..own].iter().find(|other| writes || other.writes).map(|other| other.session.clone())
    }

    /// Waits until nobody who came before is in the way, or this session has left itself.
    pub(crate) async fn alone(&self, cwd: &Path, session: &SessionId) {
        let mut left = self.0.left.subscribe();
        while self.before(cwd, session).is_some() && left.changed().await.is_ok() {}
    }

    fn places(&self) -> MutexGuard<'_, HashMap<PathBuf, Vec<Taken>>> {
        // A poisoned lock guards lists of which each step leaves them whole.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.folders.places();
        if let Some(there) = places.get_mut(&self.cwd) {
            if let Some(own) = there.iter().position(|taken| taken.session == self.session) {
                there.remove(own);
            }
            if there.is_empty() {
                places.remove(&self.cwd);
            }
        }
        drop(places);
        self.folders.0.left.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_came_first_is_in_the_way_of_who_writes_and_nobody_of_who_reads_with_readers() {
        let (folders, cwd) = (Folders::default(), Path::new("/w"));
        let [first, second, third] = [(); 3].map(|()| SessionId::fresh());
        let reads = folders.enter(cwd, &first, false);
        let also_reads = folders.enter(cwd, &second, false);
        assert_eq!((folders.before(cwd, &first), folders.before(cwd, &second)), (None, None));
        let elsewhere = folders.enter(Path::new("/w/deeper"), &third, true);
        assert_eq!(folders.before(Path::new("/w/deeper"), &third), None, "another folder");
        drop(elsewhere);
        let _writes = folders.enter(cwd, &third, true);
        assert_eq!(folders.before(cwd, &third), Some(first.clone()));
        assert_eq!(folders.before(cwd, &first), None, "it came first");
        let waiting = {
            let (folders, third) = (folders.clone(), third.clone());
            tokio::spawn(async move { folders.alone(Path::new("/w"), &third).await })
        };
        drop(reads);
        assert_eq!(folders.before(cwd, &third), Some(second));
        drop(also_reads);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn who_leaves_waits_no_longer() {
        let (folders, cwd) = (Folders::default(), Path::new("/w"));
        let (first, second) = (SessionId::fresh(), SessionId::fresh());
        let _stays = folders.enter(cwd, &first, true);
        let place = folders.enter(cwd, &second, true);
        let waiting = {
            let (folders, second) = (folders.clone(), second.clone());
            tokio::spawn(async move { folders.alone(Path::new("/w"), &second).await })
        };
        drop(place);
        waiting.await.unwrap();
    }
}
