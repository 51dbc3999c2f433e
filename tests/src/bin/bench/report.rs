//! Figures, series of them, and the table at the end.

use crate::disk::Disk;
use crate::plot::Chart;
use crate::store::Kind;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// One figure with what it is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) value: String,
    /// What it is measured against, in words; empty for a figure that only informs.
    pub(crate) target: String,
    pub(crate) reached: Option<bool>,
}

/// How one measured point came out. What was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Events a second.
    pub(crate) per_second: Option<f64>,
    /// CPU time of the server an event, in microseconds.
    pub(crate) cpu_micros: Option<f64>,
    /// The server's resident memory at its highest, in MiB.
    pub(crate) memory: Option<f64>,
    /// From the moment an event was due, in milliseconds, in an open loop.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    /// Events a second of that open loop.
    pub(crate) rate: Option<f64>,
}

/// How something changes with something else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    /// What the points differ in.
    pub(crate) over: String,
    pub(crate) points: Vec<(String, Sample)>,
}

/// What one measurement found, and where and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) measurement: String,
    pub(crate) store: Kind,
    pub(crate) quick: bool,
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Row>,
    #[serde(default)]
    pub(crate) series: Option<Series>,
    #[serde(default)]
    pub(crate) chart: Option<Chart>,
}

impl Section {
    pub(crate) fn new(measurement: &str, store: Kind, quick: bool) -> Self {
        Self {
            measurement: measurement.to_owned(),
            store,
            quick,
            date: said("date", &["-u", "+%F %H:%M UTC"]),
            machine: machine(),
            commit: commit(),
            command: command(),
            seconds: 0.0,
            rows: Vec::new(),
            series: None,
            chart: None,
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

    /// The next point of what the points of this section differ in.
    pub(crate) fn point(&mut self, over: &str, at: impl Into<String>, sample: Sample) {
        let at = at.into();
        eprintln!("  {over} {at}: {}", cells(&sample).join(" | "));
        let series = self.series.get_or_insert_with(|| Series { over: over.to_owned(), points: Vec::new() });
        series.points.push((at, sample));
    }

    pub(crate) fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.reached == Some(false)).count()
    }
}

/// The heads of the columns of [`cells`].
pub(crate) const COLUMNS: [&str; 7] =
    ["events/s", "CPU µs/event", "memory MiB", "p50 ms", "p99 ms", "p99.9 ms", "at events/s"];

/// A sample as table cells; `-` for what was not measured.
pub(crate) fn cells(sample: &Sample) -> [String; 7] {
    let show = |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    [
        show(sample.per_second, 0),
        show(sample.cpu_micros, 1),
        show(sample.memory, 0),
        show(sample.p50, 2),
        show(sample.p99, 2),
        show(sample.p999, 2),
        show(sample.rate, 0),
    ]
}

/// A table of Markdown, aligned for a terminal too.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count());
        cells.chain([head[n].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, width) in cells.zip(&widths) {
            write!(out, "| {cell:width$} ").ok();
        }
        out.push_str("|\n");
    };
    line(&mut head.iter().copied());
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// The rows of a section as a table; empty without any.
pub(crate) fn figures(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let mark = row.reached.map_or("", |reached| if reached { "reached" } else { "MISSED" });
        vec![row.what.clone(), row.value.clone(), row.target.clone(), mark.to_owned()]
    };
    if rows.is_empty() {
        String::new()
    } else {
        table(&["figure", "value", "target", ""], &rows.iter().map(cells).collect::<Vec<_>>())
    }
}

/// The points of a series as a table.
pub(crate) fn points(series: &Series) -> String {
    let head: Vec<&str> = std::iter::once(series.over.as_str()).chain(COLUMNS).collect();
    let row = |(at, sample): &(String, Sample)| std::iter::once(at.clone()).chain(cells(sample)).collect();
    table(&head, &series.points.iter().map(row).collect::<Vec<Vec<String>>>())
}

/// All that was found, for a terminal.
pub(crate) fn all(sections: &[Section]) -> String {
    let mut out = String::new();
    let Some(first) = sections.first() else { return out };
    let form = if first.quick { ", quick form" } else { "" };
    writeln!(out, "\nLaneway {} on {}{form}, {}\n{}", first.commit, first.store.name(), first.date, first.machine).ok();
    for section in sections {
        writeln!(out, "\n{} ({:.0} s)\n\n{}", section.measurement, section.seconds, figures(&section.rows)).ok();
        if let Some(series) = &section.series {
            out.push_str(&points(series));
        }
    }
    out
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn commit() -> String {
    said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
}

/// The command that was given, without what names a place of this machine.
fn command() -> String {
    let mut shown = vec!["tests/bench".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if ["--folder", "--json", "--docs"].contains(&argument.as_str()) {
            arguments.next();
        } else {
            shown.push(argument);
        }
    }
    shown.join(" ")
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
