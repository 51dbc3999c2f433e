//! The status over all workers that share a store: each leaves its own for the others to read.

use laneway_domain::{DestinationStatus, MAX_LISTED_KEYS, Partition, StatusReport};
use laneway_ports::{MAX_REPORT_BYTES, Present, StoreError, WorkerId, Workers};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// How often a worker leaves its status for the others, if it has changed. An operator who looks at
/// another process sees numbers that are about as old as this; the store has one small write a worker.
pub const REPORT_EVERY: Duration = Duration::from_secs(2);
/// How many times in a row an unchanged status is not left again. The register may have forgotten it.
const UNCHANGED_AT_MOST: u32 = 5;
/// What a report says beside its destinations: when it was made, thousands of partitions, what is missing.
const ABOUT_ITSELF_BYTES: usize = 64 << 10;
/// How many blocked keys per destination are listed, tried one after the other until a report fits.
const SHORTER: [usize; 4] = [MAX_LISTED_KEYS, 20, 3, 0];

/// What a worker has last left for the others.
#[derive(Default)]
pub(super) struct LastReport {
    status: Option<StatusReport>,
    unchanged: u32,
}

impl LastReport {
    /// Leaves `status` for the others, unless it is what they have.
    pub(super) async fn update(&mut self, workers: &dyn Workers, worker: &WorkerId, mut status: StatusReport) {
        let at = status.at;
        if let Some(before) = &self.status {
            status.at = before.at;
            if *before == status && self.unchanged < UNCHANGED_AT_MOST {
                self.unchanged += 1;
                return;
            }
        }
        status.at = at;
        match workers.report(worker, encode(&status)).await {
            Ok(()) => (self.status, self.unchanged) = (Some(status), 0),
            Err(error) => {
                self.status = None;
                tracing::warn!(%error, "this worker's status could not be shared with the others; trying again");
            }
        }
    }
}

/// A report as text of at most [`MAX_REPORT_BYTES`]. What does not fit is left out, and that is said.
fn encode(status: &StatusReport) -> String {
    let mut status = status.clone();
    for most in SHORTER {
        let is_shorter = status.destinations.iter().any(|destination| destination.blocked.len() > most);
        if most < MAX_LISTED_KEYS && !is_shorter {
            continue; // It would be the text that did not fit.
        }
        if is_shorter {
            status.shorten(most);
            status.incomplete =
                vec![format!("its status is too long to share: only {most} blocked keys per destination are listed")];
        }
        if let Some(text) = json(&status) {
            return text;
        }
    }
    // So many destinations that their numbers alone do not fit.
    let (all, destinations) = (status.destinations.len(), std::mem::take(&mut status.destinations));
    let room = MAX_REPORT_BYTES.saturating_sub(ABOUT_ITSELF_BYTES);
    let mut listed = Short { text: Vec::new(), most: room };
    let fits = |destination: &&DestinationStatus| {
        serde_json::to_writer(&mut listed, destination).is_ok() && listed.write_all(b",").is_ok()
    };
    status.destinations = destinations.iter().take_while(fits).cloned().collect();
    let left = status.destinations.len();
    status.incomplete =
        vec![format!("its status is too long to share: only {left} of its {all} destinations are listed")];
    status.lacks_numbers = true;
    json(&status).unwrap_or_default()
}

/// A report as text, unless that is too long.
fn json(status: &StatusReport) -> Option<String> {
    let mut short = Short { text: Vec::new(), most: MAX_REPORT_BYTES };
    // What a report has can always be written, but for its length.
    serde_json::to_writer(&mut short, status).ok()?;
    String::from_utf8(short.text).ok()
}

/// Text that ends where it gets too long: of what does not fit no more is written than would.
struct Short {
    text: Vec<u8>,
    most: usize,
}

impl Write for Short {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.text.len() + more.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The status over all workers that share a store with so many partitions. `own` is this process'
/// own, which is newer than what it has left for the others. What is missing is said in
/// [`StatusReport::incomplete`].
///
/// # Errors
/// If the register cannot be read and there is no `own`.
pub async fn status_of_all(
    workers: &dyn Workers,
    partitions: u32,
    own: Option<(WorkerId, StatusReport)>,
) -> Result<StatusReport, StoreError> {
    let (present, unread) = match workers.present().await {
        Ok(present) => (present, None),
        Err(error) if own.is_some() => (Vec::new(), Some(error)),
        Err(error) => return Err(error),
    };
    let mut incomplete = Vec::new();
    let mut reports = BTreeMap::new();
    for Present { worker, report } in present {
        match serde_json::from_str::<StatusReport>(&report) {
            Ok(report) => drop(reports.insert(worker, report)),
            Err(_) if own.as_ref().is_some_and(|(own, _)| *own == worker) => {}
            Err(_) if report.is_empty() => incomplete.push(format!("worker {worker} has not reported its status yet")),
            Err(_) => incomplete.push(format!("worker {worker} is of another version, whose status cannot be read")),
        }
    }
    reports.extend(own);
    let mut all = StatusReport::of_all(reports.into_iter().map(|(worker, report)| (worker.0, report)));
    if let Some(error) = unread {
        incomplete.push(format!("the other workers: {error}"));
    }
    incomplete.extend(unheld(&all, partitions));
    all.lacks_numbers |= !incomplete.is_empty();
    all.incomplete.extend(incomplete);
    Ok(all)
}

/// Says which partitions no worker says that it works on: what waits there is in no number.
fn unheld(status: &StatusReport, partitions: u32) -> Option<String> {
    let held = |partition: &Partition| status.partitions.binary_search(partition).is_ok();
    let unheld: Vec<String> = (0..partitions).map(Partition).filter(|p| !held(p)).map(|p| p.to_string()).collect();
    let (is, what) = if unheld.len() == 1 { ("is", "partition") } else { ("are", "partitions") };
    // A list of hundreds helps nobody.
    let list = if unheld.len() <= 20 { unheld.join(", ") } else { format!("({} of them)", unheld.len()) };
    (!unheld.is_empty()).then(|| format!("{what} {list} {is} worked on by no worker that has said so"))
}

#[cfg(test)]
mod tests;
