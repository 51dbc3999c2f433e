//! What this disk takes to make a write durable.

use crate::clock;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// About what a group commit of some dozens of events writes.
const WRITE: usize = 32 * 1024;
/// The file is written over and over in this many pieces, as a write-ahead log is.
const PIECES: u64 = 128;

/// The disk's figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Disk {
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Writes 32 KiB and waits until they are durable, for this long.
pub(crate) fn measure(folder: &Path, time: Duration) -> io::Result<Disk> {
    let mut file = File::create(folder.join("fsync-probe"))?;
    let piece = vec![7_u8; WRITE];
    for _ in 0..PIECES {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let mut times = clock::histogram()?;
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < time {
        file.seek(SeekFrom::Start(n % PIECES * WRITE as u64))?;
        let begin = clock::now();
        file.write_all(&piece)?;
        file.sync_data()?;
        times.record(clock::now().saturating_sub(begin)).ok();
        n += 1;
    }
    std::fs::remove_file(folder.join("fsync-probe"))?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = n as f64 / started.elapsed().as_secs_f64();
    let at = |quantile| clock::millis(times.value_at_quantile(quantile));
    Ok(Disk { per_second, p50: at(0.5), p99: at(0.99) })
}
