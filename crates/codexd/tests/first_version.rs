//! The HTTP contract of the first version, driven from outside: a real `codexd`, a double of Codex, and requests whose bytes are written
//! by hand. What is asserted comes from `api.md` alone; no type of the implementation is used to read an answer.
#![cfg(unix)]

#[path = "first_version/bodies.rs"]
mod bodies;
#[path = "first_version/broken_codex.rs"]
mod broken_codex;
#[path = "first_version/deadlines.rs"]
mod deadlines;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "first_version/flags.rs"]
mod flags;
#[path = "first_version/hosts.rs"]
mod hosts;
#[path = "first_version/old_way.rs"]
mod old_way;
#[path = "first_version/order.rs"]
mod order;
#[path = "first_version/overrides.rs"]
mod overrides;
#[path = "first_version/queueing.rs"]
mod queueing;
#[path = "first_version/refusals.rs"]
mod refusals;
#[path = "first_version/restarts.rs"]
mod restarts;
#[path = "first_version/routes.rs"]
mod routes;
#[path = "first_version/search.rs"]
mod search;
#[path = "first_version/service.rs"]
mod service;
#[path = "first_version/startup.rs"]
mod startup;
#[path = "first_version/stub.rs"]
mod stub;
#[path = "first_version/titles.rs"]
mod titles;
#[path = "first_version/tokens.rs"]
mod tokens;

use testkit::wire;
