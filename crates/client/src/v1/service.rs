//! The agent, what the caller may do, and taking over another store.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use types::{PolicyInfo, agent::AgentInfo};

use crate::{Client, Error, Reply, calls::Call};

/// How long taking over a store may take: a hundred thousand sessions on a slow disk.
const IMPORT_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What came of taking over a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Imported {
    /// Sessions that are new.
    pub imported: u64,
    /// Sessions that were there and got what was added since.
    pub extended: u64,
    /// Sessions that were there as they are.
    pub unchanged: u64,
    /// Sessions that went on here since, and were left as they are.
    pub kept: u64,
    /// Files that could not be read. The rest is in.
    pub damaged: Vec<OfFile>,
    /// What else is worth knowing.
    pub notes: Vec<OfFile>,
}

/// Something about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfFile {
    /// The file, in the folder that was taken over.
    pub file: String,
    /// What is wrong with it, and what that means.
    pub reason: String,
}

/// What a daemon that was told to stop says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stopping {
    /// Its process.
    pub pid: u32,
    /// How many turns Codex ran.
    pub running: u64,
    /// Whether they are interrupted, and Codex ends.
    pub agents: bool,
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success,
/// [`Error::TooOld`] when the daemon does not know the call, and [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `GET /v1/agent`: the Codex that it keeps.
    pub async fn agent(&self) -> Result<Reply<AgentInfo>, Error> {
        self.call(Call::get("/v1/agent")).await
    }

    /// `POST /v1/agent/restart`: with `drain` when the turns that run have ended.
    pub async fn restart_agent(&self, drain: bool) -> Result<Reply<AgentInfo>, Error> {
        #[derive(Serialize)]
        struct Body {
            drain: bool,
        }
        self.call(Call::post("/v1/agent/restart", &Body { drain })?).await
    }

    /// `POST /v1/stop`: with `agents` Codex and what runs in it end as well. It is answered before the daemon is gone.
    pub async fn stop(&self, agents: bool) -> Result<Reply<Stopping>, Error> {
        #[derive(Serialize)]
        struct Body {
            agents: bool,
        }
        self.call(Call::post("/v1/stop", &Body { agents })?).await
    }

    /// `GET /readyz`: refused while Codex takes no turns or the store can't be written.
    pub async fn ready(&self) -> Result<(), Error> {
        self.done(Call::get("/readyz")).await
    }

    /// `GET /v1/policy`: what the caller may do.
    pub async fn policy(&self) -> Result<Reply<PolicyInfo>, Error> {
        self.call(Call::get("/v1/policy")).await
    }

    /// `POST /v1/import`: takes over the sessions of a first version's store.
    pub async fn import(&self, dir: &Path) -> Result<Reply<Imported>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            dir: &'a Path,
        }
        self.call(Call::post("/v1/import", &Body { dir })?.within(IMPORT_LIMIT)).await
    }
}
