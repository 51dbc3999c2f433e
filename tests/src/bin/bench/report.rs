//! The table at the end.

use crate::disk::Disk;
use serde::Serialize;
use std::fmt::Write;

/// One figure with what it is to be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) value: String,
    /// What it is measured against, in words; empty for a figure that only informs.
    pub(crate) target: String,
    pub(crate) reached: Option<bool>,
}

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) commit: String,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            date: said("date", &["-u", "+%F %H:%M UTC"]),
            machine: machine(),
            commit: commit(),
            quick,
            rows: Vec::new(),
        }
    }

    /// A figure without a target.
    pub(crate) fn note(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.add(Row { what: what.into(), value: value.into(), target: String::new(), reached: None });
    }

    /// A figure with a target.
    pub(crate) fn target(&mut self, what: &str, value: String, target: impl Into<String>, reached: bool) {
        self.add(Row { what: what.into(), value, target: target.into(), reached: Some(reached) });
    }

    fn add(&mut self, row: Row) {
        eprintln!("  {}: {} {}", row.what, row.value, row.target);
        self.rows.push(row);
    }

    pub(crate) fn disk(&mut self, disk: &Disk) {
        let value = format!("{:.0}/s, p50 {:.2} ms, p99 {:.2} ms", disk.per_second, disk.p50, disk.p99);
        self.note("disk: write of 32 KiB and fdatasync", value);
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.reached == Some(false)).count()
    }

    pub(crate) fn table(&self) -> String {
        let form = if self.quick { " (quick form)" } else { "" };
        let mut out = format!("\nLaneway {}{form}, {}\n{}\n\n", self.commit, self.date, self.machine);
        let width = |of: fn(&Row) -> &String| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (what, value, target) = (width(|r| &r.what), width(|r| &r.value), width(|r| &r.target).max(6));
        writeln!(out, "| {:what$} | {:value$} | {:target$} |         |", "figure", "value", "target").ok();
        writeln!(out, "| {:-<what$} | {:-<value$} | {:-<target$} | ------- |", "", "", "").ok();
        for row in &self.rows {
            let mark = row.reached.map_or("", |reached| if reached { "reached" } else { "MISSED" });
            writeln!(out, "| {:what$} | {:value$} | {:target$} | {mark:7} |", row.what, row.value, row.target).ok();
        }
        out
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn commit() -> String {
    said("git", &["describe", "--always", "--dirty"])
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    format!("{cores} cores of {cpu}, {memory} of memory, {}", said("uname", &["-sr"]))
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
