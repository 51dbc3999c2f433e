//! Whether memory and disk are as flat at the end as they were before. It only judges.

use super::day::DAY;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Less time than this says nothing: a database file stays as large as at its fullest, so each quarter has to have a
/// whole day with its noon.
pub const LEAST_SECONDS: f64 = 4.0 * DAY.as_secs() as f64;
/// How much more than before something may be, as a part of it. Memory goes up and down with what is under way, and an
/// AOF doubles before it is rewritten.
const MORE: f64 = 0.25;
/// And how much more besides, in bytes: of small things a quarter is less than what an allocator gives back or not.
const SLACK: f64 = 24.0 * 1024.0 * 1024.0;
/// The log begins anew, and so it is not compared. It may have so many bytes: SQLite's is written back from 64 MiB on,
/// and an AOF is rewritten when it has doubled.
const MOST_LOG: u64 = 256 << 20;
/// Loads are compared with their like: the range up to the highest is cut into so many pieces.
const LOADS: usize = 4;
/// So many samples of a load have to be there on both sides; the median of fewer is chance.
const LEAST_SAMPLES: usize = 6;

/// What was measured at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the soak began, without the time between pieces.
    pub at: f64,
    /// Events a second that had their 202 since the last sample.
    pub rate: f64,
    /// Bytes in memory of all processes of Laneway.
    pub memory: u64,
    /// The same of each, for whoever looks for the one that grows.
    #[serde(default)]
    pub processes: BTreeMap<String, u64>,
    /// Bytes that Redis says it uses; 0 with SQLite.
    pub redis: u64,
    /// Bytes of the store's files, without the log.
    pub disk: u64,
    /// Bytes of the log that changes are written to first: SQLite's write-ahead log, or what Redis has added to its AOF
    /// since it was rewritten. It grows, and begins anew.
    pub log: u64,
    /// From the first attempt of a producer to the arrival at the steady destination, in milliseconds: the 99th
    /// percentile since the last sample, and the worst.
    pub p99: f64,
    /// The worst.
    pub worst: f64,
    /// Whether no trouble was under way, and every process had run for a while.
    pub calm: bool,
}

/// What must not grow, and its bytes in a sample.
type Thing = (&'static str, fn(&Sample) -> u64);

/// What comes of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// There is not enough to compare.
    TooShort(String),
    /// Nothing has grown.
    Flat(String),
    /// Something has.
    Grown(String),
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::TooShort(text) | Self::Flat(text) | Self::Grown(text) => text,
        }
    }
}

