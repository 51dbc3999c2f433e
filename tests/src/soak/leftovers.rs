//! Processes that a piece has left behind because it was killed.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the processes of a soak are called.
const NAMES: [&str; 4] = ["laneway", "ingest", "worker", "redis-server"];
/// What the soak itself is called.
const SOAK: &str = "soak";

/// How a process calls itself, if it is there.
fn name_of(pid: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// Whether the piece with this process id still runs.
#[must_use]
pub fn runs(pid: &str) -> bool {
    pid.parse::<u32>().is_ok() && name_of(pid).is_some_and(|name| name == SOAK)
}

/// Kills the processes of a soak that work in this folder, one by one, and says which.
#[must_use]
pub fn end_in(folder: &Path) -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut ended = Vec::new();
    for pid in processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let Some(name) = name_of(&pid).filter(|name| NAMES.contains(&name.as_str())) else { continue };
        let works_there = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(folder));
        if works_there && Command::new("kill").args(["-9", &pid]).status().is_ok_and(|status| status.success()) {
            ended.push(format!("{name} (process {pid})"));
        }
    }
    ended
}
