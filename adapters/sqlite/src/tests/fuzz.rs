//! Rows that hold anything at all: read as what was written, or set aside, and never a panic.

use super::P;
use crate::options::Options;
use crate::readers::ReadFailed;
use crate::row::{self, Scratch};
use crate::schema::{self, EVENT_COLUMNS};
use crate::{dead_letters, progress, registry};
use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Revision, Timestamp};
use laneway_fuzz::{cases, corpus, mutated};
use laneway_ports::{DeadLetterQuery, StoreError};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Cases of a quick run; each makes the tables anew, in memory.
const QUICK: u32 = 100;
const OFFSET: Offset = Offset(4);

/// What the texts of columns are made of.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\u0000",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\"attempts\":",
    b"\"history\":[",
    b"\xc3\xa9",
    b"event:",
    b"key:",
    b"all",
    b"",
    b"\0",
];

/// The tables of a store, in memory, and without the checks that keep other types out: on a damaged
/// disk nothing keeps them out.
fn tables() -> Connection {
    let folder = tempfile::TempDir::new().unwrap();
    let made = schema::open_writer(&Options::new(folder.path().join("laneway.db"), 1)).unwrap();
    let conn = Connection::open_in_memory().unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE type <> 'index' AND name NOT LIKE 'sqlite_%'";
    let mut stmt = made.prepare(sql).unwrap();
    for sql in stmt.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        let sql = sql.unwrap().replace("STRICT, WITHOUT ROWID", "WITHOUT ROWID").replace(" STRICT", "");
        conn.execute_batch(&sql.replace("NOT NULL", "")).unwrap();
    }
    conn.execute_batch("INSERT INTO partition (partition) VALUES (0); INSERT INTO registry (one) VALUES (1)").unwrap();
    conn
}

fn logged(texts: &[String], attributes: &[(String, String)], data: &[u8]) -> LoggedEvent {
    let optional = |n: usize| texts.get(n).filter(|text| !text.is_empty());
    let event = Event {
        key: optional(0).map(|key| Key::new(key).unwrap()),
        source: optional(1).map(|text| text.as_str().into()),
        subject: optional(2).map(|text| text.as_str().into()),
        attributes: attributes.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect(),
        ..Event::new(
            EventId::new("evt_1").unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::copy_from_slice(data),
        )
    };
    LoggedEvent { partition: P, offset: OFFSET, accepted_at: Timestamp::from_millis(1_700_000_000_000), event }
}

fn written(conn: &Connection, logged: &LoggedEvent) {
    let mut stmt = conn.prepare(&row::insert_sql(0)).unwrap();
    row::insert(&mut stmt, logged, &mut Scratch::default()).unwrap();
}

fn read(conn: &Connection) -> Result<LoggedEvent, String> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM event_0");
    conn.query_row(&sql, [], |row| Ok(row::read(row, 0, P, OFFSET, &mut Scratch::default()))).unwrap()
}

/// How a value comes to be another one.
#[derive(Clone, Debug)]
enum Damage {
    Other(Value),
    Flip(Index, u8),
    Cut(Index),
}

