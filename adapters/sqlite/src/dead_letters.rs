//! Reading dead letters.

use crate::failure::unreadable;
use crate::progress::{destination, lane_key};
use crate::readers::ReadFailed;
use crate::row::{self, Scratch, compared, instant};
use crate::schema::EVENT_COLUMNS;
use laneway_domain::{DeadLetter, DestinationName, EventId, GivenUp, LoggedEvent, Offset, Partition};
use laneway_ports::{DeadLetterCount, DeadLetterQuery, MAX_DEAD_LETTER_PAGE, Selection};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

/// Conditions on dead letters, with their values.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    fn of(selection: &Selection) -> Self {
        let mut conditions = Self::default();
        let text = |text: &str| [Value::Text(text.to_owned())];
        if let Some(name) = &selection.destination {
            conditions.and("destination = ?", text(name.as_str()));
        }
        if let Some(key) = &selection.key {
            conditions.and("key = ?", text(key.as_str()));
        }
        if let Some(id) = &selection.event_id {
            conditions.and("id = ?", text(id.as_str()));
        }
        conditions
    }
}

/// [`laneway_ports::DeadLetters::list`].
pub(crate) fn list(conn: &Connection, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, ReadFailed> {
    let mut conditions = Conditions::of(&query.selection);
    if let Some((partition, offset, name)) = &query.after {
        let after =
            [Value::Integer(partition.0.into()), Value::Integer(compared(offset.0)), Value::Text(name.to_string())];
        conditions.and("(partition, offset, destination) > (?, ?, ?)", after);
    }
    let sql = format!(
        "SELECT number, partition, offset, destination, lane_key, reason, at, retry, retry_requested, id \
         FROM dead_letter{} ORDER BY partition, offset, destination LIMIT {}",
        conditions.sql,
        query.most.min(MAX_DEAD_LETTER_PAGE)
    );
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut rows = stmt.query(params_from_iter(conditions.values))?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        letters.push(letter(row)?);
    }
    Ok(letters)
}

fn letter(row: &Row<'_>) -> Result<DeadLetter, ReadFailed> {
    const TABLE: &str = "dead_letter";
    let number: i64 = row.get(0)?;
    let (reason, retry, id): (String, String, String) = (row.get(5)?, row.get(7)?, row.get(9)?);
    let given_up = GivenUp {
        destination: destination(row, 3, TABLE)?,
        offset: Offset(row.get(2)?),
        key: lane_key(row, 4, TABLE)?,
        at: instant(row.get(6)?).ok_or_else(|| unreadable(TABLE, number, "`at` is negative"))?,
        reason: reason.into(),
        retry: serde_json::from_str(&retry).map_err(|error| unreadable(TABLE, number, error))?,
    };
    Ok(DeadLetter {
        partition: Partition(row.get(1)?),
        given_up,
        event_id: EventId::new(&id).map_err(|error| unreadable(TABLE, number, error))?,
        retry_requested: row.get(8)?,
    })
}

/// [`laneway_ports::DeadLetters::counts`].
pub(crate) fn counts(conn: &Connection) -> Result<Vec<DeadLetterCount>, ReadFailed> {
    let sql = "SELECT destination, count(*) FROM dead_letter GROUP BY destination ORDER BY destination";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        counts.push(DeadLetterCount { destination: destination(row, 0, "dead_letter")?, count: row.get(1)? });
    }
    Ok(counts)
}

/// [`laneway_ports::DeadLetters::event`].
pub(crate) fn event(
    conn: &Connection,
    partition: Partition,
    offset: Offset,
    name: &DestinationName,
) -> Result<Option<LoggedEvent>, ReadFailed> {
    let sql = format!(
        "SELECT number, {EVENT_COLUMNS} FROM dead_letter WHERE partition = ?1 AND offset = ?2 AND destination = ?3"
    );
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut rows = stmt.query((partition.0, compared(offset.0), name.as_str()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let number: i64 = row.get(0)?;
    let event = row::read(row, 1, partition, offset, &mut Scratch::default());
    Ok(Some(event.map_err(|why| unreadable("dead_letter", number, why))?))
}

/// The numbers of the selected dead letters after `after`, ascending, at most `most`.
pub(crate) fn numbers(
    conn: &Connection,
    selection: &Selection,
    after: i64,
    most: usize,
) -> Result<Vec<i64>, ReadFailed> {
    let mut conditions = Conditions::of(selection);
    conditions.and("number > ?", [Value::Integer(after)]);
    // By number, without the index: an index would be sorted anew for each of the chunks.
    let sql = format!("SELECT number FROM dead_letter NOT INDEXED{} ORDER BY number LIMIT {most}", conditions.sql);
    let mut stmt = conn.prepare_cached(&sql)?;
    let numbers = stmt.query_map(params_from_iter(conditions.values), |row| row.get(0))?;
    Ok(numbers.collect::<rusqlite::Result<_>>()?)
}
