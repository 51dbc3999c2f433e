//! The half that sends spans.

use crate::collector::{Answer, Collector};
use crate::encode::{self, Resource};
use bytes::Bytes;
use laneway_ports::Span;
use metrics::{Counter, counter};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// Spans that a collector has taken.
pub const EXPORTED: &str = "laneway_spans_exported_total";
/// Spans that were dropped, by reason: `queue-full`, or `collector` (it could not be reached, or refused them).
pub const DROPPED: &str = "laneway_spans_dropped_total";
/// The most spans of one request, as OpenTelemetry's own batches have.
pub const MAX_BATCH: usize = 512;
/// How long a span may wait for others to join it.
const LINGER: Duration = Duration::from_secs(1);
/// How long one request may take: OTLP's own default.
pub const EXPORT_WITHIN: Duration = Duration::from_secs(10);
/// The pauses before a request is made again. After the last one its spans are dropped: what has waited meanwhile is
/// newer, and of more use.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long the last spans may take at a shutdown.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Sends what waits, in batches.
pub struct Sending {
    collector: Collector,
    resource: Resource,
    waiting: Receiver<Span>,
    exported: Counter,
    dropped: Counter,
    /// Spans dropped since the collector could last be reached; `None` while it takes them.
    away: Option<u64>,
}

impl Sending {
    pub(crate) fn new(collector: Collector, resource: Resource, waiting: Receiver<Span>) -> Self {
        let dropped = counter!(DROPPED, "reason" => "collector");
        Self { collector, resource, waiting, exported: counter!(EXPORTED), dropped, away: None }
    }

    /// Sends until `stop` says so, or the exporter is gone; then what still waits, for at most [`FLUSH_WITHIN`].
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        tokio::pin!(stopped);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = fill(&mut self.waiting, &mut batch) => {}
            }
            if batch.is_empty() {
                return; // There will be none any more.
            }
            tokio::select! {
                biased;
                // What is in hand has one last chance. If the collector has it already, it is the same spans again.
                () = &mut stopped => break,
                answer = self.send(&batch) => self.ended(&answer, batch.len()),
            }
            batch.clear();
        }
        self.flush(batch).await;
    }

    /// Sends a batch, again and again while there is hope.
    async fn send(&mut self, batch: &[Span]) -> Answer {
        let body = self.body(batch);
        for pause in PAUSES {
            match self.collector.post(body.clone(), EXPORT_WITHIN).await {
                Answer::Later(why, asked) => {
                    self.is_away(&why);
                    sleep(asked.unwrap_or(pause)).await;
                }
                answer => return answer,
            }
        }
        self.collector.post(body, EXPORT_WITHIN).await
    }

    /// Sends what still waits, `batch` before all.
    async fn flush(mut self, mut batch: Vec<Span>) {
        self.waiting.close();
        let until = Instant::now() + FLUSH_WITHIN;
        while !batch.is_empty() || self.waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let answer = timeout_at(until, self.collector.post(self.body(&batch), EXPORT_WITHIN)).await;
            match answer.unwrap_or_else(|_| Answer::Later("no time is left".to_owned(), None)) {
                answer @ Answer::Taken(_) => self.ended(&answer, batch.len()),
                // Whoever stops does not wait for it: what is left is lost.
                answer => return self.ended(&answer, batch.len() + self.waiting.len()),
            }
            batch.clear();
        }
    }

    fn body(&self, batch: &[Span]) -> Bytes {
        encode::request(&self.resource, batch).into()
    }

    /// A request has come to its end.
    fn ended(&mut self, answer: &Answer, count: usize) {
        let count = count as u64;
        match answer {
            Answer::Taken(body) => {
                let refused = encode::refused(body).min(count);
                self.exported.increment(count - refused);
                self.dropped.increment(refused);
                if let Some(dropped) = self.away.take() {
                    tracing::info!(dropped, "the collector of spans takes them again (telemetry.otlp)");
                }
            }
            Answer::Later(why, _) | Answer::Refused(why) => {
                self.is_away(why);
                self.dropped.increment(count);
                if let Some(dropped) = &mut self.away {
                    *dropped += count;
                }
            }
        }
    }

    /// Says so, once until it is back.
    fn is_away(&mut self, why: &str) {
        if self.away.is_none() {
            self.away = Some(0);
            tracing::warn!(
                error = why,
                "spans cannot be sent to the collector (telemetry.otlp): they are dropped while it is so, and deliveries go on"
            );
        }
    }
}

/// Takes the next spans: as many as make a batch, or those that come within [`LINGER`] of the first. None when there
/// will be none.
async fn fill(waiting: &mut Receiver<Span>, batch: &mut Vec<Span>) {
    if waiting.recv_many(batch, MAX_BATCH).await == 0 {
        return;
    }
    let until = Instant::now() + LINGER;
    while batch.len() < MAX_BATCH {
        let room = MAX_BATCH - batch.len();
        if !matches!(timeout_at(until, waiting.recv_many(batch, room)).await, Ok(1..)) {
            return;
        }
    }
}
