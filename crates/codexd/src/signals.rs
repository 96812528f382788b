//! When a person, or the system, wants a command to end.

use std::io;

/// Completes at the first Ctrl-C, or on Unix also SIGTERM or SIGHUP. From the first call on these no longer end the process
/// by themselves: whoever calls this ends what it started, and itself.
pub(crate) async fn asked_to_end() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result?,
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
