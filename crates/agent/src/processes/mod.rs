//! Other processes: which one it is, and how to end it without ever ending another one.
//!
//! A pid alone says nothing: it is used again. What stands for a process is its pid together with when it started ([`Born`]),
//! on Linux also its marker in the environment. Nothing is ended that does not match.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod os;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "other.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;
#[cfg(unix)]
mod signals;

use serde::{Deserialize, Serialize};

#[cfg(windows)]
pub(crate) use os::{end_one, reap};
#[cfg(unix)]
pub(crate) use signals::{end_one, kill_children, kill_group, reap};

/// When a process started, in the words of the platform; never compared with anything but its like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Born(pub(crate) String);

/// When the process `pid` started; none when there is no such process, or it can't be told.
pub(crate) fn born(pid: u32) -> Option<Born> {
    os::born(pid).map(Born)
}

/// What a Codex is known by whose host is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leftover<'a> {
    /// The value of its marker.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows tells nothing of environments"))]
    pub(crate) marker: &'a str,
    /// The host's pid, which is the number of its session.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells of which session a process is"))]
    pub(crate) host: Option<u32>,
    /// Codex's pid, which is the number of its group, and when it started.
    pub(crate) codex: Option<(u32, &'a Born)>,
}

/// So many generations are looked at: more than anybody has who does not try to get lost in them.
const MOST_ANCESTORS: usize = 1024;

/// A process, or one that it comes from.
pub(crate) struct Ancestor {
    pub(crate) pid: u32,
    /// The environment that it was started with; empty where that can't be told.
    environ: Vec<u8>,
}

impl Ancestor {
    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let mut variables = self.environ.split(|byte| *byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// The process, its parent, and so on up to the first one; none when it is gone, or its family does not hold still. Blocks.
pub(crate) fn lineage(pid: u32) -> Option<Vec<Ancestor>> {
    os::lineage(pid)
}
