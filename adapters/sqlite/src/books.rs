//! Values that all processes share and replace as a whole: one row each, as text with a revision.

use crate::failure::{Failed, unreadable};
use crate::readers::ReadFailed;
use crate::request::Tx;
use crate::row::signed;
use laneway_domain::Revision;
use laneway_ports::stored_book;
use rusqlite::Connection;

/// Such a value.
#[derive(Clone, Copy)]
pub(crate) struct Book {
    /// Its table.
    pub(crate) table: &'static str,
    /// What it has, for people.
    pub(crate) what: &'static str,
}

impl Book {
    /// The revision of the last change, and the value if that is not `known`.
    pub(crate) fn read<B: laneway_ports::Book>(
        self,
        conn: &Connection,
        known: Revision,
    ) -> Result<(Revision, Option<B>), ReadFailed> {
        let Self { table, what } = self;
        let sql = format!("SELECT revision, iif(revision = ?1, NULL, book) FROM {table}");
        let read = |row: &rusqlite::Row<'_>| Ok((Revision(row.get(0)?), row.get::<_, Option<String>>(1)?));
        let known = signed(known.0).unwrap_or(i64::MAX);
        let (revision, text) = conn.prepare_cached(&sql)?.query_row([known], read)?;
        let Some(text) = text else { return Ok((revision, None)) };
        let damaged = |why: String| {
            let what = format!(
                "{why}. Restore a backup, or let go of {what}, with `UPDATE {table} SET revision = 0, book = ''`"
            );
            unreadable(table, "of all of them", what)
        };
        Ok((revision, Some(stored_book(&text, revision).map_err(damaged)?)))
    }

    /// Replaces it, if the last revision is `last`, or if it is the same already.
    pub(crate) fn write(self, tx: &Tx<'_>, last: Revision, revision: Revision, text: &str) -> Result<bool, Failed> {
        let table = self.table;
        let sql = format!("SELECT revision, book = ?1 FROM {table}");
        let read = |row: &rusqlite::Row<'_>| Ok((Revision(row.get(0)?), row.get::<_, bool>(1)?));
        let (now, is_same) = tx.conn.prepare_cached(&sql)?.query_row([text], read)?;
        if now == revision && is_same {
            return Ok(true);
        }
        if now != last {
            return Ok(false);
        }
        tx.run(&format!("UPDATE {table} SET revision = ?1, book = ?2"), (signed(revision.0)?, text))?;
        Ok(true)
    }
}
