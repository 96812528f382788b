//! Programs on Windows: what may be executed is said by the end of the file's name.

use std::path::Path;

pub(super) fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// What a native program is called on disk.
pub(super) fn executable_name(name: &str) -> String {
    format!("{name}.exe")
}

/// What a bare name may be called on disk: the part of the usual PATHEXT that can be started without a shell of its own.
/// npm also writes a `codex` for Git Bash there, which Windows can't start.
pub(super) fn file_names(name: &str) -> Vec<String> {
    const ENDS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];
    let lower = name.to_ascii_lowercase();
    if ENDS.iter().any(|end| lower.ends_with(end)) {
        return vec![name.to_owned()];
    }
    ENDS.iter().map(|end| format!("{name}{end}")).collect()
}
