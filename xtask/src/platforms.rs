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

/// A target, and what zig calls it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    zig: &'static str,
}

pub(crate) const WINDOWS: Target = Target { name: "x86_64-pc-windows-gnu", zig: "x86_64-windows-gnu" };
const MACOS: Target = Target { name: "aarch64-apple-darwin", zig: "aarch64-macos" };

/// Checks both.
pub(crate) fn check() -> Result<()> {
    let toolchain = Toolchain::ready()?;
    for target in [WINDOWS, MACOS] {
        let mut command = toolchain.cargo(target, "check")?;
        command.args(["--package", "codex-mcp-bridge", "--package", "fake-model"]);
        sh::run(&format!("types for {}", target.name), &mut command)?;
    }
    Ok(())
}

/// Debian's compiler with zig beside it.
pub(crate) struct Toolchain {
    base: PathBuf,
}

impl Toolchain {
    /// Prepares it, once.
    pub(crate) fn ready() -> Result<Self> {
        let base = sh::root().join("target/platforms");
        prepare(&base)?;
        Ok(Self { base })
    }

    /// `cargo VERB` for a target, with a target folder of its own.
    pub(crate) fn cargo(&self, target: Target, verb: &str) -> Result<Command> {
        let usr = self.base.join("root/usr");
        let libraries = format!("{0}/lib/x86_64-linux-gnu:{0}/lib/llvm-22/lib", usr.display());
        let tools = tools(&self.base, target)?;
        let path = std::env::join_paths(
            [tools.clone(), usr.join("bin")]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )?;
        let name = target.name.replace('-', "_");
        let mut command = Command::new(usr.join("bin/cargo"));
        command.args([verb, "--locked", "-Zbuild-std", "--target", target.name]);
        command.env("RUSTC", usr.join("bin/rustc")).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-D warnings");
        command.env("LD_LIBRARY_PATH", &libraries).env("PATH", path);
        command.env("CARGO_TARGET_DIR", self.base.join("target"));
        command.env(format!("CC_{name}"), tools.join("target-cc")).env(format!("AR_{name}"), tools.join("target-ar"));
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        Ok(command)
    }
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
fn tools(base: &Path, target: Target) -> Result<PathBuf> {
    let folder = base.join("tools").join(target.name);
    fs::create_dir_all(&folder)?;
    let zig = format!("{} -m ziglang", base.join("zig/bin/python").display());
    // zig has its own names for targets and takes no others.
    let cc = format!(
        "for word; do shift; case $word in --target=*|-mmacosx-version-min=*|-mmacos-version-min=*) ;; *) set -- \"$@\" \"$word\" ;; esac; done\n\
         exec {zig} cc -target {} \"$@\"",
        target.zig
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
