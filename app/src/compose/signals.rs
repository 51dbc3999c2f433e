//! What ends a process.

use std::future::pending;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

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
                // 128 + SIGINT, as shells count a process that a signal ended.
                std::process::exit(130);
            }
            stop.send_replace(true);
        }
        pending::<()>().await;
    });
    Ok(stopped)
}
