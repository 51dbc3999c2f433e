//! What is measured of a site from time to time: memory and disk.

use laneway_servers::redis::ask;
use laneway_servers::redis_sentinel::RedisSentinel;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A process that is younger than this still takes the memory that it needs.
const YOUNG: Duration = Duration::from_secs(20);

/// How the names of logs end: SQLite's write-ahead log, and the part of an AOF that grows.
const LOGS: [&str; 2] = ["-wal", ".incr.aof"];

/// A process, where it runs, and since when it has been there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    pub(super) since: Instant,
}

/// What is measured of a site.
pub struct Watched {
    folder: PathBuf,
    redis: Vec<SocketAddr>,
    processes: Mutex<Vec<Process>>,
}

impl Watched {
    pub(super) fn new(folder: PathBuf, sentinel: Option<&RedisSentinel>) -> Self {
        let servers = sentinel.into_iter().flat_map(RedisSentinel::servers);
        Self { folder, redis: servers.map(|server| server.address()).collect(), processes: Mutex::default() }
    }

    pub(super) fn processes(&self, processes: Vec<Process>) {
        *self.processes.lock().unwrap() = processes;
    }

    /// The bytes in memory of each process, and whether all have run for a while.
    #[must_use]
    pub fn memory(&self) -> (BTreeMap<String, u64>, bool) {
        let processes = self.processes.lock().unwrap().clone();
        let grown_up = processes.iter().all(|process| process.since.elapsed() > YOUNG);
        let of = |process: &Process| (process.name.to_owned(), resident(process.pid));
        (processes.iter().map(of).collect(), grown_up && !processes.is_empty())
    }

    /// The bytes of the store's files, and those of the log that changes are written to first.
    #[must_use]
    pub fn disk(&self) -> (u64, u64) {
        let files = files_below(&self.folder);
        let is_log = |path: &Path| LOGS.iter().any(|end| path.to_string_lossy().ends_with(end));
        let bytes = |log: bool| files.iter().filter(|(path, _)| is_log(path) == log).map(|(_, bytes)| bytes).sum();
        (bytes(false), bytes(true))
    }

    /// The bytes that the larger of the Redis servers uses, by its own word; 0 without any.
    pub async fn redis(&self) -> u64 {
        let mut used = 0;
        for address in &self.redis {
            // One that is away uses nothing.
            let said = ask(*address, &["INFO", "memory"]).await.ok();
            let bytes = said.and_then(|said| said.field("used_memory")).and_then(|bytes| bytes.parse().ok());
            used = used.max(bytes.unwrap_or_default());
        }
        used
    }
}

/// The resident memory of a process; 0 if it has ended.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// All files in a folder with their bytes. A file that goes away meanwhile is left out.
fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => files_below(&entry.path()),
        Ok(data) => vec![(entry.path(), data.len())],
        Err(_) => Vec::new(),
    };
    entries.filter_map(Result::ok).flat_map(files).collect()
}
