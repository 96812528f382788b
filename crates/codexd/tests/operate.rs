//! What an operator does with a running `codexd`, and what it does by itself to stay well: Codex is started anew, the daemon is stopped, a
//! Codex that ends again and again is left alone for a while.
#![cfg(unix)]

#[path = "operate/breaker.rs"]
mod breaker;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "operate/recycle.rs"]
mod recycle;
#[path = "operate/restart.rs"]
mod restart;
#[path = "operate/stop.rs"]
mod stop;
#[path = "operate/turns.rs"]
mod turns;

use testkit::wire;
