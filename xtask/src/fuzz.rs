//! libFuzzer on everything that reads bytes from outside (`crates/fuzzed`): one program, `fuzz/`, which is told its target by its environment.
//!
//! cargo-fuzz is not used. It would be installed by building it, for minutes, and all that is wanted of it are the compiler's flags below. The
//! stable compiler has the address sanitizer too, but does not let it out by itself (`RUSTC_BOOTSTRAP`); libFuzzer comes with the crate
//! `libfuzzer-sys` and needs a C++ compiler.
//!
//! **Time.** Two targets run at once on two cores. Each ends by itself when its time is over; one that does not is ended [`PATIENCE`] later,
//! which counts as a failure. So all of it together takes a time that is known before, and the build.
//!
//! **What stays**: the input that a failure was found with in `fuzz/artifacts`, and in the output, since a machine of the CI is thrown away;
//! inputs that lead new ways through the code in `target/fuzz-corpus`, and with `keep` also in `fuzz/corpus`, made small.

mod stats;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::sh;

/// What makes a program of Rust one for libFuzzer: the coverage that it goes by, and the sanitizer. As of cargo-fuzz.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Zsanitizer=address",
];

/// What libFuzzer is told of every target: a body is longer, but says nothing new; ten seconds for one input are a hang, and 2 GiB a leak.
const LIMITS: [&str; 5] =
    ["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1"];

/// What the sanitizer need not do: it looks for wrong uses of the heap, by a few frames of where they come from. That makes up to a third.
const SANITIZER: &str = "detect_stack_use_after_return=0:malloc_context_size=8";

/// How much longer than it was given a target may take: for its corpus, and for its last input.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// How long for each target, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this one
    #[arg(long)]
    only: Option<String>,
    /// Adds what leads new ways through the code to the corpora
    #[arg(long)]
    keep: bool,
    /// So many targets at once; as many as there are processors if it is not said
    #[arg(long)]
    jobs: Option<usize>,
    /// Gives the target this input alone: what a failure was found with
    #[arg(long, requires = "only")]
    input: Option<PathBuf>,
}

/// One target, and where its things are.
#[derive(Debug)]
struct Target {
    name: String,
    /// What is checked in.
    known: PathBuf,
    /// What was found here.
    new: PathBuf,
    log: PathBuf,
}

/// Fuzzes what is wanted. All targets get their time, also when one of them has failed.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    let fuzz = sh::root().join("fuzz");
    let mut targets = targets(&fuzz)?;
    if let Some(only) = &wanted.only {
        targets.retain(|target| target.name == *only);
        ensure!(!targets.is_empty(), "there is no target {only}: fuzz/corpus has a folder for each");
    }
    // Relative to where we were called, which is not where the program runs.
    let input = wanted.input.as_ref().map(|input| input.canonicalize().with_context(|| input.display().to_string()));
    let input = input.transpose()?;
    let any = build()?;
    if let (Some(input), Some(target)) = (input, targets.first()) {
        let mut replay = Command::new(&any);
        replay.args(LIMITS).arg(input).env("CODEXD_FUZZ", &target.name).env("ASAN_OPTIONS", SANITIZER);
        return sh::run(&format!("one input for {}", target.name), &mut replay);
    }
    let artifacts = fuzz.join("artifacts");
    for folder in targets.iter().map(|target| &target.new).chain([&artifacts]) {
        fs::create_dir_all(folder)?;
    }
    let jobs = wanted.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1);
    let most = (PATIENCE + Duration::from_secs(wanted.seconds)) * u32::try_from(targets.len().div_ceil(jobs))?;
    let of = format!("{} targets, {} s each, {jobs} at once", targets.len(), wanted.seconds);
    sh::say(&format!("fuzzing {of}: {} s at most", most.as_secs()));
    let scratch = Scratch::new()?;
    let how = How { any: &any, artifacts: &artifacts, scratch: &scratch.0, seconds: wanted.seconds };
    let failures = all(&how, &targets, jobs)?;
    drop(scratch);
    if wanted.keep && failures.is_empty() {
        for target in &targets {
            let mut merging = Command::new(&any);
            merging
                .args([&target.known, &target.new])
                .args(["-merge=1", "-verbosity=0"])
                .env("CODEXD_FUZZ", &target.name);
            sh::run(&format!("keeping what is new of {}", target.name), &mut merging)?;
        }
    }
    ensure!(failures.is_empty(), "fuzzing failed: {}", failures.join(", "));
    Ok(())
}

