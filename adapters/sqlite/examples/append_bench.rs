//! How fast one writer thread stores events, and what an append costs.
//!
//! `cargo run --release -p laneway-sqlite --example append_bench [DIRECTORY [CASE [CHECKPOINT_MIB]]]` (default: the current
//! one; give one on the disk that counts). Measures batches of 500 and single events, of 512 bytes
//! each, and says the writer thread's CPU time apart from the process's.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, NewEvent};
use laneway_ports::EventLog;
use laneway_sqlite::{DEFAULT_CHECKPOINT_BYTES, Options, SqliteStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECONDS: u64 = 5;
const KEYS: u64 = 10_000;
const DATA_BYTES: usize = 512;

/// Clock ticks per second in /proc, on every Linux of today.
const TICKS: f64 = 100.0;

fn event(n: u64, id_given: bool) -> NewEvent {
    let event = Event {
        key: Some(Key::new(&format!("customer-{}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS)).unwrap()),
        ..Event::new(
            EventId::new(&format!("0198c0de-0000-7000-8000-{n:012x}")).unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::from(vec![b'x'; DATA_BYTES]),
        )
    };
    NewEvent { event, id_given }
}

/// CPU seconds of the process and of its writer and checkpoint threads.
fn cpu() -> (f64, f64, f64) {
    let seconds = |stat: String| {
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|f| f.parse().unwrap()).collect();
        (fields[0] + fields[1]) / TICKS
    };
    let (mut writer, mut checkpoint) = (0.0, 0.0);
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { continue };
        match name.trim() {
            "laneway-writer" => writer += seconds(stat),
            name if name.starts_with("laneway-checkp") => checkpoint += seconds(stat),
            _ => {}
        }
    }
    (seconds(std::fs::read_to_string("/proc/self/stat").unwrap()), writer, checkpoint)
}

struct Case {
    name: &'static str,
    /// How many appends are under way at once.
    tasks: usize,
    /// How many events each has.
    batch: usize,
    id_given: bool,
    partitions: u32,
}

const fn case(name: &'static str, tasks: usize, batch: usize, id_given: bool, partitions: u32) -> Case {
    Case { name, tasks, batch, id_given, partitions }
}

const CASES: [Case; 7] = [
    case("batches of 500, 4 at once, 8 partitions", 4, 500, false, 8),
    case("batches of 500, 16 at once, 8 partitions", 16, 500, false, 8),
    case("batches of 500, 16 at once, 1 partition", 16, 500, false, 1),
    case("batches of 500, 16 at once, ids given", 16, 500, true, 8),
    case("single events, 64 at once, 8 partitions", 64, 1, false, 8),
    case("single events, 64 at once, ids given", 64, 1, true, 8),
    case("single events, 1 at once", 1, 1, false, 8),
];

async fn measure(directory: &std::path::Path, case: &Case, checkpoint_bytes: u64) {
    let &Case { name, tasks, batch, id_given, partitions } = case;
    let directory = tempfile::tempdir_in(directory).unwrap();
    let options = Options { checkpoint_bytes, ..Options::new(directory.path().join("bench.db"), partitions) };
    let store = Arc::new(SqliteStore::open(options).unwrap());
    let numbers = Arc::new(AtomicU64::new(0));
    let (begun, before) = (Instant::now(), cpu());
    let producers: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, numbers) = (store.clone(), numbers.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while begun.elapsed() < Duration::from_secs(SECONDS) {
                    let from = numbers.fetch_add(batch as u64, Ordering::Relaxed);
                    let events = (from..from + batch as u64).map(|n| event(n, id_given)).collect();
                    let sent = Instant::now();
                    assert!(store.append(events).await.iter().all(Result::is_ok));
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for producer in producers {
        latencies.extend(producer.await.unwrap());
    }
    let (took, after) = (begun.elapsed().as_secs_f64(), cpu());
    latencies.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
    let rows = (latencies.len() * batch) as f64;
    let per_row = |cpu: f64| cpu * 1e6 / rows;
    let wal = std::fs::metadata(directory.path().join("bench.db-wal")).unwrap().len() >> 20;
    println!(
        "{name:<44} {:>8.0} rows/s  CPU µs/row: writer {:.2} checkpoint {:.2} all {:.2}  append p50 {:.2?} p99 {:.2?}  WAL {wal} MiB",
        rows / took,
        per_row(after.1 - before.1),
        per_row(after.2 - before.2),
        per_row(after.0 - before.0),
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let wanted = arguments.next().unwrap_or_default();
    let checkpoint_bytes = arguments.next().map_or(DEFAULT_CHECKPOINT_BYTES, |mib| mib.parse::<u64>().unwrap() << 20);
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        measure(std::path::Path::new(&directory), case, checkpoint_bytes).await;
    }
}
