//! Requests of somebody who means harm: bytes on a TCP connection, the answer to each, and that nothing came of it.
//!
//! Each module is a class of them, most as a table. The daemon is the real one, and mostly as open as it can be (`--no-auth`), so that what is
//! refused is refused by the check that the case is about.
#![cfg(unix)]

#[path = "hostile/every_route.rs"]
mod every_route;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "hostile/framing.rs"]
mod framing;
#[path = "hostile/pages.rs"]
mod pages;
#[path = "hostile/paths.rs"]
mod paths;
#[path = "hostile/rebinding.rs"]
mod rebinding;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/sizes.rs"]
mod sizes;
#[path = "hostile/slow.rs"]
mod slow;
#[path = "hostile/table.rs"]
mod table;

use testkit::wire;
