//! The checked-in copy of the OpenAPI document, and those of released versions.
//!
//! `openapi/v1.json` is what the daemon of this checkout serves. `openapi/released/VERSION.json` is what a released one
//! served, and never changes: tests hold each of them against what there is now, so that old clients keep working.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::sh;

/// Writes the document; with `release` also as that of this version.
pub(crate) fn write(release: bool) -> Result<()> {
    let text = generated()?;
    fs::write(current(), &text).context("openapi/v1.json can't be written")?;
    sh::say("wrote openapi/v1.json");
    if !release {
        return Ok(());
    }
    let document: serde_json::Value = serde_json::from_str(&text)?;
    let version = document["info"]["version"].as_str().context("the document has no version")?;
    let file = sh::root().join("openapi/released").join(format!("{version}.json"));
    if file.exists() && fs::read_to_string(&file)? != text {
        bail!(
            "openapi/released/{version}.json is there already and never changes; raise the version of the workspace first"
        );
    }
    fs::write(&file, text).with_context(|| format!("{} can't be written", file.display()))?;
    sh::say(&format!("wrote openapi/released/{version}.json"));
    Ok(())
}

/// Compares the copy with what the code says.
pub(crate) fn check() -> Result<()> {
    let kept =
        fs::read_to_string(current()).context("openapi/v1.json can't be read; `cargo xtask openapi` writes it")?;
    ensure!(
        kept == generated()?,
        "openapi/v1.json is not what the code says; write it anew with `cargo xtask openapi` and commit it"
    );
    Ok(())
}

fn current() -> PathBuf {
    sh::root().join("openapi/v1.json")
}

fn generated() -> Result<String> {
    sh::say("the OpenAPI document");
    let mut command: Command = sh::cargo();
    command.args(["run", "--quiet", "--locked", "--package", "http-api", "--example", "openapi"]);
    let output = command.current_dir(sh::root()).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the OpenAPI document can't be made");
    Ok(String::from_utf8(output.stdout)?)
}