impl Damage {
    fn on(&self, value: Value) -> Value {
        let bytes = |mut bytes: Vec<u8>| {
            match self {
                Self::Flip(at, bit) if !bytes.is_empty() => {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
                Self::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
                _ => {}
            }
            bytes
        };
        match (self, value) {
            (Self::Other(other), _) => other.clone(),
            // Text stays text for SQLite, whatever its bytes; `from_utf8_lossy` stands for what is not UTF-8.
            (_, Value::Text(text)) => Value::Text(String::from_utf8_lossy(&bytes(text.into_bytes())).into_owned()),
            (_, Value::Blob(blob)) => Value::Blob(bytes(blob)),
            (Self::Flip(_, bit), Value::Integer(number)) => Value::Integer(number ^ (1 << (bit * 7))),
            (_, other) => other,
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    let seeds = corpus("record").into_iter().map(|sample| sample.bytes).collect();
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        "\\PC{0,12}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Blob),
        mutated(seeds, PIECES).prop_map(|(_, bytes)| Value::Text(String::from_utf8_lossy(&bytes).into_owned())),
    ]
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        values().prop_map(Damage::Other),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,8}"
}

/// A row that cannot be read is named in an error for people.
#[track_caller]
fn named<T: std::fmt::Debug>(result: Result<T, ReadFailed>) {
    match result {
        Ok(_) | Err(ReadFailed::Sql(_)) => {}
        Err(ReadFailed::Told(StoreError::Refused { what })) => assert!(what.contains("of table"), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// Puts a value everywhere where progress has text that it takes apart.
fn progress_with(conn: &Connection, value: &Value, key: &Value) {
    conn.execute_batch("DELETE FROM behind; DELETE FROM lane; DELETE FROM dead_letter").unwrap();
    conn.execute("INSERT INTO lane (partition, destination) VALUES (0, 'a')", []).unwrap();
    // A value that a table's key cannot take does not get in, on any disk.
    conn.execute("INSERT INTO behind VALUES (0, 'a', ?1, 1, ?2)", (key, value)).ok();
    named(progress::load(conn, P));
    conn.execute("INSERT INTO lane (partition, destination, scanned, paused_since) VALUES (0, ?1, ?1, ?1)", [value])
        .ok();
    named(progress::load(conn, P));
    let sql = "INSERT INTO dead_letter (partition, offset, destination, lane_key, reason, at, retry, retry_requested, id) \
               VALUES (0, 1, 'a', ?1, 'r', 1, ?2, 1, 'e')";
    conn.execute(sql, (key, value)).unwrap();
    named(progress::load(conn, P));
    named(dead_letters::list(conn, &DeadLetterQuery { most: 10, ..DeadLetterQuery::default() }));
    named(dead_letters::event(conn, P, Offset(1), &laneway_domain::DestinationName::new("a").unwrap()));
}

/// Puts a value everywhere into the tables that changes of destinations need. With its right checksum, a record is
/// taken apart.
fn registry_with(conn: &Connection, value: &Value, other: &Value) {
    conn.execute_batch("DELETE FROM destination; DELETE FROM destination_change; DELETE FROM cut").unwrap();
    if let Value::Text(json) = value {
        let crc = registry::checksum("a", 1, false, json);
        conn.execute("INSERT INTO destination VALUES ('a', 1, 0, ?1, ?2)", (json, crc)).unwrap();
        named(registry::changed_since(conn, Revision::ORIGIN));
    }
    let sql = "INSERT OR REPLACE INTO destination VALUES (?1, ?2, ?1, ?2, ?1)";
    conn.execute(sql, (value, other)).ok();
    named(registry::changed_since(conn, Revision::ORIGIN));
    named(registry::page(conn, "", 10));
    conn.execute("INSERT OR REPLACE INTO cut VALUES (0, ?1, ?2)", (value, other)).ok();
    named(progress::cuts(conn, P));
    named(progress::taken(conn, &[P]));
}

#[test]
fn every_record_of_the_corpus_is_read_or_named_in_an_error() {
    let conn = tables();
    for sample in corpus("record") {
        println!("{}", sample.name);
        let value = Value::Text(String::from_utf8(sample.bytes).unwrap());
        for key in ["all", "key:k", "event:7", "event:", "key:", "nothing"] {
            progress_with(&conn, &value, &Value::Text(key.into()));
        }
    }
}

proptest! {
    #![proptest_config(cases(QUICK))]

    #[test]
    fn a_damaged_event_is_refused_or_still_the_same(
        texts in prop::collection::vec(text(), 3),
        attributes in prop::collection::vec(("[a-z]{1,5}", text()), 0..3),
        data in prop::collection::vec(any::<u8>(), 0..40),
        damages in prop::collection::vec((select(EVENT_COLUMNS.split(", ").collect::<Vec<_>>()), damages()), 1..3),
    ) {
        let conn = tables();
        let whole = logged(&texts, &attributes, &data);
        written(&conn, &whole);
        prop_assert_eq!(read(&conn), Ok(whole.clone()));
        for (column, damage) in damages {
            let sql = format!("SELECT {column} FROM event_0");
            let value = damage.on(conn.query_row(&sql, [], |row| row.get(0)).unwrap());
            conn.execute(&format!("UPDATE event_0 SET {column} = ?1"), params_from_iter([value])).unwrap();
        }
        match read(&conn) {
            Ok(read) => prop_assert_eq!(read, whole),
            Err(reason) => prop_assert!(!reason.is_empty()),
        }
    }

    #[test]
    fn a_damaged_registry_is_read_or_named_in_an_error(value in values(), other in values()) {
        registry_with(&tables(), &value, &other);
        registry_with(&tables(), &other, &value);
    }

    #[test]
    fn damaged_progress_and_dead_letters_are_read_or_named_in_an_error(value in values(), key in values()) {
        progress_with(&tables(), &value, &key);
    }
}
