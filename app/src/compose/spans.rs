//! The way out for spans, where the configuration wants one.

use super::Role;
use crate::config::Telemetry;
use laneway_otlp::{Exporter, OtlpConfig, Sending, exporter};
use laneway_ports::{Spans, WorkerId};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Spans are sent from the moment of its making on.
pub(super) struct Exporting {
    spans: Arc<dyn Spans>,
    stop: watch::Sender<bool>,
    sending: JoinHandle<()>,
}

impl Exporting {
    /// Begins to send, if there is a collector. Nothing of it is asked for: it may come later.
    pub(super) fn begin(telemetry: &Telemetry, id: &WorkerId, role: Role) -> Result<Option<Self>, String> {
        let Some(endpoint) = telemetry.otlp.clone() else { return Ok(None) };
        let resource = vec![
            ("service.name", "laneway".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", id.0.clone()),
            ("laneway.role", role.name().to_owned()),
        ];
        let (exporter, sending) = made(OtlpConfig { endpoint, ratio: telemetry.ratio, resource })?;
        let (stop, stopped) = watch::channel(false);
        let sending = tokio::spawn(sending.run(stopped));
        Ok(Some(Self { spans: Arc::new(exporter), stop, sending }))
    }

    /// Where spans go.
    pub(super) fn spans(&self) -> Arc<dyn Spans> {
        self.spans.clone()
    }

    /// Sends what still waits, within a short time.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        // If it has panicked, its spans are lost, and the log has said so.
        let _ = self.sending.await;
    }
}

fn made(config: OtlpConfig) -> Result<(Exporter, Sending), String> {
    exporter(config).map_err(|why| format!("telemetry.otlp cannot be used: {why}"))
}

/// Whether spans can be sent as the configuration wants it. Nothing is.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check(telemetry: &Telemetry) -> Result<(), String> {
    let Some(endpoint) = telemetry.otlp.clone() else { return Ok(()) };
    made(OtlpConfig { endpoint, ratio: telemetry.ratio, resource: Vec::new() }).map(drop)
}
