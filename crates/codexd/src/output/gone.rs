//! Noticing that nobody reads stdout any more, while there is nothing to write.

/// Waits until the reader of the pipe that stdout is has gone; for ever where it is no pipe, or where that can't be known.
#[cfg(unix)]
pub(crate) async fn gone() {
    use tokio::io::{Interest, unix::AsyncFd};

    // A file can't be waited for, and has no reader who could go.
    #[expect(
        deprecated,
        reason = "its successor is unsafe for descriptors that may be closed or change; stdout stays open"
    )]
    let Ok(stdout) = AsyncFd::with_interest(std::io::stdout(), Interest::ERROR) else {
        return std::future::pending().await;
    };
    loop {
        match stdout.ready(Interest::ERROR).await {
            Ok(guard) if guard.ready().is_error() => return,
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => return std::future::pending().await,
        }
    }
}

/// The same; here it shows when something is written.
#[cfg(not(unix))]
pub(crate) async fn gone() {
    std::future::pending().await
}
