//! Why there is no Codex to start, and why one that is there was not taken.

use std::{fmt, path::PathBuf};

/// Something that looked like Codex and was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The `PATH` entry, program or installation.
    pub path: PathBuf,
    /// Why not.
    pub reason: Reason,
}

/// Why something was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A relative `PATH` entry.
    Relative,
    /// It, or a symlink on the way to it, lies in this folder that agents may write in.
    InsideRoot(PathBuf),
    /// A file that may not be executed.
    NotExecutable,
    /// A wrapper without its native binary, which was expected at these places.
    NoNative(Vec<PathBuf>),
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::Relative => write!(f, "`{path}` on PATH is relative"),
            Reason::InsideRoot(root) => {
                write!(f, "`{path}` lies in, or is reached through, `{}`, where agents may write", root.display())
            }
            Reason::NotExecutable => write!(f, "`{path}` is not executable"),
            Reason::NoNative(_) => write!(f, "`{path}` lacks its native binary"),
        }
    }
}

/// Why there is no Codex to start. Each text says what was looked for, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// `--codex-cmd` is empty.
    #[error("the Codex command is empty; give --codex-cmd a program, or leave it out to use `codex` on PATH")]
    Empty,
    /// A quote in `--codex-cmd` is not closed.
    #[error("the Codex command `{0}` has a quote that is not closed; correct --codex-cmd")]
    OpenQuote(String),
    /// What `--codex-cmd` names is not there.
    #[error("no program `{}` {}; correct --codex-cmd, or leave it out to use `codex` on PATH", .program.display(), Places(*.on_path, .passed_over))]
    NoSuchProgram {
        /// The first word of the command, or its file.
        program: PathBuf,
        /// Whether it is a bare name, which is looked up on `PATH`.
        on_path: bool,
        /// What was seen on the way.
        passed_over: Vec<PassedOver>,
    },
    /// What `--codex-cmd` names can't be started.
    #[error("`{}` is not a program that may be executed; correct --codex-cmd, or make the file executable", .0.display())]
    NotExecutable(PathBuf),
    /// What `--codex-cmd` names may be written by agents.
    #[error(
        "`{}` lies in, or is reached through, `{}`, where agents may write, and is therefore not run; move the program out of that folder, or name another folder with --cwd",
        .program.display(), .root.display()
    )]
    InsideRoot {
        /// The program or script.
        program: PathBuf,
        /// The root that it lies in.
        root: PathBuf,
    },
    /// The npm wrapper is there, the optional dependency with the native binary is not.
    #[error(
        "found the npm wrapper `{}`, but not the native Codex that it starts (npm's optional dependency {package}; looked for {}); install @openai/codex again, or run `codexd codex install`, or name another with --codex-cmd",
        .wrapper.display(), Paths(.expected)
    )]
    NoNative {
        /// The wrapper.
        wrapper: PathBuf,
        /// The package that should bring the native binary.
        package: String,
        /// The places that were looked at.
        expected: Vec<PathBuf>,
    },
    /// There is no Codex anywhere.
    #[error("no Codex found: no usable `codex` on PATH ({}) and none in `{}`; run `codexd codex install`, or name one with --codex-cmd", Seen(*.entries, .passed_over), .installed.display())]
    NotFound {
        /// How many entries `PATH` has.
        entries: usize,
        /// Where installations of ours would be.
        installed: PathBuf,
        /// What was seen on the way.
        passed_over: Vec<PassedOver>,
    },
}

struct Paths<'a>(&'a [PathBuf]);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if at == 0 { "" } else { ", " }, path.display())?;
        }
        Ok(())
    }
}

/// Where a program that was named was looked for.
struct Places<'a>(bool, &'a [PassedOver]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0 {
            return f.write_str("exists");
        }
        f.write_str("is on PATH")?;
        self.1.iter().try_for_each(|passed| write!(f, "; {passed}"))
    }
}

/// What was seen on `PATH`, by the number of its entries.
struct Seen<'a>(usize, &'a [PassedOver]);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("which is empty")?,
            1 => f.write_str("1 entry")?,
            many => write!(f, "{many} entries")?,
        }
        self.1.iter().try_for_each(|passed| write!(f, "; {passed}"))
    }
}
