//! Which program is Codex.
//!
//! # Theory of operation
//!
//! A command given by the operator wins, then `codex` on `PATH`, then the newest that `codexd codex install` put into the
//! store. What is found is looked through: npm, pnpm and bun put a Node script in front of the native binary, and killing
//! that script leaves the binary behind, so [`locate`] answers with the binary itself and with what the script would have
//! set for it ([`Located::changes`]). A program that is not the npm wrapper (a build from elsewhere, a version manager's
//! shim, a stub of a test) is run as it is.
//!
//! **Nothing that an agent may write is ever run.** A program is refused when it, or any symlink on the way to it, lies
//! in one of [`Search::roots`]; so is a script that is named as an argument. Relative `PATH` entries mean the folder that
//! somebody happens to stand in, and are skipped.
//!
//! Nothing is started here and nothing is read from the environment: the answer is a function of [`Search`] and the disk.
//! What was passed over on the way is told ([`PassedOver`]), so that `codexd doctor` can say why a Codex that is there is
//! not the one that runs.

mod confine;
mod error;
mod installed;
mod on_path;
mod platform;
mod words;
mod wrapper;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

pub use error::{LocateError, PassedOver, Reason};
pub use installed::{ExactVersion, installed_versions, native_in};
pub use on_path::find_on_path;
pub use platform::{Platform, platform};

use confine::Roots;
use on_path::{is_bare, on_path};
use wrapper::{MANAGED_BY, MANAGED_ROOT, Wrapper};

