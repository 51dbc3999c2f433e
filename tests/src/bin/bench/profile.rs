//! Where the CPU time of the server goes, end to end under load, as `perf` sees it.

use crate::bench::{Bench, share};
use crate::report::Section;
use std::collections::BTreeMap;
use std::io;
use std::process::Command;

/// How long samples are taken, in seconds, and how many in each.
const SECONDS: u64 = 6;
const PER_SECOND: u64 = 499;
/// The load goes on a while longer than the samples are taken.
const MARGIN: u64 = 4;
/// Bytes of the stack that are copied for each sample, to be unwound: deep enough to find the crate.
const STACK: u32 = 16_384;
/// The most functions that are listed.
const LISTED: usize = 15;

/// What a function tells of where its time belongs, first match first. The stack is asked from the
/// inside out, so that an allocation is the allocator's, whoever wanted it.
const PARTS: [(&str, &[&str]); 17] = [
    ("allocator", &["mi_", "_mi_", "mimalloc", "malloc", "__libc_free"]),
    ("kernel: sending", &["tcp_sendmsg", "sock_write_iter", "__sys_sendto", "writev", "__libc_send"]),
    ("kernel: receiving", &["tcp_recvmsg", "sock_read_iter", "__sys_recvfrom", "__libc_recv"]),
    ("kernel: waiting for sockets (epoll)", &["epoll"]),
    ("kernel: waking threads (futex)", &["futex"]),
    ("kernel: files", &["ext4", "xfs", "btrfs", "vfs_fsync", "pwrite", "pread", "fdatasync", "fsync"]),
    ("clock", &["clock_gettime"]),
    ("SQLite and its adapter", &["sqlite3", "laneway_sqlite", "SqliteStore"]),
    ("Redis adapter and client", &["laneway_redis", "fred::", "redis_protocol"]),
    ("JSON", &["serde_json", "laneway_http::json", "laneway_http::laneway_json"]),
    ("dispatcher (domain)", &["laneway_domain"]),
    ("HTTP in (adapter, axum)", &["laneway_http", "axum", "tower"]),
    ("webhook (adapter)", &["laneway_webhook"]),
    ("shell (app)", &["laneway_app"]),
    ("metrics", &["metrics"]),
    ("hyper and http", &["hyper", "httparse", "http::", "futures_util"]),
    ("tokio", &["tokio"]),
];
const OTHER: &str = "other";

pub(crate) async fn measure(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let there = Command::new("perf").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        section.note("profile", "perf is not here");
        return Ok(());
    }
    let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
    let server = fresh.start().await;
    bench.forget().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("perf.data");
    let seconds = if bench.quick { SECONDS / 3 } else { SECONDS };
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-F", &PER_SECOND.to_string(), "--call-graph", &format!("dwarf,{STACK}")]);
    record.args(["-p", &server.pid().to_string(), "-o"]).arg(&file).args(["--", "sleep", &seconds.to_string()]);
    let lines = [("seconds", seconds + MARGIN)];
    let load = bench.load(fresh.address(), u64::from(u32::MAX), &lines);
    let recorded = async {
        // The load's first second makes connections and files.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        tokio::task::spawn_blocking(move || record.output()).await?
    };
    let (loaded, recorded) = tokio::join!(load, recorded);
    let (loaded, recorded) = (loaded?, recorded?);
    server.kill();
    if !recorded.status.success() {
        section.note("profile", format!("perf: {}", String::from_utf8_lossy(&recorded.stderr).trim()));
        return Ok(());
    }
    let mut script = Command::new("perf");
    script.args(["script", "-F", "comm,ip,sym", "--no-inline", "-i"]).arg(&file);
    let output = tokio::task::spawn_blocking(move || script.output()).await??;
    section.note("load", format!("{:.0} events/s taken in meanwhile", share(loaded.accepted, 1) / loaded.seconds));
    told(section, &Profile::of(&String::from_utf8_lossy(&output.stdout)));
    Ok(())
}

fn told(section: &mut Section, profile: &Profile) {
    section.note("samples", profile.samples.to_string());
    let shares = |counts: &BTreeMap<String, u64>| {
        let mut sorted: Vec<(String, u64)> = counts.iter().map(|(name, count)| (name.clone(), *count)).collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sorted.into_iter().map(|(name, count)| (name, format!("{:.1} %", 100.0 * share(count, profile.samples))))
    };
    for (name, value) in shares(&profile.parts) {
        section.note(name, value);
    }
    for (name, value) in shares(&profile.functions).take(LISTED) {
        let name: String = name.chars().take(100).collect();
        section.note(format!("by itself: `{name}`"), value);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Profile {
    samples: u64,
    parts: BTreeMap<String, u64>,
    functions: BTreeMap<String, u64>,
}

impl Profile {
    /// Reads what `perf script` prints: for each sample a line with the thread's name, then its stack
    /// from the inside out, an address and a function a line, then an empty line.
    fn of(text: &str) -> Self {
        let mut profile = Self::default();
        for sample in text.split("\n\n") {
            let function = |line: &str| line.trim().split_once(' ').map_or("?", |(_, name)| name.trim()).to_owned();
            let stack: Vec<String> = sample.trim().lines().skip(1).map(function).collect();
            let Some(first) = stack.first() else { continue };
            profile.samples += 1;
            *profile.functions.entry(first.clone()).or_default() += 1;
            *profile.parts.entry(part(&stack).to_owned()).or_default() += 1;
        }
        profile
    }
}

fn part(stack: &[String]) -> &'static str {
    let of = |function: &String| PARTS.iter().find(|(_, marks)| marks.iter().any(|mark| function.contains(mark)));
    stack.iter().find_map(of).map_or(OTHER, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_the_innermost_function_that_is_known() {
        let text = "worker \n\tff81 __import_iovec\n\tff82 do_writev\n\t51 hyper::io::flush\n\nwriter \n\t11 memcpy\n\t12 sqlite3VdbeExec\n\
                    \t13 laneway_sqlite::writer\n\nworker \n\t9 nobody\n";
        let profile = Profile::of(text);
        let expected = [("kernel: sending", 1), ("SQLite and its adapter", 1), (OTHER, 1)];
        assert_eq!(profile.samples, 3);
        assert_eq!(profile.parts, expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
        assert_eq!(profile.functions["__import_iovec"], 1);
    }
}
