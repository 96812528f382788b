//! Turns as they happen: streams that are cut, readers that do not read, questions that are answered from elsewhere.
#![cfg(unix)]

#[path = "live/crowd.rs"]
mod crowd;
#[path = "live/cut.rs"]
mod cut;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "live/resumed.rs"]
mod resumed;
#[path = "live/sse.rs"]
mod sse;

use testkit::wire;
