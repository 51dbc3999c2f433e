//! Measures memory, disk and latencies every few seconds, in a task of its own.

use super::book::Book;
use super::flat::Sample;
use super::site::Watched;
use super::state::add_sample;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often: often enough that a quarter of an hour has a median, and seldom enough that 24 hours are a small file.
const EVERY: Duration = Duration::from_secs(10);

/// What is measured, and where it is written.
pub(super) struct Sampler {
    pub(super) book: Arc<Book>,
    pub(super) watched: Arc<Watched>,
    /// Set while a trouble is under way.
    pub(super) troubled: Arc<AtomicBool>,
    pub(super) path: PathBuf,
    /// The time of the soak at which the piece began.
    pub(super) before: f64,
    pub(super) began: Instant,
    /// What the last sample saw: when, and how many events had their 202.
    pub(super) last: (Instant, u64),
}

impl Sampler {
    pub(super) fn start(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            // A file that cannot be written is a soak without its result.
            while let Ok(()) = self.sample().await {
                tokio::time::sleep(EVERY).await;
            }
        })
    }

    async fn sample(&mut self) -> Result<(), String> {
        let (processes, grown_up) = self.watched.memory();
        let (disk, log) = self.watched.disk();
        let latencies = self.book.latencies();
        let (now, total) = (Instant::now(), self.book.total());
        let seconds = now.duration_since(self.last.0).as_secs_f64().max(0.001);
        let sample = Sample {
            at: self.before + self.began.elapsed().as_secs_f64(),
            rate: (total - self.last.1) as f64 / seconds,
            memory: processes.values().sum(),
            processes,
            redis: self.watched.redis().await,
            disk,
            log,
            p99: latencies.p99,
            worst: latencies.worst,
            calm: grown_up && !self.troubled.load(Ordering::Relaxed),
        };
        self.last = (now, total);
        let added = add_sample(&self.path, &sample);
        if let Err(why) = &added {
            self.book.violation(format!("samples cannot be kept: {why}"));
        }
        added
    }
}
