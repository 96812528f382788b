//! What is kept beside sessions: tokens, and the store of the first version that is taken over.

use std::{path::Path, time::Duration};

use store::{Batch, Write};
use types::{Code, Grant, Principal, Timestamp};

use tokio::sync::mpsc;

use crate::{Engine, Refusal, hub::Call};

impl Engine {
    /// Makes a token. It is returned, and nowhere else. Nobody makes one that opens more than their own.
    ///
    /// # Errors
    /// When the grant makes no sense or is wider than its maker's, its name is taken, or the store can't take it.
    pub async fn add_grant(&self, who: &Principal, grant: Grant) -> Result<(Grant, String), Refusal> {
        if let Some(own) = self.policy.grants.of(who)? {
            crate::grants::check_no_wider(&own, &grant)?;
        }
        let (grants, store) = (self.policy.grants.clone(), self.store.clone());
        finish(tokio::spawn(async move { grants.add(&store, grant).await })).await
    }

    /// Gives a grant another token, which is returned, and nowhere else. Nobody gets one that opens more than their own.
    ///
    /// # Errors
    /// When there is none of that name, it has ended, it is wider than the asker's own, or the store can't be written.
    pub async fn rotate_grant(&self, who: &Principal, name: &str, grace: Duration) -> Result<(Grant, String), Refusal> {
        let (grants, store, name) = (self.policy.grants.clone(), self.store.clone(), name.to_owned());
        if let (Some(own), Some(theirs)) = (grants.of(who)?, grants.list().into_iter().find(|grant| grant.name == name))
        {
            crate::grants::check_no_wider(&own, &theirs)?;
        }
        finish(tokio::spawn(async move { grants.rotate(&store, &name, grace).await })).await
    }

    /// Ends a grant: its token opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that name, or the store can't be written.
    pub async fn remove_grant(&self, name: &str) -> Result<(), Refusal> {
        let (grants, store, name) = (self.policy.grants.clone(), self.store.clone(), name.to_owned());
        // A task of its own: what was committed counts, also when the caller goes away.
        finish(tokio::spawn(async move { grants.remove(&store, &name).await })).await
    }

    /// Notes that a grant was used. It is written down at most once a minute, and nobody waits for that.
    pub fn used_grant(&self, name: &str) {
        let at = Timestamp::now();
        if !self.policy.grants.used(name, at) {
            return;
        }
        let (store, name) = (self.store.clone(), name.to_owned());
        tokio::spawn(async move {
            let used = Write::GrantUsed { name, at };
            if let Err(error) = store.commit(Batch { writes: vec![used] }).await {
                tracing::debug!(%error, "the use of a token was not written down");
            }
        });
    }

    /// Takes over the store of the first version in this folder. Whoever stops waiting stops it; what came in until then stays.
    ///
    /// # Errors
    /// When the folder is none of the first version's, or the store can't take it.
    pub async fn import(&self, dir: &Path) -> Result<import::Report, Refusal> {
        // Sessions that are awake read again what came in, also when the caller went away in the middle.
        let _reload = Reload(self.calls.clone());
        let options = import::Options { sandbox: self.policy.sandbox, approval_policy: self.policy.approval_policy };
        let report = import::import(&self.store, dir, options, |_, _| {}).await;
        report.map_err(|error| match error {
            import::ImportError::Store(error) => error.into(),
            import::ImportError::Broken(_) => Refusal::new(Code::Internal, error.to_string()),
            error => Refusal::new(Code::BadRequest, error.to_string()),
        })
    }
}

/// Has every session that is awake read again what is on disk, when this is dropped.
struct Reload(mpsc::Sender<Call>);

impl Drop for Reload {
    fn drop(&mut self) {
        let calls = self.0.clone();
        tokio::spawn(async move {
            let _ = calls.send(Call::Reload).await;
        });
    }
}

async fn finish<T>(task: tokio::task::JoinHandle<Result<T, Refusal>>) -> Result<T, Refusal> {
    task.await.map_err(|_| Refusal::new(Code::Internal, "the change broke off"))?
}
