//! Asks a running daemon everything that its OpenAPI document allows, and much that it does not.
//!
//! [Schemathesis](https://schemathesis.io) makes requests from openapi/v1.json and compares every answer with it: no status that
//! is not documented, no body that does not fit, no failure of the server's. The daemon runs the double of Codex in an empty
//! store. The streams of events are left out, because an answer that never ends is none to this tool. It takes some minutes and
//! needs Python and PyPI, so it is no part of `cargo xtask test`.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::sh;

/// The version that is installed.
const VERSION: &str = "4.32.5";

/// The token of the run; the daemon is gone after it.
const TOKEN: &str = "for-this-run-only";

/// What is looked at in every answer. Not `positive_data_acceptance`: a request that fits the document may still name a session
/// that is not there, or a folder that is not allowed.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,use_after_free,ignored_auth";

/// A daemon that ends with this.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it for so many seconds.
pub(crate) fn run(seconds: u64) -> Result<()> {
    let base = sh::root().join("target/schemathesis");
    let python = base.join(if cfg!(windows) { "venv/Scripts" } else { "venv/bin" });
    if !sh::works(Command::new(python.join("schemathesis")).arg("--version")) {
        sh::run("a Python environment", Command::new("python3").args(["-m", "venv"]).arg(base.join("venv")))?;
        let package = format!("schemathesis=={VERSION}");
        sh::run("schemathesis", Command::new(python.join("pip")).args(["install", "--quiet", &package]))?;
    }
    sh::run("building", sh::cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    let run = base.join("run");
    let _ = fs::remove_dir_all(&run);
    fs::create_dir_all(run.join("project"))?;
    fs::write(run.join("token"), TOKEN)?;
    let (_daemon, url) = boot(&run)?;
    let mut command = Command::new(python.join("schemathesis"));
    command.args(["run", "openapi/v1.json", "--url", &url, "--checks", CHECKS, "--continue-on-failure"]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--max-time", &seconds.to_string()]);
    command.args(["--exclude-path-regex", "/events$"]);
    command.args(["--request-timeout", "120", "--suppress-health-check", "all", "--no-color"]);
    sh::run("asking everything", command.env("XDG_CACHE_HOME", base.join("cache")))
}

fn boot(run: &Path) -> Result<(Daemon, String)> {
    let bin = |name: &str| sh::root().join("target/debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let log = fs::File::create(run.join("codexd.log"))?;
    let mut command = Command::new(bin("codexd"));
    command.args(["serve", "--port", "0", "--turn-timeout", "20s"]).arg("--codex-cmd").arg(bin("fake-codex"));
    command.arg("--store-dir").arg(run.join("store")).arg("--cwd").arg(run.join("project"));
    command.arg("--token-file").arg(run.join("token")).env("CODEX_HOME", run.join("codex-home"));
    command.env("CODEXD_CONFIG", run.join("config.toml")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    fs::write(run.join("config.toml"), "")?;
    let daemon = Daemon(command.spawn().context("codexd can't be started")?);
    let (file, until) = (run.join("store/daemon.json"), Instant::now() + Duration::from_secs(60));
    loop {
        let text = fs::read_to_string(&file).unwrap_or_default();
        // The one field that is wanted; a JSON parser is not worth a dependency here.
        if let Some(url) = text.split("\"http\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
            return Ok((daemon, url.to_owned()));
        }
        if Instant::now() > until {
            bail!("codexd did not come up: {}", fs::read_to_string(run.join("codexd.log")).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
