//! The soak of `crates/codexd/tests/soak.rs`, for longer than in the usual test run, or once more with a seed.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::{codex, sh};

/// Runs it for so many minutes.
pub(crate) fn run(minutes: u64, seed: Option<u64>) -> Result<()> {
    codex::install()?;
    sh::run("building what the soak starts", sh::cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    let seed = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs()));
    let mut soak = sh::cargo();
    soak.args(["test", "--package", "codex-mcp-bridge", "--locked", "--test", "soak", "--", "--nocapture"]);
    soak.env("CODEXD_SOAK_SEED", seed.to_string()).env("CODEXD_SOAK_SECONDS", (minutes * 60).to_string());
    sh::run(&format!("{minutes} minutes with seed {seed}"), &mut soak)
}
