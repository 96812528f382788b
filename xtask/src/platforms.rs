//! Type-checks the workspace for Windows and macOS on a Debian machine, where neither can be run.
//!
//! A toolchain for them is not at hand, so the standard library is checked from its sources (`-Zbuild-std`): the compiler and the
//! sources come from Debian's packages, unpacked beside the target folder and not installed, and `zig`, from PyPI, is the C compiler for
//! SQLite. It proves types, not behaviour.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::sh;

/// The compiler, the library's sources, and the libraries that they need to run.
const PACKAGES: [&str; 14] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "libstd-rust-web-dev",
    "libstd-rust-web-1.96",
    "libllvm22",
    "libgit2-1.5",
    "libhttp-parser2.9",
    "libmbedcrypto7",
    "libmbedx509-1",
    "libmbedtls14",
    "libssh2-1",
    "libz3-4",
    "libedit2",
];

/// Each target, and what zig calls it.
const TARGETS: [(&str, &str); 2] =
    [("x86_64-pc-windows-gnu", "x86_64-windows-gnu"), ("aarch64-apple-darwin", "aarch64-macos")];

/// Prepares once, then checks both.
pub(crate) fn check() -> Result<()> {
    let base = sh::root().join("target/platforms");
    prepare(&base)?;
    let usr = base.join("root/usr");
    let libraries = format!("{0}/lib/x86_64-linux-gnu:{0}/lib/llvm-22/lib", usr.display());
    for (target, zig_target) in TARGETS {
        let tools = tools(&base, target, zig_target)?;
        let path = std::env::join_paths(
            [tools.clone(), usr.join("bin")]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )?;
        let name = target.replace('-', "_");
        let mut command = Command::new(usr.join("bin/cargo"));
        command.args([
            "check",
            "--locked",
            "-Zbuild-std",
            "--target",
            target,
            "--package",
            "codex-mcp-bridge",
            "--package",
            "fake-model",
        ]);
        command.env("RUSTC", usr.join("bin/rustc")).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-D warnings");
        command.env("LD_LIBRARY_PATH", &libraries).env("PATH", path).env("CARGO_TARGET_DIR", base.join("target"));
        command.env(format!("CC_{name}"), tools.join("target-cc")).env(format!("AR_{name}"), tools.join("target-ar"));
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        sh::run(&format!("types for {target}"), &mut command)?;
    }
    Ok(())
}

fn prepare(base: &Path) -> Result<()> {
    if base.join("ready").is_file() {
        return Ok(());
    }
    let debs = base.join("debs");
    fs::create_dir_all(&debs)?;
    sh::run(
        "fetching Debian's compiler (130 MB, once)",
        Command::new("sh").args(["-c", "cd \"$0\" && apt-get download \"$@\""]).arg(&debs).args(PACKAGES),
    )
    .context("this check needs a Debian machine with up-to-date package lists (apt-get update)")?;
    let unpack = "for deb in \"$0\"/*.deb; do dpkg -x \"$deb\" \"$1\" || exit 1; done";
    sh::run("unpacking it", Command::new("sh").args(["-c", unpack]).arg(&debs).arg(base.join("root")))?;
    fs::remove_dir_all(&debs)?;
    sh::run("a Python environment", Command::new("python3").args(["-m", "venv"]).arg(base.join("zig")))?;
    sh::run(
        "zig, as the C compiler",
        Command::new(base.join("zig/bin/pip")).args(["install", "--quiet", "ziglang==0.17.1"]),
    )?;
    fs::write(base.join("ready"), "")?;
    Ok(())
}

/// Small programs by which cc-rs and rustc find zig.
fn tools(base: &Path, target: &str, zig_target: &str) -> Result<PathBuf> {
    let folder = base.join("tools").join(target);
    fs::create_dir_all(&folder)?;
    let zig = format!("{} -m ziglang", base.join("zig/bin/python").display());
    // zig has its own names for targets and takes no others.
    let cc = format!(
        "for word; do shift; case $word in --target=*|-mmacosx-version-min=*|-mmacos-version-min=*) ;; *) set -- \"$@\" \"$word\" ;; esac; done\n\
         exec {zig} cc -target {zig_target} \"$@\""
    );
    for (name, script) in [
        ("target-cc", cc),
        ("target-ar", format!("exec {zig} ar \"$@\"")),
        ("x86_64-w64-mingw32-dlltool", format!("exec {zig} dlltool \"$@\"")),
    ] {
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
        #[cfg(unix)]
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    Ok(folder)
}
