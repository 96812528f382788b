//! A Codex in which one thing after another goes wrong, under a real `codexd` and its agent host. What holds whatever the fault: the turn
//! ends in a defined state in time and says in plain words what happened, other sessions go on, memory stays bounded, and nothing of
//! Codex's is left when the daemon is.
#![cfg(target_os = "linux")]

#[path = "faults/endings.rs"]
mod endings;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "faults/floods.rs"]
mod floods;
#[path = "faults/hangs.rs"]
mod hangs;
#[path = "faults/lines.rs"]
mod lines;
#[path = "faults/processes.rs"]
mod processes;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/struck.rs"]
mod struck;

use testkit::wire;
