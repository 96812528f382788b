//! codexd as a service: what a service manager gives it and hears from it, the units and scripts that come with it, and the skill that
//! tells agents how to call it. The tests act as systemd; `cargo xtask service` asks the real one about the units.
#![cfg(target_os = "linux")]

#[path = "service/activation.rs"]
mod activation;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/notify.rs"]
mod notify;
#[path = "service/skill.rs"]
mod skill;
#[path = "service/systemd.rs"]
mod systemd;
#[path = "service/tools.rs"]
mod tools;
#[path = "service/units.rs"]
mod units;
