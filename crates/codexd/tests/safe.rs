//! What keeps a daemon its user's own: no token in what is kept, modes of files, the audit log, who listens, and another user of the machine.
#![cfg(unix)]

#[path = "safe/audit.rs"]
mod audit;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "safe/modes.rs"]
mod modes;
#[path = "safe/page.rs"]
mod page;
#[path = "safe/redaction.rs"]
mod redaction;
#[path = "safe/users.rs"]
mod users;

use testkit::wire;