/// Compares the last quarter of the time with the second one, at the same load. (In the first one, everything grows.)
#[must_use]
pub fn judge(samples: &[Sample]) -> Verdict {
    let seconds = samples.iter().map(|sample| sample.at).fold(0.0, f64::max);
    if seconds < LEAST_SECONDS {
        let (minutes, least) = (seconds / 60.0, LEAST_SECONDS / 60.0);
        return Verdict::TooShort(format!("too short to judge: {minutes:.0} minutes of at least {least:.0}"));
    }
    let (mut texts, mut grown) = (Vec::new(), false);
    let things: [Thing; 3] =
        [("memory", |sample| sample.memory), ("Redis' memory", |sample| sample.redis), ("disk", |sample| sample.disk)];
    for (what, of) in things {
        if let Some((before, after)) = largest_growth(samples, seconds, of) {
            let more = after > before * (1.0 + MORE) + SLACK;
            grown |= more;
            let verdict = if more { " has GROWN" } else { "" };
            texts.push(format!("{what}{verdict}: {:.1} MiB, then {:.1} MiB", mebibytes(before), mebibytes(after)));
        }
    }
    // While a backup is made it grows; that is a trouble.
    let log = samples.iter().filter(|sample| sample.calm).map(|sample| sample.log).max().unwrap_or_default();
    if log > MOST_LOG {
        grown = true;
        texts.push(format!("the log has GROWN to {:.1} MiB", mebibytes(log as f64)));
    }
    match (texts.is_empty(), grown) {
        (true, _) => Verdict::TooShort("too short to judge: no load has enough samples in both quarters".to_owned()),
        (_, true) => Verdict::Grown(texts.join("; ")),
        _ => Verdict::Flat(texts.join("; ")),
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// The medians before and after of the load at which the thing has grown most.
fn largest_growth(samples: &[Sample], seconds: f64, of: fn(&Sample) -> u64) -> Option<(f64, f64)> {
    let highest = samples.iter().map(|sample| sample.rate).fold(1.0, f64::max);
    let quarter = |number: f64, sample: &Sample| {
        let from = seconds * number / 4.0;
        sample.at > from && sample.at <= from + seconds / 4.0
    };
    let load = |sample: &Sample| (sample.rate / highest * LOADS as f64).min(LOADS as f64 - 1.0) as usize;
    let median_of = |number: f64, piece: usize| {
        let chosen = samples.iter().filter(|sample| sample.calm && quarter(number, sample) && load(sample) == piece);
        median(chosen.map(of).collect())
    };
    let pairs = (0..LOADS).filter_map(|piece| Some((median_of(1.0, piece)?, median_of(3.0, piece)?)));
    pairs.filter(|pair| *pair != (0.0, 0.0)).max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
}

fn median(mut values: Vec<u64>) -> Option<f64> {
    values.sort_unstable();
    (values.len() >= LEAST_SAMPLES).then(|| values[values.len() / 2] as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1 << 20;
    /// When the last quarter begins.
    const LATE: f64 = LEAST_SECONDS * 0.75;

    /// Samples of the least time, with so much memory in each quarter.
    fn days(quarters: [u64; 4]) -> Vec<Sample> {
        let sample = |n: usize| Sample {
            at: LEAST_SECONDS / 360.0 * (n + 1) as f64,
            rate: if n.is_multiple_of(2) { 50.0 } else { 800.0 },
            memory: quarters[n / 90] * MEBIBYTE,
            disk: 100 * MEBIBYTE,
            calm: true,
            ..Sample::default()
        };
        (0..360).map(sample).collect()
    }

    #[test]
    fn what_stays_is_flat_whatever_the_beginning_was_like() {
        assert!(matches!(judge(&days([20, 100, 150, 110])), Verdict::Flat(_)));
    }

    #[test]
    fn memory_that_rises_is_noticed() {
        let verdict = judge(&days([100, 100, 150, 200]));
        assert!(matches!(&verdict, Verdict::Grown(text) if text.contains("memory has GROWN: 100.0 MiB, then 200.0")));
    }

    #[test]
    fn a_disk_that_rises_is_noticed() {
        let mut samples = days([100; 4]);
        samples.iter_mut().for_each(|sample| sample.disk = sample.at as u64 * MEBIBYTE / 10);
        assert!(matches!(judge(&samples), Verdict::Grown(text) if text.contains("disk has GROWN")));
    }

    #[test]
    fn a_log_that_does_not_begin_anew_is_noticed() {
        let mut samples = days([100; 4]);
        samples[350].log = MOST_LOG;
        assert!(matches!(judge(&samples), Verdict::Flat(_)));
        samples[350].log += 1;
        assert!(matches!(judge(&samples), Verdict::Grown(text) if text.contains("log")));
    }

    #[test]
    fn growth_at_one_load_only_is_noticed() {
        let mut samples = days([100; 4]);
        let late_nights = samples.iter_mut().filter(|sample| sample.at > LATE && sample.rate < 100.0);
        late_nights.for_each(|sample| sample.memory = 200 * MEBIBYTE);
        assert!(matches!(judge(&samples), Verdict::Grown(_)));
    }

    #[test]
    fn a_load_that_came_only_at_the_end_is_not_compared() {
        let mut samples = days([100; 4]);
        for sample in samples.iter_mut().filter(|sample| sample.at > LATE && sample.rate > 100.0) {
            (sample.rate, sample.memory) = (400.0, 200 * MEBIBYTE);
        }
        assert!(matches!(judge(&samples), Verdict::Flat(_)));
    }

    #[test]
    fn a_short_time_and_samples_amid_troubles_say_nothing() {
        assert!(matches!(judge(&days([1, 1, 1, 1000])[..100]), Verdict::TooShort(_)));
        let mut samples = days([1, 1, 1, 1000]);
        samples.iter_mut().for_each(|sample| sample.calm = false);
        assert!(matches!(judge(&samples), Verdict::TooShort(_)));
    }
}
