//! Keys that callers give to requests: the same request again is told what came of the first one and starts nothing.
//!
//! The key is stored in the commit of the work, so it holds across restarts, and a request that was refused leaves it free.
//! While the work is on its way the key is claimed in memory, by a task that does not end with the request: so two of the
//! same at once, or one whose client went away, are one as well.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use store::{IdempotencyKey, Remembered};
use tokio::sync::watch;
use types::{Code, SessionId, Timestamp, TurnId};

use crate::{Accepted, Refusal, Submitted};

/// A key that the caller gave, and what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The hash of the request's body.
    pub body: [u8; 32],
}

/// The keys of work that is on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashMap<IdempotencyKey, watch::Receiver<()>>>>);

impl Claims {
    /// The right to work under this key, or something that ends when whoever has it is done.
    pub(crate) fn take(&self, key: &IdempotencyKey) -> Result<Claim, watch::Receiver<()>> {
        match self.lock().entry(key.clone()) {
            Entry::Occupied(taken) => Err(taken.get().clone()),
            Entry::Vacant(free) => {
                let (done, waiting) = watch::channel(());
                free.insert(waiting);
                Ok(Claim { claims: self.clone(), key: key.clone(), _done: done })
            }
        }
    }

    // A poisoned lock guards a map of which each change is one step.
    fn lock(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work under a key, given back when it is dropped.
pub(crate) struct Claim {
    claims: Claims,
    key: IdempotencyKey,
    _done: watch::Sender<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.key);
    }
}

/// What a request that was made before is told.
pub(crate) fn again(known: Remembered, body: [u8; 32]) -> Result<Accepted, Refusal> {
    if known.body != body {
        let detail =
            "this Idempotency-Key was used for a request with another body in the last 24 hours; use a new one";
        return Err(Refusal::new(Code::IdempotencyMismatch, detail));
    }
    let session = known.session;
    let turn = known.turn.map(|turn| Submitted { session: session.clone(), turn, ended: None });
    Ok(Accepted { session, turn, ignored: Vec::new(), replayed: true })
}

pub(crate) fn remember(
    key: Option<(IdempotencyKey, [u8; 32])>,
    session: &SessionId,
    turn: Option<&TurnId>,
    at: Timestamp,
) -> Option<Box<Remembered>> {
    let (key, body) = key?;
    Some(Box::new(Remembered { key, body, session: session.clone(), turn: turn.cloned(), at }))
}
