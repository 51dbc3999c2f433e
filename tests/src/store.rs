//! A look into the SQLite file, read-only and past the server: what it really holds.

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: Option<String>,
    /// Its data.
    pub data: Bytes,
}

/// A store, open for reading.
#[derive(Debug)]
pub struct Store {
    database: Connection,
}

impl Store {
    /// Opens the file, which a server may be using.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store opens");
        database.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
        Self { database }
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.database.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let rows = statement.query_map([], read).unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The numbers of its partitions.
    fn partitions(&self) -> Vec<u32> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'event_[0-9]*'";
        let names: Vec<String> = self.rows(sql, |row| row.get(0));
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| name["event_".len()..].parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// All events, by partition and offset.
    #[must_use]
    pub fn events(&self) -> Vec<Stored> {
        let of = |partition: u32| {
            let sql = format!("SELECT offset, id, key, data FROM event_{partition} ORDER BY offset");
            self.rows(&sql, |row| {
                let data: Vec<u8> = row.get(3)?;
                let offset = u64::try_from(row.get::<_, i64>(0)?).expect("an offset is not negative");
                Ok(Stored { partition, offset, id: row.get(1)?, key: row.get(2)?, data: data.into() })
            })
        };
        self.partitions().into_iter().flat_map(of).collect()
    }

    /// The ids of a destination's dead letters.
    #[must_use]
    pub fn dead_letters(&self, destination: &str) -> BTreeSet<String> {
        let rows: Vec<(String, String)> =
            self.rows("SELECT destination, id FROM dead_letter", |row| Ok((row.get(0)?, row.get(1)?)));
        rows.into_iter().filter(|(name, _)| name == destination).map(|(_, id)| id).collect()
    }

    /// How many keys are recorded as behind at a destination.
    #[must_use]
    pub fn behind(&self, destination: &str) -> usize {
        let rows: Vec<String> = self.rows("SELECT destination FROM behind", |row| row.get(0));
        rows.into_iter().filter(|name| name == destination).count()
    }

    /// How many records were put aside because they could not be read.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.rows("SELECT 1 FROM quarantine", |row| row.get::<_, i64>(0)).len()
    }

    /// Whether the progress that is stored says that a destination has settled every event.
    #[must_use]
    pub fn committed(&self, destination: &str) -> bool {
        let position = |partition: u32| {
            let sql = format!(
                "SELECT coalesce(lane.scanned, partition.scanned) >= coalesce((SELECT max(offset) + 1 FROM event_{partition}), 0) \
                 FROM partition JOIN lane USING (partition) WHERE partition = {partition} AND destination = '{destination}'"
            );
            self.rows(&sql, |row| row.get::<_, bool>(0)) == [true]
        };
        self.behind(destination) == 0 && self.partitions().into_iter().all(position)
    }
}
