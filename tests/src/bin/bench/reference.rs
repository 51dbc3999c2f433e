//! Laneway beside the usual design: one queue, a thread per destination, backoff in the process.

use crate::bench::{Bench, share};
use crate::plot::{Chart, Panel};
use crate::process::{self, Part};
use crate::report::{Sample, Section};
use crate::sink::{Received, SLOT};
use crate::store::Fresh;
use laneway_tests::server::Running;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Events of a closed loop.
const EVENTS: u64 = 40_000;
/// How long the open loop runs in which one event fails, in seconds.
const OPEN_SECONDS: u64 = 40;
/// Its rate: less than either of them can do.
const RATE: u64 = 500;
/// When the failing event comes, in seconds.
const POISONED_AT: u64 = 3;
/// How long the last events may take to come, after the loop has ended.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// One of the two.
struct Side {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    /// What has to stay as long as it runs.
    _laneway: Option<(Running, Fresh)>,
    _naive: Option<(Part, tempfile::TempDir)>,
}

/// Both, each with one destination, at this path of the receiver.
async fn both(bench: &Bench, path: &str) -> io::Result<[Side; 2]> {
    let fresh = bench.fresh(&[bench.destination("main", path, "")]).await?;
    let running = fresh.start().await;
    let (address, pid) = (fresh.address(), running.pid());
    let laneway = Side { name: "laneway", address, pid, _laneway: Some((running, fresh)), _naive: None };
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&bench.folder)?;
    let database = folder.path().join("naive.db").display().to_string();
    let part = Part::serve("naive", &["--database", &database, "--to", &bench.url(path)]).await?;
    let (address, pid) = (part.address, part.pid());
    let naive = Side { name: "the usual design", address, pid, _laneway: None, _naive: Some((part, folder)) };
    Ok([laneway, naive])
}

pub(crate) async fn measure(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for side in both(bench, "main").await? {
        let run = bench.closed(side.address, side.pid, bench.scaled(EVENTS), async || Ok(())).await?;
        let memory = Some(process::memory(side.pid)?.1);
        let (per_second, cpu_micros) = (Some(run.per_second), Some(run.cpu_micros));
        section.point("end to end", side.name, Sample { per_second, cpu_micros, memory, ..Sample::default() });
    }
    let mut lines = Vec::new();
    for side in both(bench, "main?poison").await? {
        let (received, sent, slots) = one_failing(bench, &side).await?;
        let delivered = 100.0 * share(received.events, sent);
        let value = format!("{} of {sent} ({delivered:.1} %), p99 of those {:.1} ms", received.events, received.p99);
        let what = format!("{}: other events delivered while one fails", side.name);
        if side.name == "laneway" {
            section.target(&what, value, "all", received.events == sent);
        } else {
            section.note(what, value);
        }
        lines.push((side.name.to_owned(), slots));
    }
    section.chart = Some(chart(section.store.name(), lines));
    Ok(())
}

/// An open loop in which one event fails for ever. What came of the others, and when, by seconds.
async fn one_failing(bench: &Bench, side: &Side) -> io::Result<(Received, u64, Vec<Option<f64>>)> {
    bench.forget().await?;
    let seconds = bench.scaled(OPEN_SECONDS).max(8);
    let lines = [("rate", RATE), ("connections", 64), ("poison-once", RATE * POISONED_AT)];
    let loaded = bench.load(side.address, RATE * seconds, &lines).await?;
    let others = loaded.accepted - 1;
    // Those that still can come have their time; there is nothing to wait for in a queue that is blocked.
    tokio::time::timeout(AFTERWARDS, bench.arrived(others)).await.ok();
    let [main, _] = bench.received().await?;
    if main.failed == 0 {
        return Err(io::Error::other(format!("{}: the failing event was never attempted", side.name)));
    }
    let a_second = usize::try_from(1_000_000_000 / SLOT).unwrap_or(1);
    let slots = bench.timeline().await?;
    let second = |n: u64| {
        let from = usize::try_from(n).unwrap_or(0) * a_second;
        Some(slots.iter().skip(from).take(a_second).map(|&count| f64::from(count)).sum())
    };
    Ok((main, others, (0..seconds).map(second).collect()))
}

fn chart(store: &str, lines: Vec<(String, Vec<Option<f64>>)>) -> Chart {
    let seconds = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    Chart {
        title: "One event fails from the third second on".to_owned(),
        over: format!("seconds ({store})"),
        categories: (0..seconds).map(|n| n.to_string()).collect(),
        panels: vec![Panel { title: "events of other keys delivered in each second".to_owned(), lines }],
        bars: false,
    }
}
