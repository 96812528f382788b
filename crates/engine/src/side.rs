//! What is kept beside sessions: tokens, and the store of the first version that is taken over.

use std::path::Path;

use store::{Batch, Write};
use types::{Code, Grant, Timestamp};

use crate::{Engine, Refusal};

impl Engine {
    /// Makes a token. It is returned, and nowhere else.
    ///
    /// # Errors
    /// When the grant makes no sense, its name is taken, or the store can't take it.
    pub async fn add_grant(&self, grant: Grant) -> Result<(Grant, String), Refusal> {
        self.policy.grants.add(&self.store, grant).await
    }

    /// Ends a grant: its token opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that name, or the store can't be written.
    pub async fn remove_grant(&self, name: &str) -> Result<(), Refusal> {
        self.policy.grants.remove(&self.store, name).await
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
        let options = import::Options { sandbox: self.policy.sandbox, approval_policy: self.policy.approval_policy };
        let report = import::import(&self.store, dir, options, |_, _| {}).await;
        report.map_err(|error| match error {
            import::ImportError::Store(error) => error.into(),
            import::ImportError::Broken(_) => Refusal::new(Code::Internal, error.to_string()),
            error => Refusal::new(Code::BadRequest, error.to_string()),
        })
    }
}
