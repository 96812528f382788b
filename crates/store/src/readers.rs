//! The readers: a few connections beside the writer, on the runtime's blocking threads.
//!
//! A reader sees what was committed when its read began and holds nobody up. Connections are opened when they are needed
//! first and kept; a read that fails or is cancelled costs at most its connection.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{StoreError, migrate::open_reader};

/// The most reads at once; further ones wait.
const READERS: usize = 4;

/// Connections at rest, and the right to use one.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, permits: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Runs a read in one snapshot of the store.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (path, idle, permits) = (self.path.clone(), Arc::clone(&self.idle), Arc::clone(&self.permits));
        let work = tokio::task::spawn_blocking(move || {
            // Held by the work, not by who waits for it: a caller that gives up doesn't make room for a fifth reader.
            let _permit = permit;
            let resting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut conn = match resting {
                Some(conn) => conn,
                None => open_reader(&path)?,
            };
            let snapshot = conn.transaction()?;
            let result = read(&snapshot);
            snapshot.finish()?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if !permits.is_closed() {
                idle.push(conn);
            }
            result
        });
        match work.await {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(StoreError::Closed),
            Err(error) => Err(StoreError::Io(format!("a read broke off: {error}"))),
        }
    }

    /// Refuses what comes now. Reads that are running end by themselves and close their connections.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
