//! The test command: everything that must hold before a change lands, cheapest first.

use anyhow::Result;

use crate::{codex, openapi, sh};

/// What cargo-deny checks. Not its advisories: their list is fetched from outside, and a new entry would fail an old commit.
const DENY: [&str; 4] = ["check", "bans", "licenses", "sources"];

/// The version of cargo-deny that is installed where there is none.
const DENY_VERSION: &str = "0.20.2";

/// Runs all of it; the first failure ends it.
pub(crate) fn run() -> Result<()> {
    sh::run("format", sh::cargo().args(["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    sh::run("lints", sh::cargo().args(lints))?;
    let docs = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    sh::run("docs", sh::cargo().args(docs).env("RUSTDOCFLAGS", "-D warnings"))?;
    openapi::check()?;
    deny()?;
    codex::install()?;
    sh::run("building what the tests start", sh::cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    if sh::works(sh::cargo().args(["nextest", "--version"])) {
        sh::run("tests", sh::cargo().args(["nextest", "run", "--workspace", "--locked"]))?;
        sh::run("examples in the docs", sh::cargo().args(["test", "--workspace", "--doc", "--locked"]))?;
    } else {
        sh::say("cargo-nextest is not installed; `cargo test` does the same, more slowly");
        sh::run("tests", sh::cargo().args(["test", "--workspace", "--locked"]))?;
    }
    sh::say(&format!("another user of this machine was played by {}", other_user()));
    sh::say("all good");
    Ok(())
}

/// Who the second user of `codexd/tests/safe/users.rs` is: only a root can make one.
fn other_user() -> &'static str {
    #[cfg(target_os = "linux")]
    if std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0) {
        return "one that was made for it";
    }
    "the same one: run the tests as root on Linux to see that one kept out"
}

fn deny() -> Result<()> {
    let tools = sh::root().join("target/tools");
    let ours = tools.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if !sh::works(sh::cargo().args(["deny", "--version"])) && !ours.is_file() {
        let install = ["install", "cargo-deny", "--locked", "--version", DENY_VERSION, "--root"];
        sh::run("installing cargo-deny (once, some minutes)", sh::cargo().args(install).arg(&tools))?;
    }
    let mut command = if ours.is_file() { std::process::Command::new(ours) } else { sh::cargo() };
    if command.get_program() == sh::cargo().get_program() {
        command.arg("deny");
    }
    sh::run("licences, sources and duplicates of the dependencies", command.args(DENY))
}
