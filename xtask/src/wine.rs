//! Builds for Windows and runs that, on a Debian machine, under wine.
//!
//! Wine is not Windows: it shows that the code for Windows runs and does what it should where both agree. It has named pipes with owners and
//! rights, Job Objects, locks of files and the list of processes; who may do what is looser there.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    platforms::{Toolchain, WINDOWS},
    sh,
};

/// The linker, from `gcc-mingw-w64-x86-64-win32`.
const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Where Debian puts wine.
const WINE: &str = "/usr/lib/wine/wine64";
const WINESERVER: &str = "/usr/lib/wine/wineserver64";

/// What has tests that are for Windows.
const TESTED: [&[&str]; 3] = [
    &["--package", "win32"],
    &["--package", "agent", "--test", "windows"],
    &["--package", "codex-mcp-bridge", "--test", "windows"],
];

/// What makes import libraries for that linker; it comes with it.
const DLLTOOL: &str = "/usr/bin/x86_64-w64-mingw32-dlltool";

/// Builds, then runs the tests.
pub(crate) fn check() -> Result<()> {
    let missing = "this needs two of Debian's packages: apt-get install --no-install-recommends wine64 gcc-mingw-w64-x86-64-win32";
    ensure!(Path::new(WINE).is_file() && sh::works(Command::new(LINKER).arg("--version")), missing);
    let toolchain = Toolchain::ready()?;
    let wine = Wine::prepare(&sh::root().join("target/platforms/wine"))?;
    let result = wine.check(&toolchain);
    wine.end();
    result
}

/// A Windows of ours.
struct Wine {
    prefix: PathBuf,
}

impl Wine {
    fn prepare(prefix: &Path) -> Result<Self> {
        let wine = Self { prefix: prefix.to_owned() };
        if !prefix.join("system.reg").is_file() {
            std::fs::create_dir_all(prefix).context("there is no place for wine's files")?;
            sh::run("a Windows for wine", wine.command(WINE).args(["wineboot", "--init"]))?;
            let version = ["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"];
            sh::run("as Windows 10", wine.command(WINE).args(version))?;
            // Rust's standard library takes its randomness from there.
            let mut shim = Command::new(LINKER);
            shim.args(["-shared", "-O1", "-o"]).arg(prefix.join("drive_c/windows/system32/bcryptprimitives.dll"));
            sh::run("the one DLL that wine 8 lacks", shim.args(["xtask/src/wine/prng.c", "-ladvapi32"]))?;
        }
        Ok(wine)
    }

    fn check(&self, toolchain: &Toolchain) -> Result<()> {
        let cargo = |verb: &str| -> Result<Command> {
            let mut command = toolchain.cargo(WINDOWS, verb)?;
            self.environment(&mut command);
            command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER);
            command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE);
            // With import libraries of zig's this linker drops functions of a DLL that two crates import from; the first call of one is a crash.
            command.env("RUSTFLAGS", format!("-D warnings -Cdlltool={DLLTOOL}"));
            command.env("CC_x86_64_pc_windows_gnu", LINKER).env("AR_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-ar");
            // Nobody debugs these.
            command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
            Ok(command)
        };
        let mut build = cargo("build")?;
        build.args(["--package", "codex-mcp-bridge", "--package", "testkit", "--bin", "codexd", "--bin", "fake-codex"]);
        sh::run("codexd.exe and fake-codex.exe", &mut build)?;
        for tested in TESTED {
            let mut test = cargo("test")?;
            test.args(tested).args(["--", "--test-threads", "2"]);
            sh::run(&format!("tests under wine: {}", tested.join(" ")), &mut test)?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        // Without them wine looks for programs of a desktop.
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=").env_remove("DISPLAY");
    }

    /// What still runs of it.
    fn end(&self) {
        let _ = self.command(WINESERVER).arg("-k").status();
    }
}
