//! What Codex is published for, and where its packages have the native binary.

use std::path::{Path, PathBuf};

use super::os;

/// The facts of a platform for which Codex is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// As npm names it: the end of `@openai/codex-linux-x64` and of the version `0.169.0-linux-x64`.
    pub npm_suffix: &'static str,
    /// `process.platform` of Node.
    pub os: &'static str,
    /// `process.arch` of Node.
    pub cpu: &'static str,
    /// The folder under `vendor`.
    pub triple: &'static str,
}

/// The platform that this program was built for, if Codex is published for it.
#[must_use]
pub fn platform() -> Option<Platform> {
    platform_of(std::env::consts::OS, std::env::consts::ARCH)
}

/// The table that all three wrappers (0.98.0, 0.153.4, 0.169.0) agree on, by Rust's names.
fn platform_of(os: &str, arch: &str) -> Option<Platform> {
    let (npm_suffix, os, cpu, triple) = match (os, arch) {
        ("linux" | "android", "x86_64") => ("linux-x64", "linux", "x64", "x86_64-unknown-linux-musl"),
        ("linux" | "android", "aarch64") => ("linux-arm64", "linux", "arm64", "aarch64-unknown-linux-musl"),
        ("macos", "x86_64") => ("darwin-x64", "darwin", "x64", "x86_64-apple-darwin"),
        ("macos", "aarch64") => ("darwin-arm64", "darwin", "arm64", "aarch64-apple-darwin"),
        ("windows", "x86_64") => ("win32-x64", "win32", "x64", "x86_64-pc-windows-msvc"),
        ("windows", "aarch64") => ("win32-arm64", "win32", "arm64", "aarch64-pc-windows-msvc"),
        _ => return None,
    };
    Some(Platform { npm_suffix, os, cpu, triple })
}

/// Our own platform, then what it can emulate: Node may be an x64 build on an arm64 Mac, and then so is its Codex.
pub(super) fn runnable_platforms() -> impl Iterator<Item = Platform> {
    let emulated = match (std::env::consts::OS, std::env::consts::ARCH) {
        (os @ ("macos" | "windows"), "aarch64") => platform_of(os, "x86_64"),
        // We may ourselves be the emulated one.
        (os @ ("macos" | "windows"), "x86_64") => platform_of(os, "aarch64"),
        _ => None,
    };
    platform().into_iter().chain(emulated)
}

/// Where the package of one platform is in a `node_modules` folder.
pub(super) fn platform_package(modules: &Path, platform: Platform) -> PathBuf {
    modules.join("@openai").join(format!("codex-{}", platform.npm_suffix))
}

/// Where the native binary may be under `vendor`: in `bin` since about 0.140, in `codex` before.
pub(super) fn binaries(vendor: &Path, platform: Platform) -> [PathBuf; 2] {
    ["bin", "codex"].map(|folder| vendor.join(platform.triple).join(folder).join(os::executable_name("codex")))
}

/// `vendor/<triple>/path` beside `vendor/<triple>/codex/codex`: the older layout (0.98.0 to about 0.130), whose binary does
/// not find its tools itself. The newer one has `codex-path` beside `bin`, and a `codex-package.json` that tells of it.
pub(super) fn old_tools_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let tools = folder.parent()?.join("path");
    (folder.file_name()? == "codex" && tools.is_dir()).then_some(tools)
}
