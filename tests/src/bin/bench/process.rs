//! The processes of a benchmark, and what `/proc` says of them.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a part of the benchmark may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A part of the benchmark in a process of its own; dropping it kills it.
pub(crate) struct Part {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Part {
    /// Starts this program as a server of another kind.
    pub(crate) async fn serve(kind: &str, arguments: &[&str]) -> io::Result<Self> {
        let address = laneway_tests::ports::free();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(kind).arg("--listen").arg(address.to_string()).args(arguments).stdin(Stdio::null());
        let part = Self { child: command.spawn()?, address };
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("bench {kind} does not listen")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(part)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs this program as another kind to its end; what it printed.
pub(crate) async fn run(kind: &str, arguments: Vec<String>) -> io::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(kind).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("bench {kind} ended with {}", output.status)))
}

/// The CPU time that a process, with all its threads, has used so far; in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in brackets and may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|n| n.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        // USER_HZ is 100 on every Linux that Rust runs on.
        (Some(user), Some(system)) => Ok(Duration::from_millis((user + system) * 10)),
        _ => Err(io::Error::other(format!("/proc/{pid}/stat is not as expected: {stat}"))),
    }
}

/// The CPU time of the whole machine, in ticks.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    all: u64,
    idle: u64,
}

impl Machine {
    /// What share of the time nobody has used since then.
    pub(crate) fn idle_since(self, before: Self) -> f64 {
        crate::bench::share(self.idle - before.idle, (self.all - before.all).max(1))
    }
}

/// How the machine's CPU time was used so far.
pub(crate) fn machine() -> io::Result<Machine> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    match ticks[..] {
        // User, nice, system, idle, waiting for disks.
        [_, _, _, idle, waiting, ..] => Ok(Machine { all: ticks.iter().sum(), idle: idle + waiting }),
        _ => Err(io::Error::other(format!("/proc/stat is not as expected: {stat}"))),
    }
}

/// Resident memory of a process in MiB: now, and at its highest.
pub(crate) fn memory(pid: u32) -> io::Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()
    };
    match (field("VmRSS:"), field("VmHWM:")) {
        (Some(now), Some(highest)) => Ok((now / 1024.0, highest / 1024.0)),
        _ => Err(io::Error::other(format!("/proc/{pid}/status has no VmRSS"))),
    }
}
