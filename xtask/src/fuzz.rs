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
    let cargo_fuzz = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["fuzz", arguments[0]]).current_dir(&fuzz).env("RUSTC_BOOTSTRAP", "1");
        command.arg("--target-dir").arg(sh::root().join("target/fuzz")).args(&arguments[1..]);
        command
    };
    sh::run("building with a sanitizer", &mut cargo_fuzz(&["build", "any"]))?;
    for name in targets(&fuzz)?.iter().filter(|name| only.is_none_or(|only| only == name.as_str())) {
        let known = format!("corpus/{name}");
        let new = sh::root().join("target/fuzz-corpus").join(name);
        fs::create_dir_all(&new)?;
        let new = new.to_str().context("a path that is not UTF-8")?;
        let limits = [format!("-max_total_time={seconds}"), "-max_len=4096".to_owned(), "-timeout=10".to_owned()];
        let mut fuzzing = cargo_fuzz(&["run", "any", new, &known, "--"]);
        fuzzing.args(limits).args(["-print_final_stats=1", "-verbosity=0"]).env("CODEXD_FUZZ", name);
        sh::run(&format!("fuzzing {name} for {seconds} s"), &mut fuzzing)?;
        if keep {
            let mut merging = cargo_fuzz(&["run", "any", &known, new, "--"]);
            merging.args(["-merge=1", "-verbosity=0"]).env("CODEXD_FUZZ", name);
            sh::run(&format!("keeping what is new of {name}"), &mut merging)?;
        }
    }
    Ok(())
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
