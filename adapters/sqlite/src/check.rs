//! Checking a store, also one that is in use.

use crate::bounds;
use crate::events::{self, Limits};
use crate::failure;
use crate::files::{refuse_log_alone, resolved};
use crate::progress;
use crate::readers::ReadFailed;
use crate::registry;
use crate::room;
use crate::schema;
use crate::tenants;
use crate::tokens;
use laneway_domain::{Offset, Partition, Registered, Revision};
use laneway_ports::{DeadLetterQuery, LogRecord, MAX_DEAD_LETTER_PAGE, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// The most findings that are listed.
pub const MAX_FINDINGS: usize = 100;
/// How many events are read at a time.
const AT_ONCE: Limits = Limits { events: 1000, bytes: 16 << 20 };

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The format of its tables. [`crate::SCHEMA_VERSION`] is what this release brings it to when it opens it.
    pub schema: u32,
    /// How many partitions the store has.
    pub partitions: u32,
    /// How many events it holds that can be read.
    pub events: u64,
    /// The destinations of the registry that can be read.
    pub registered: Vec<Registered>,
    /// What is wrong, for people; at most [`MAX_FINDINGS`]. Empty: nothing.
    pub findings: Vec<String>,
    /// What should be changed although nothing is wrong, for people.
    pub warnings: Vec<String>,
}

/// Checks the pages and indexes of the store at `path`, the checksum of every event, and that progress, dead letters,
/// the destinations of the registry and the tokens can be read. Changes nothing, and takes as long as reading all of
/// it.
///
/// # Errors
/// If it cannot be opened or is no store that this Laneway reads.
pub fn check(path: &Path) -> Result<CheckReport, StoreError> {
    let path = &resolved(path);
    let room = room::shortage(path);
    match look(path) {
        Ok(mut report) => {
            report.warnings.extend(room);
            Ok(report)
        }
        // Without room SQLite cannot even make the index that it reads with.
        Err(StoreError::Refused { what } | StoreError::RetryLater { what, .. } | StoreError::Unknown { what }) => {
            Err(StoreError::refused(room.map_or(what.clone(), |room| format!("{room} ({what})"))))
        }
    }
}

fn look(path: &Path) -> Result<CheckReport, StoreError> {
    refuse_log_alone(path)?;
    let failed = |error: rusqlite::Error| failure::of_read(&error, path);
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let Some(found) = schema::version(&conn, path)? else {
        return Err(StoreError::refused(format!("{} is empty", path.display())));
    };
    schema::readable(&conn, path, found)?;
    schema::seen_as_now(&conn, path, found)?;
    let partitions = schema::setting(&conn, "partitions").map_err(failed)?.unwrap_or(0);
    let mut report = CheckReport { schema: found, partitions, ..CheckReport::default() };
    check_pages(&conn, &mut report).map_err(failed)?;
    let ids = bounds::latest_ids(&conn).unwrap_or_else(|error| {
        report.add(format!("the ids that are remembered: {error}"));
        bounds::Ids::new()
    });
    for partition in (0..partitions).map(Partition) {
        check_events(&conn, partition, &ids, &mut report);
        if let Err(why) = progress::load(&conn, partition) {
            report.add(format!("the progress of partition {partition}: {}", text(&why, path)));
        }
    }
    check_dead_letters(&conn, path, &mut report);
    if let Err(error) = check_registry(&conn, path, &mut report) {
        report.add(format!("the registry of destinations: {error}"));
    }
    // What nobody knows: all of them.
    if let Err(why) = tokens::read(&conn, Revision(u64::MAX)) {
        report.add(text(&why, path));
    }
    if let Err(why) = tenants::read(&conn, Revision(u64::MAX)) {
        report.add(text(&why, path));
    }
    Ok(report)
}

impl CheckReport {
    fn add(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

fn text(failed: &ReadFailed, path: &Path) -> String {
    match failed {
        ReadFailed::Told(error) => error.to_string(),
        ReadFailed::Sql(error) => failure::of_read(error, path).to_string(),
    }
}

fn check_pages(conn: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    // Not the quick one, which does not compare indexes with their tables.
    let mut stmt = conn.prepare(&format!("PRAGMA integrity_check({MAX_FINDINGS})"))?;
    let lines = stmt.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        match line {
            Ok(line) if line == "ok" => {}
            Ok(line) => report.add(line),
            Err(error) => report.add(error.to_string()),
        }
    }
    Ok(())
}

fn check_events(conn: &Connection, partition: Partition, ids: &bounds::Ids, report: &mut CheckReport) {
    // Up to all that is named anywhere: what is missing before that is told with the other events.
    let end = match bounds::bounds_of(conn, partition, ids) {
        Ok(bounds) => bounds.end,
        Err(error) => return report.add(format!("partition {partition}: {error}")),
    };
    let mut from = Offset::ZERO;
    while from < end {
        let chunk = match events::read(conn, partition, from, end, AT_ONCE) {
            Ok(chunk) => chunk,
            Err(ReadFailed::Told(error)) => return report.add(error.to_string()),
            Err(ReadFailed::Sql(error)) => return report.add(format!("partition {partition}: {error}")),
        };
        for record in chunk.records {
            match record {
                LogRecord::Event(_) => report.events += 1,
                LogRecord::Corrupt { reason, .. } => report.add(reason),
            }
        }
        from = chunk.next;
    }
}

fn check_dead_letters(conn: &Connection, path: &Path, report: &mut CheckReport) {
    let mut query = DeadLetterQuery { most: MAX_DEAD_LETTER_PAGE, ..DeadLetterQuery::default() };
    loop {
        let page = match crate::dead_letters::list(conn, &query) {
            Ok(listed) => {
                listed.damaged.iter().for_each(|why| report.add(why.to_string()));
                listed.letters
            }
            Err(why) => return report.add(text(&why, path)),
        };
        for letter in &page {
            let (offset, name) = (letter.given_up.offset, &letter.given_up.destination);
            if let Err(why) = crate::dead_letters::event(conn, letter.partition, offset, name) {
                report.add(text(&why, path));
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == MAX_DEAD_LETTER_PAGE) else { return };
        query.after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
    }
}

fn check_registry(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    // Of one moment: a store in use has another revision soon.
    let tx = conn.unchecked_transaction()?;
    let last = registry::last(&tx)?;
    let mut stmt = tx.prepare(&format!("SELECT {} FROM destination ORDER BY name", registry::COLUMNS))?;
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        match registry::record(row) {
            Ok((record, _)) if record.revision > last => report.add(format!(
                "the registry of destinations has {} with revision {}, and says that its last one is {last}",
                record.name, record.revision
            )),
            Ok((record, _)) => report.registered.push(record),
            Err(why) => report.add(text(&why, path)),
        }
    }
    Ok(())
}
