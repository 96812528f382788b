//! The configuration file, on the real program: which of its layers counts, what is refused, and `codexd config`.
#![cfg(unix)]

#[path = "config/file.rs"]
mod file;
#[path = "config/layers.rs"]
mod layers;
#[path = "config/wrong.rs"]
mod wrong;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::Lab;
use tokio::process::Command;

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(mut command: Command) -> Result<Ran> {
    let output = command.stdin(Stdio::null()).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// An empty machine whose store is named by nobody.
async fn lab() -> Result<Lab> {
    Lab::new(CODEXD).await
}

fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env_remove("CODEXD_STORE_DIR");
    command
}

/// Where this user's file is.
async fn default_file(lab: &Lab) -> Result<PathBuf> {
    let ran = run(command(lab, &["config", "path"])).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    Ok(ran.out.trim_end().into())
}

async fn write_default(lab: &Lab, text: &str) -> Result<PathBuf> {
    let path = default_file(lab).await?;
    fs::create_dir_all(path.parent().context("no folder")?)?;
    write(&path, text)?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// What `codexd config show --json` says of one setting.
fn shown<'a>(show: &'a Value, name: &str) -> &'a Value {
    let settings = show["settings"].as_array().into_iter().flatten();
    settings.into_iter().find(|setting| setting["name"] == name).unwrap_or(&Value::Null)
}

async fn show(command: Command) -> Result<Value> {
    let ran = run(command).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    Ok(serde_json::from_str(&ran.out)?)
}