/// Builds the program, with a sanitizer, beside what is built without.
fn build() -> Result<PathBuf> {
    let (host, folder) = (host()?, sh::root().join("target/fuzz"));
    let mut build = sh::cargo();
    build.args(["build", "--quiet", "--locked", "--package", "fuzz", "--features", "libfuzzer", "--profile", "fuzz"]);
    // With a target that is named, the flags are not for build scripts and macros.
    build.args(["--target", &host, "--target-dir"]).arg(&folder);
    build.env("RUSTFLAGS", FLAGS.join(" ")).env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let began = Instant::now();
    sh::run("building for libFuzzer (C++ compiler, address sanitizer)", &mut build)?;
    sh::say(&format!("built in {} s", began.elapsed().as_secs()));
    Ok(folder.join(host).join("fuzz").join(format!("any{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs all of them, so many at once, and says of each what came of it. Returns the names of those that failed.
fn all(how: &How<'_>, targets: &[Target], jobs: usize) -> Result<Vec<String>> {
    let (mut waiting, mut running, mut failures) = (targets.iter(), Vec::new(), Vec::new());
    loop {
        while running.len() < jobs
            && let Some(target) = waiting.next()
        {
            running.push(Run::start(how, target)?);
        }
        if running.is_empty() {
            return Ok(failures);
        }
        thread::sleep(Duration::from_millis(100));
        let mut still = Vec::new();
        for mut run in running {
            match run.look()? {
                State::Running => still.push(run),
                State::Held => {}
                State::Failed(why) => failures.push(format!("{} ({why})", run.target.name)),
            }
        }
        running = still;
    }
}

/// What all runs have in common.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    any: &'a Path,
    artifacts: &'a Path,
    scratch: &'a Path,
    seconds: u64,
}

/// Where targets write: in memory where there is such a place, because a disk made `journal` three times slower. It goes with what is in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = place.join(format!("codexd-fuzz-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What became of a target.
enum State {
    Running,
    Held,
    Failed(String),
}

/// A target that is at work.
#[derive(Debug)]
struct Run<'a> {
    target: &'a Target,
    child: Child,
    until: Instant,
}

impl<'a> Run<'a> {
    fn start(how: &How<'_>, target: &'a Target) -> Result<Self> {
        let How { any, artifacts, scratch, seconds } = *how;
        let log = File::create(&target.log).with_context(|| target.log.display().to_string())?;
        let mut prefix = artifacts.join(&target.name).into_os_string();
        prefix.push("-");
        let mut command = Command::new(any);
        command.args([&target.new, &target.known]).args(LIMITS).arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}", prefix.display()));
        command.env("CODEXD_FUZZ", &target.name).env("ASAN_OPTIONS", SANITIZER).env("TMPDIR", scratch);
        command.current_dir(sh::root());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| any.display().to_string())?;
        Ok(Self { target, child, until: Instant::now() + Duration::from_secs(seconds) + PATIENCE })
    }

    /// Looks whether it has ended, and then says what came of it.
    fn look(&mut self) -> Result<State> {
        let (status, late) = match self.child.try_wait()? {
            Some(status) => (status, false),
            None if Instant::now() < self.until => return Ok(State::Running),
            None => {
                self.child.kill()?;
                (self.child.wait()?, true)
            }
        };
        let name = &self.target.name;
        let text = String::from_utf8_lossy(&fs::read(&self.target.log)?).into_owned();
        let executed = stats::executed(&text);
        let why = match (late, status.success(), executed) {
            (true, ..) => "it did not end in its time".to_owned(),
            (_, false, _) => status.to_string(),
            (_, _, 0) => "it ran nothing".to_owned(),
            _ => {
                sh::say(&format!("{name:<14} {executed:>10} executions, no findings"));
                return Ok(State::Held);
            }
        };
        sh::say(&format!("{name:<14} {executed:>10} executions, FAILED: {why}\n{}", stats::failure(name, &text)));
        Ok(State::Failed(why))
    }
}

/// What this machine is called by the compiler.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?.to_owned())
}

/// Each has a corpus by its name; a test of `fuzzed` holds that none is missing.
fn targets(fuzz: &Path) -> Result<Vec<Target>> {
    let target = sh::root().join("target");
    let mut targets = Vec::new();
    for entry in fs::read_dir(fuzz.join("corpus"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
        let (new, log) = (target.join("fuzz-corpus").join(&name), target.join("fuzz").join(format!("{name}.log")));
        targets.push(Target { known: entry.path(), new, log, name });
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}
