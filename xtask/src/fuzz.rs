//! libFuzzer on everything that reads bytes from outside (`crates/fuzzed`).
//!
//! It needs a sanitizer, which the stable compiler has but does not let out by itself (`RUSTC_BOOTSTRAP`), and a C++ compiler for libFuzzer.
//! What is found stays in `fuzz/artifacts`; what leads new ways through the code in `target/fuzz-corpus`, and with `--keep` also in
//! `fuzz/corpus`, made small.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::sh;

/// The version of cargo-fuzz that is installed where there is none.
const VERSION: &str = "0.13.2";

/// Gives each target so many seconds.
pub(crate) fn run(seconds: u64, only: Option<&str>, keep: bool) -> Result<()> {
    let (tools, fuzz) = (sh::root().join("target/tools"), sh::root().join("fuzz"));
    let program = tools.join("bin").join(format!("cargo-fuzz{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        let install = ["install", "cargo-fuzz", "--locked", "--version", VERSION, "--root"];
        sh::run("installing cargo-fuzz (once, some minutes)", sh::cargo().args(install).arg(&tools))?;
    }
    let mut build = Command::new(&program);
    build.args(["fuzz", "build", "any", "--target", &host()?, "--target-dir"]).arg(sh::root().join("target/fuzz"));
    sh::run("building with a sanitizer", build.current_dir(&fuzz).env("RUSTC_BOOTSTRAP", "1"))?;
    let any = sh::root().join("target/fuzz").join(host()?).join("release/any");
    fs::create_dir_all(fuzz.join("artifacts"))?;
    for name in targets(&fuzz)?.iter().filter(|name| only.is_none_or(|only| only == name.as_str())) {
        let (known, new) = (fuzz.join("corpus").join(name), sh::root().join("target/fuzz-corpus").join(name));
        fs::create_dir_all(&new)?;
        let limits = [format!("-max_total_time={seconds}"), format!("-artifact_prefix=artifacts/{name}-")];
        let mut fuzzing = Command::new(&any);
        fuzzing.args([&new, &known]).args(limits).args(["-max_len=4096", "-timeout=10", "-print_final_stats=1"]);
        fuzzing.arg("-verbosity=0").current_dir(&fuzz).env("CODEXD_FUZZ", name);
        sh::run(&format!("fuzzing {name} for {seconds} s"), &mut fuzzing)?;
        if keep {
            let mut merging = Command::new(&any);
            merging.args([&known, &new]).args(["-merge=1", "-verbosity=0"]).env("CODEXD_FUZZ", name);
            sh::run(&format!("keeping what is new of {name}"), &mut merging)?;
        }
    }
    Ok(())
}

/// What this machine is called by the compiler.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?.to_owned())
}

/// Each has a corpus by its name.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("corpus"))? {
        names.push(entry?.file_name().into_string().ok().context("a name that is not UTF-8")?);
    }
    names.sort();
    Ok(names)
}
