//! The store in need and in care: a disk that fills, backups, checks, old sessions.
#![cfg(unix)]

#[path = "store/backup.rs"]
mod backup;
#[path = "store/check.rs"]
mod check;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[cfg(target_os = "linux")]
#[path = "store/full.rs"]
mod full;
#[path = "store/gc.rs"]
mod gc;
#[path = "cli/ran.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod ran;
#[path = "live/sse.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod sse;

use testkit::wire;
