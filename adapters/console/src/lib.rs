//! Deliveries as lines: the sink that a first `curl` shows something on.
//!
//! ```text
//! 2026-01-02T03:04:05.678Z console order.paid id=evt_1 key=order-7 3/41 attempt=1 {"total":12.5}
//! ```

mod line;

use async_trait::async_trait;
use jiff::Timestamp;
use laneway_domain::{Cause, DestinationName, Outcome};
use laneway_ports::{Delivery, DeliveryReport, Sink};
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// The most time for a delivery to be written: a pipe whose reader sleeps must not hold an attempt
/// for ever. As long as a webhook's by default.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Writes one line per event, and calls it delivered when the line is written and flushed.
///
/// A line's time is that of the attempt. A delivery is one write, so that the lines of several
/// destinations never mix. Whatever an event holds, it stays on its line and sends nothing to the
/// terminal: control characters are escaped, long data is cut, data that is no text is counted.
pub struct ConsoleSink {
    destination: DestinationName,
    output: Mutex<Output>,
}

struct Output {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// Whether a write was begun and not seen to its end, so that part of a line may stand there.
    torn: bool,
}

impl ConsoleSink {
    /// Writes to standard output.
    #[must_use]
    pub fn new(destination: DestinationName) -> Self {
        Self::to(destination, tokio::io::stdout())
    }

    /// Writes to `writer`.
    #[must_use]
    pub fn to(destination: DestinationName, writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { destination, output: Mutex::new(Output { writer: Box::new(writer), torn: false }) }
    }

    /// Writes the lines, unless the delivery may no longer be sent when those before it have been written.
    async fn write(&self, delivery: &Delivery, lines: &str) -> io::Result<Outcome> {
        let mut output = self.output.lock().await;
        if !delivery.may_be_sent() {
            return Ok(Outcome::NotTried);
        }
        let begun = if output.torn { format!("\n{lines}") } else { lines.to_owned() };
        output.torn = true;
        output.writer.write_all(begun.as_bytes()).await?;
        output.writer.flush().await?;
        output.torn = false;
        Ok(Outcome::Delivered)
    }
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleSink").field("destination", &self.destination).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for ConsoleSink {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let now = Timestamp::now();
        let mut lines = String::new();
        for attempted in &delivery.events {
            line::append(&mut lines, now, &self.destination, attempted);
        }
        let outcome = match tokio::time::timeout(TIMEOUT, self.write(delivery, &lines)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => retry(format!("the console could not be written: {error}")),
            Err(_) => retry(format!("the console took no line within {TIMEOUT:?}; is its reader stopped?")),
        };
        vec![outcome; delivery.events.len()].into()
    }
}

fn retry(reason: String) -> Outcome {
    Outcome::retry(Cause::Unanswered, reason)
}

#[cfg(test)]
mod tests;
