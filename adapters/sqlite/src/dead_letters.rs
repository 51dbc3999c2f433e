//! Reading dead letters.

use crate::failure::{self, unreadable};
use crate::progress::{destination, lane_key};
use crate::readers::ReadFailed;
use crate::row::{self, Scratch, compared, instant};
use crate::schema::EVENT_COLUMNS;
use laneway_domain::{
    DeadLetter, DestinationName, EventId, EventType, GivenUp, LoggedEvent, Offset, Partition, Tenant, Timestamp,
};
use laneway_ports::{DeadLetterCount, DeadLetterQuery, MAX_DEAD_LETTER_PAGE, Selection, StoreError};
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
        if let Some(tenant) = &selection.tenant {
            conditions.and("tenant = ?", text(tenant.as_str()));
        }
        if let Some(key) = &selection.key {
            conditions.and("key = ?", text(key.as_str()));
        }
        if let Some(id) = &selection.event_id {
            conditions.and("id = ?", text(id.as_str()));
        }
        // Beyond what can be stored there is nothing, and everything.
        let moment = |at: &Timestamp| [Value::Integer(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))];
        if let Some(from) = &selection.from {
            conditions.and("at >= ?", moment(from));
        }
        if let Some(to) = &selection.to {
            conditions.and("at < ?", moment(to));
        }
        conditions
    }
}

/// A page of dead letters, and what is wrong with those among them that are damaged.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) damaged: Vec<StoreError>,
}

/// [`laneway_ports::DeadLetters::list`].
pub(crate) fn list(conn: &Connection, query: &DeadLetterQuery) -> Result<Listed, ReadFailed> {
    let mut conditions = Conditions::of(&query.selection);
    if let Some((partition, offset, name)) = &query.after {
        let after =
            [Value::Integer(partition.0.into()), Value::Integer(compared(offset.0)), Value::Text(name.to_string())];
        conditions.and("(partition, offset, destination) > (?, ?, ?)", after);
    }
    let sql = format!("SELECT {COLUMNS} FROM dead_letter{} ORDER BY partition, offset, destination", conditions.sql);
    let most = query.most.min(MAX_DEAD_LETTER_PAGE);
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut rows = stmt.query(params_from_iter(conditions.values))?;
    let mut listed = Listed::default();
    while listed.letters.len() < most
        && let Some(row) = rows.next()?
    {
        match read(row)? {
            Ok(letter) => listed.letters.extend(Some(letter).filter(|letter| query.selection.picks(letter))),
            Err(why) => listed.damaged.push(why),
        }
    }
    Ok(listed)
}

/// The dead letter in this row, or what is wrong with it: it must not keep the others from being listed and changed.
fn read(row: &Row<'_>) -> Result<Result<DeadLetter, StoreError>, ReadFailed> {
    match letter(row) {
        Ok(letter) => Ok(Ok(letter)),
        Err(failed) => failed.of_row("dead_letter", row.get::<_, i64>(0)?).map(Err),
    }
}

/// What [`letter`] reads.
const COLUMNS: &str =
    "number, partition, offset, destination, lane_key, reason, at, retry, retry_requested, id, type, tenant";

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
        event_type: EventType::new(&row.get::<_, String>(10)?).ok(),
        tenant: row.get::<_, Option<String>>(11)?.and_then(|tenant| Tenant::new(&tenant).ok()),
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
        let count = row.get(1)?;
        match destination(row, 0, "dead_letter") {
            Ok(destination) => counts.push(DeadLetterCount { destination, count }),
            // Whoever lists them is told.
            Err(failed) => {
                let error = failed.of_row("dead_letter", "of no destination")?;
                tracing::debug!(%error, count, "dead letters are counted for no destination");
            }
        }
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
    let row = match rows.next() {
        Ok(row) => row,
        // The page that it is on will not be whole again by itself.
        Err(error) if failure::is_damage(&error) => {
            let of = format!("of destination {name}, partition {partition}, offset {offset}");
            return Err(unreadable("dead_letter", of, error).into());
        }
        Err(error) => return Err(error.into()),
    };
    let Some(row) = row else { return Ok(None) };
    let number: i64 = row.get(0)?;
    let event = row::read(row, 1, partition, offset, &mut Scratch::default());
    Ok(Some(event.map_err(|why| unreadable("dead_letter", number, why))?))
}

/// Of at most `most` dead letters after the number `after`, ascending, the numbers of those that are selected; and the
/// last number that was looked at, if there may be more.
pub(crate) fn numbers(
    conn: &Connection,
    selection: &Selection,
    after: i64,
    most: usize,
) -> Result<(Vec<i64>, Option<i64>), ReadFailed> {
    let mut conditions = Conditions::of(selection);
    conditions.and("number > ?", [Value::Integer(after)]);
    let columns = if selection.is_plain() { "number" } else { COLUMNS };
    // By number, without the index: an index would be sorted anew for each of the chunks.
    let sql = format!("SELECT {columns} FROM dead_letter NOT INDEXED{} ORDER BY number LIMIT {most}", conditions.sql);
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut rows = stmt.query(params_from_iter(conditions.values))?;
    let (mut numbers, mut last, mut looked_at) = (Vec::new(), after, 0);
    while let Some(row) = rows.next()? {
        (last, looked_at) = (row.get(0)?, looked_at + 1);
        // Of one that is damaged it cannot be told.
        if selection.is_plain() || read(row)?.is_ok_and(|letter| selection.picks(&letter)) {
            numbers.push(last);
        }
    }
    Ok((numbers, (looked_at == most).then_some(last)))
}
