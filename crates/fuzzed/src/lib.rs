//! Everything that reads bytes from outside, as functions that take any bytes and panic where a promise does not hold. Never shipped.
//!
//! The functions stand in the crates that they are about, behind the feature `fuzzing`, since they look at what is private there. They are
//! called from three places: the tests of this crate give each all of its corpus (`fuzz/corpus`) and random variations of it, on every
//! platform and with the stable compiler; `cargo xtask fuzz` gives them to libFuzzer, which looks for new ways through the code; and
//! whatever that finds is added to the corpus, so that the tests know it from then on.

/// One of them: takes any bytes, and panics where a promise does not hold.
pub type Target = fn(&[u8]);

/// All of them, by the names that their corpora have.
pub const TARGETS: &[(&str, Target)] = &[
    ("codex_lines", agent::fuzzing::codex_lines),
    ("host_frames", agent::fuzzing::host_frames),
    ("journal", agent::fuzzing::journal),
    ("stream", client::fuzzing::stream),
    #[cfg(unix)]
    ("confinement", engine::fuzzing::confinement),
    ("host_header", http_api::fuzzing::host),
    ("bodies", http_api::fuzzing::bodies),
    ("last_event_id", http_api::fuzzing::last_event_id),
];

/// Runs the one of that name. What libFuzzer calls.
///
/// # Panics
/// Where a promise does not hold, which is a finding; and when there is none of that name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "no target {name}");
    if let Some((_, target)) = target {
        target(data);
    }
}
