//! The import: the store of codexd's first version, a folder of JSON files, is read and written into ours.
//!
//! # Theory of operation
//!
//! The first version kept `sessions.json`, an index, and beside it one file a session, `<12 hex digits>.json`. [`import`]
//! lists the folder, reads the index, and then takes the files one after the other, the oldest session first: so the rows of
//! the store have the order of the sessions' activity. A file becomes a session of ours with the same id; a message of the
//! user's and the answers behind it become a turn. Nothing in the folder is changed, and it may be our own store's folder.
//!
//! **What is kept.** The history that [`store::Store::history`] gives is that of the file: roles, texts, times, order. Ids,
//! titles with their locks, folder, model, threads and both times are the file's; what a file lacks of its title comes from
//! the index. The first version had no policies: the caller gives one for all. A folder that is gone or not absolute stays as
//! it is; a turn in it is refused until the session is given another one.
//!
//! **What has no place in our history.** A prompt without an answer is an interrupted turn whose delivery is unknown: Codex
//! may have heard it, so nobody sends it again, but it counts as said. An answer without a prompt is a turn without a prompt,
//! with a warning in the prompt's place. A message of any other role is kept as an item of its turn, and noted.
//!
//! **Once more.** A session that is here already is compared. The same history: nothing happens. The file's is ours and goes
//! on: what is new is added, unless a turn of it isn't finished. Anything else: ours stays as it is. So the import can be
//! run again at any time, also when the first version is still in use, and after a crash. One import runs at a time.
//!
//! **Damage.** A file that can't be read as a session is named with the reason and left out; all others come in. Smaller
//! faults (a title that is no text, a time that no clock shows) cost only the field, and are noted.
//!
//! **Threads.** A thread belongs to one session. When several name it, the one with the latest activity has it, and the
//! others go on with a new thread that is given what was said.
//!
//! # What a crash leaves behind
//!
//! A session is one batch: it is in the store whole or not at all. What was committed stays, and the next import goes on
//! from there.
//!
//! # What is bounded
//!
//! A file has at most 256 MiB. Files are read in portions of some megabytes, and three portions are in memory at most:
//! one that is read, one that is compared, one that is being committed. The lists of a report end at 1,000 entries.

mod json;
mod old;
mod plan;
mod report;
mod run;
mod scan;

use std::{io, path::PathBuf};

use store::StoreError;
use types::{ApprovalPolicy, Sandbox};

pub use report::{Damage, Report};
pub use run::import;

/// What the first version did not keep of its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What turns of the imported sessions may touch.
    pub sandbox: Sandbox,
    /// When they ask.
    pub approval_policy: ApprovalPolicy,
}

/// Why an import did not happen, or stopped. Each text is for people and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is nothing of that name, or something else.
    #[error("{} is not a folder; name the one that has the first version's sessions.json", .dir.display())]
    NotAFolder {
        /// What was named.
        dir: PathBuf,
    },
    /// The folder can't be listed.
    #[error("the folder {} can't be read: {source}; check who owns it", .dir.display())]
    Unreadable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without anything of the first version.
    #[error(
        "{} is not a store of the first version: it has no sessions.json and no file of a session (12 hex digits and .json)",
        .dir.display()
    )]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// Our own store failed.
    #[error("the import stopped: {0}; what came in until then is kept, and another import goes on from there")]
    Store(#[from] StoreError),
    /// A fault of the program.
    #[error("the import broke off: {0}; what came in until then is kept, and another import goes on from there")]
    Broken(String),
}
