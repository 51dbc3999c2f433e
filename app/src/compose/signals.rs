//! What signals do to a process.

use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The exit code of a server that was told twice to stop, and ended at once: 128 + SIGINT, as shells count a process
/// that a signal ended.
pub const EXIT_TOLD_TWICE: u8 = 130;

/// Becomes `true` at the first SIGTERM or SIGINT. A second one ends the process at once.
pub(super) fn stop_signal() -> Result<watch::Receiver<bool>, String> {
    let listen = |kind| signal(kind).map_err(|e| format!("signals cannot be received: {e}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                tracing::warn!("a second signal to stop: ending at once");
                std::process::exit(EXIT_TOLD_TWICE.into());
            }
            stop.send_replace(true);
        }
        pending::<()>().await;
    });
    Ok(stopped)
}

/// Does something that may take long, unless the process is told to stop. `None` if it was, and the rest was left.
pub(super) async fn unless_told<T>(mut stop: watch::Receiver<bool>, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|told| *told) => None,
        done = what => Some(done),
    }
}

/// What asks for the configuration to be read again: SIGHUP.
pub(super) fn reload_signal() -> Result<Signal, String> {
    signal(SignalKind::hangup()).map_err(|e| format!("SIGHUP cannot be received: {e}"))
}

/// Answers the signals that other servers take for a request to reopen their logs, and that would otherwise end the
/// process: a log line says what to do instead.
pub(super) fn ignore_what_means_nothing() -> Result<(), String> {
    let meaningless = [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())];
    for (name, kind) in meaningless {
        let mut received = signal(kind).map_err(|e| format!("{name} cannot be received: {e}"))?;
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                tracing::warn!(
                    "{name} was received, and means nothing to Laneway: SIGHUP reloads the configuration, SIGTERM stops it"
                );
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_told_to_stop_waits_for_nothing_else() {
        let (told, stop) = watch::channel(false);
        assert_eq!(unless_told(stop.clone(), async { 7 }).await, Some(7));
        let (left, ()) = tokio::join!(unless_told(stop.clone(), pending::<()>()), async {
            told.send_replace(true);
        });
        assert_eq!(left, None);
        assert_eq!(unless_told(stop, async { 7 }).await, None, "it was told before");
    }
}
