//! Variables of the environment that are about this process, and not for those that it starts.

/// What a service manager tells us is about us: a child that took it for its own would speak in our name, or take over our listeners.
const OF_THE_MANAGER: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "CREDENTIALS_DIRECTORY",
];

/// How the names of our own begin. They may hold a token.
const OURS: &str = "CODEXD_";

/// Whether a child must not inherit the variable of this name.
#[must_use]
pub fn is_for_codexd_alone(name: &str) -> bool {
    name.starts_with(OURS) || OF_THE_MANAGER.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_and_what_a_manager_said_stays() {
        for name in ["CODEXD_TOKEN", "CODEXD_", "NOTIFY_SOCKET", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"] {
            assert!(is_for_codexd_alone(name), "{name}");
        }
        for name in ["PATH", "CODEX_HOME", "CODEX_THREAD_ID", "MY_CODEXD_TOKEN", "LISTEN", ""] {
            assert!(!is_for_codexd_alone(name), "{name}");
        }
    }
}
