//! Asks the real OpenClaw whether it takes our skill: an empty home with nothing in it but the skill, and `openclaw skills`.
//!
//! Not part of the tests: OpenClaw and the Node.js that it wants are about 860 MB from npm, and of one version. What it says of the
//! skill is the gateway's view; that a node publishes it is told in docs/openclaw.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::sh;

/// The version that docs/openclaw.md speaks of.
const OPENCLAW: &str = "2026.9.6";

/// The Node.js that it wants; Debian's is too old.
const NODE: &str = "26.10.0";

/// Our skill, and the name of its folder.
const SKILL: &str = "codex-mcp-bridge";

/// Installs both once, puts the skill into an empty home, and asks.
pub(crate) fn check() -> Result<()> {
    let base = sh::root().join("target/openclaw");
    let node = node_package()?;
    install(&base, &node)?;

    let home = base.join("home");
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let state = home.join(".openclaw");
    let placed = state.join("skills").join(SKILL);
    fs::create_dir_all(&placed)?;
    let ours = sh::root().join("skills").join(SKILL);
    for entry in fs::read_dir(&ours).with_context(|| format!("{} can't be read", ours.display()))? {
        let file = entry?.path();
        fs::copy(&file, placed.join(file.file_name().context("a file without a name")?))?;
    }

    let openclaw = OpenClaw { path: path(&base, &node)?, home, state };
    let listed = openclaw.ask(&["skills", "list", "--json"])?;
    let skills = listed["skills"].as_array().with_context(|| format!("no list of skills: {listed}"))?;
    let found = skills.iter().find(|skill| skill["name"] == SKILL);
    eligible("list", found.with_context(|| format!("{SKILL} is not among the {} skills listed", skills.len()))?)?;
    eligible("info", &openclaw.ask(&["skills", "info", SKILL, "--json"])?)?;
    sh::say(&format!("OpenClaw {OPENCLAW} lists {SKILL} as eligible"));
    Ok(())
}

fn eligible(command: &str, skill: &Value) -> Result<()> {
    sh::say(&format!("openclaw skills {command}: {skill}"));
    ensure!(skill["eligible"] == true, "openclaw skills {command}: the skill is not eligible; see what is `missing`");
    ensure!(skill["modelVisible"] == true, "openclaw skills {command}: no model would see the skill");
    Ok(())
}

/// The npm package that holds Node.js for this machine.
fn node_package() -> Result<String> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => anyhow::bail!("there is no Node.js {NODE} on npm for {other}"),
    };
    Ok(format!("node-{system}-{processor}"))
}

fn install(base: &Path, node: &str) -> Result<()> {
    let wanted = format!("{node}@{NODE} openclaw@{OPENCLAW}");
    let done = base.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm(&base.join("node"), &format!("{node}@{NODE}"), None)?;
    npm(&base.join("openclaw"), &format!("openclaw@{OPENCLAW}"), Some(path(base, node)?))?;
    fs::write(done, wanted)?;
    Ok(())
}

fn npm(folder: &Path, package: &str, path: Option<std::ffi::OsString>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
    npm.arg(folder).arg(package);
    if let Some(path) = path {
        npm.env("PATH", path);
    }
    sh::run(&format!("installing {package} (npm, once; some minutes)"), &mut npm)
        .context("this check needs npm (it comes with Node.js)")
}

/// With the Node.js that OpenClaw wants in front.
fn path(base: &Path, node: &str) -> Result<std::ffi::OsString> {
    let folders = [base.join("node/node_modules").join(node).join("bin"), base.join("openclaw/node_modules/.bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&inherited)))?)
}

/// An OpenClaw that knows nothing but what is in this home.
struct OpenClaw {
    path: std::ffi::OsString,
    home: PathBuf,
    state: PathBuf,
}

impl OpenClaw {
    /// Runs it and reads the JSON that it prints.
    fn ask(&self, args: &[&str]) -> Result<Value> {
        let said = format!("openclaw {}", args.join(" "));
        sh::say(&said);
        // By its script and the Node.js in front, not by whatever `openclaw` is on this machine.
        let mut command = Command::new("node");
        command.arg(sh::root().join("target/openclaw/openclaw/node_modules/openclaw/openclaw.mjs")).args(args);
        command.env_clear().env("PATH", &self.path).env("HOME", &self.home).env("OPENCLAW_STATE_DIR", &self.state);
        let output = command.current_dir(&self.home).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{said}: it can't be started"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{said} failed ({}): {text}", output.status);
        serde_json::from_str(&text).with_context(|| format!("{said} did not print JSON: {text}"))
    }
}
