//! What was measured, as a page with pictures. The numbers are kept beside it, section by section, so
//! that one measurement can be repeated without the others.

use crate::report::{self, Section};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::Path;

const NUMBERS: &str = "benchmarks.json";
const PAGE: &str = "BENCHMARKS.md";

const FRAME: &str = "\
# Benchmarks

This page is written by `tests/bench --docs docs`; nothing in it is edited by hand, and its numbers are in
[benchmarks.json](benchmarks.json). Each section says when, where, and from which code it was measured. Repeat any of
it with the command that stands there.

- Load, receiver and server run on the same cores, as processes of their own. A figure is what this machine did, not
  what the server can do at best; the ceilings (a bare relay, a bare client, this disk's fsync, `redis-benchmark`) are
  measured in the same run for that reason.
- Latency comes from open loops: events are due at fixed times, whatever the answers do, and it counts from then. An
  event that has to wait because others are slow is late (no coordinated omission).
- Every accepted event was fsynced before its 202, on either store, and in the usual design too.
- CPU is the server's process alone, memory its highest resident size. With Redis as the store, what Redis takes is
  said apart.
- Events have 512 bytes as they are sent, and 10,000 keys, where nothing else is said. The quick form has an eighth of
  the events and shorter loops: good for seeing that it works, not for quoting.
- A target that was not reached says MISSED.
";

/// What each measurement is about, in the order of the page.
const TITLES: [(&str, &str); 21] = [
    ("summary", "Taking in, draining, end to end"),
    ("throughput", "End to end against a bare relay"),
    ("latency", "Latency at half of the saturated rate"),
    ("backlog", "A million events: in, waiting, out"),
    ("sizes", "A backlog of any size"),
    ("reference", "Beside the usual design"),
    ("keys", "How many keys"),
    ("failures", "How many keys that fail"),
    ("crowd-of-keys", "A million keys, a thousand of them failing"),
    ("destinations", "How many destinations"),
    ("crowd-of-destinations", "Ten thousand destinations, a hundred of them dead"),
    ("isolation", "A healthy destination beside a dead one and a failing key"),
    ("payload", "How large an event"),
    ("redis", "What Redis does for it"),
    ("disinterest", "Destinations that do not want an event"),
    ("many-destinations", "Very many destinations, made over HTTP"),
    ("wrong-url", "A wrong URL with events behind it, and its mending"),
    ("replays", "Replays over a large log"),
    ("tenants", "Tenants beside one in trouble"),
    ("many-tenants", "Many tenants with few destinations each"),
    ("profile", "Where the CPU time goes"),
];

/// Puts the sections into the folder's numbers, in place of earlier ones of the same measurement and
/// store, and writes the page and its pictures anew.
pub(crate) fn write(folder: &Path, new: &[Section]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(NUMBERS);
    let mut sections: Vec<Section> = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    sections.retain(|old| !new.iter().any(|new| (&new.measurement, new.store) == (&old.measurement, old.store)));
    sections.extend_from_slice(new);
    sections.sort_by_key(|section| (place(&section.measurement), section.store));
    std::fs::write(&file, serde_json::to_string_pretty(&sections)? + "\n")?;
    for section in &sections {
        if let Some(chart) = &section.chart {
            std::fs::write(folder.join(picture(section)), chart.svg())?;
        }
    }
    std::fs::write(folder.join(PAGE), page(&sections))
}

fn place(measurement: &str) -> usize {
    TITLES.iter().position(|(name, _)| *name == measurement).unwrap_or(usize::MAX)
}

fn picture(section: &Section) -> String {
    format!("bench-{}-{}.svg", section.measurement, section.store.name())
}

fn page(sections: &[Section]) -> String {
    let mut out = FRAME.to_owned();
    let missed: Vec<(&Section, &report::Row)> = sections
        .iter()
        .flat_map(|s| s.rows.iter().map(move |row| (s, row)))
        .filter(|(_, row)| row.reached == Some(false))
        .collect();
    let targets = sections.iter().flat_map(|s| &s.rows).filter(|row| row.reached.is_some()).count();
    writeln!(out, "\n{} of {targets} targets were reached.", targets - missed.len()).ok();
    for (section, row) in missed {
        let store = section.store.name();
        writeln!(out, "- MISSED on {store}: {}: {} (target: {})", row.what, row.value, row.target).ok();
    }
    let mut named = BTreeSet::new();
    for section in sections {
        if named.insert(&section.measurement) {
            let title = TITLES.iter().find(|(name, _)| *name == section.measurement).map_or("", |(_, title)| title);
            writeln!(out, "\n## {title}").ok();
        }
        let form = if section.quick { " (quick form)" } else { "" };
        writeln!(out, "\n### On {}{form}\n", section.store.name()).ok();
        if section.chart.is_some() {
            writeln!(out, "![{}]({})\n", section.measurement, picture(section)).ok();
        }
        if let Some(series) = &section.series {
            writeln!(out, "{}", report::points(series)).ok();
        }
        let figures = report::figures(&section.rows);
        if !figures.is_empty() {
            writeln!(out, "{figures}").ok();
        }
        let Section { date, machine, commit, command, seconds, .. } = section;
        writeln!(out, "`{command}`,\n{date}, code {commit},\n{machine}; took {seconds:.0} s.").ok();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Sample;
    use crate::store::Kind;

    fn section(measurement: &str, value: &str) -> Section {
        let mut section = Section::new(measurement, Kind::Sqlite, true);
        section.target("speed", value.to_owned(), "fast", false);
        section.point("keys", "1", Sample { per_second: Some(5.0), ..Sample::default() });
        crate::curves::draw(&mut section, "t");
        section
    }

    #[test]
    fn a_measurement_repeated_replaces_itself_and_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[section("keys", "one"), section("payload", "two")]).unwrap();
        write(folder.path(), &[section("keys", "three")]).unwrap();
        let page = std::fs::read_to_string(folder.path().join(PAGE)).unwrap();
        assert!(!page.contains("one |") && page.contains("| three") && page.contains("| two"), "{page}");
        assert!(page.contains("0 of 2 targets were reached") && page.contains("(bench-keys-sqlite.svg)"), "{page}");
        assert!(folder.path().join("bench-payload-sqlite.svg").is_file());
    }

    #[test]
    fn every_measurement_has_a_title() {
        use clap::ValueEnum;
        for measurement in crate::Measurement::value_variants() {
            let name = measurement.to_possible_value().map(|value| value.get_name().to_owned()).unwrap();
            assert_ne!(place(&name), usize::MAX, "{name}");
        }
    }
}
