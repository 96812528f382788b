//! Telling one event: a few tries, further and further apart, until it was told or is given up.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{Hook, Place, letter::Letter};

/// What lies between the tries. All in all about two minutes, and the time of the tries themselves.
pub(crate) const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25), Duration::from_secs(90)];

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is over: told, or given up.
    Over,
    /// codexd stops: the next one tells it.
    Later,
}

/// Tells it.
pub(crate) async fn tell(hook: Arc<Hook>, letter: Letter, place: Arc<Place>, stop: CancellationToken) -> End {
    let (name, event, id) = (hook.name.as_str(), letter.event.as_str(), letter.id.0);
    let mut attempt = 1;
    let mut pauses = PAUSES.into_iter();
    loop {
        let failed = match hook.tell_once(&letter, attempt, &place).await {
            Ok(how) => {
                tracing::debug!(hook = name, event, id, attempt, "told: {how}");
                return End::Over;
            }
            Err(failed) => failed,
        };
        let Some(pause) = pauses.next() else {
            let session = letter.session.as_ref().map(ToString::to_string);
            tracing::warn!(
                hook = name,
                event,
                id,
                session,
                "given up after {attempt} tries, this event is lost to it: {failed}"
            );
            return End::Over;
        };
        tracing::info!(hook = name, event, id, attempt, "not told yet, it is tried again: {failed}");
        tokio::select! {
            () = sleep(spread(pause)) => {}
            () = stop.cancelled() => return End::Later,
        }
        attempt += 1;
    }
}

/// Three to five quarters of it, so that many that failed together don't come again together.
fn spread(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without chance it is just not spread.
    let _ = getrandom::fill(&mut byte);
    pause.mul_f64(0.75 + f64::from(byte[0]) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_and_stay_about_what_they_are() {
        for _ in 0..1000 {
            let pause = spread(Duration::from_secs(4));
            assert!(pause >= Duration::from_secs(3) && pause <= Duration::from_secs(5), "{pause:?}");
        }
    }
}
