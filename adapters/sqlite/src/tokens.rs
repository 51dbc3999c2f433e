//! The tokens that are made over the HTTP interface: one row, which is replaced as a whole.

use crate::failure::{Failed, unreadable};
use crate::readers::ReadFailed;
use crate::request::Tx;
use crate::row::signed;
use crate::store::{SqliteStore, into_store_error};
use async_trait::async_trait;
use laneway_domain::{Revision, Stamp, Timestamp, TokenBook};
use laneway_ports::{MAX_REVISION, StoreError, TokenStore, TokensSeen, decoded_tokens, encoded_tokens};
use rusqlite::Connection;

/// The revision of the last change, and the tokens if that is not `known`. As text they are empty before the first one.
pub(crate) fn read(conn: &Connection, known: Revision) -> Result<(Revision, Option<TokenBook>), ReadFailed> {
    let sql = "SELECT revision, iif(revision = ?1, NULL, book) FROM token";
    let read = |row: &rusqlite::Row<'_>| Ok((Revision(row.get(0)?), row.get::<_, Option<String>>(1)?));
    let known = signed(known.0).unwrap_or(i64::MAX);
    let (revision, text) = conn.prepare_cached(sql)?.query_row([known], read)?;
    let Some(text) = text else { return Ok((revision, None)) };
    let book = if text.is_empty() { Ok(TokenBook::default()) } else { decoded_tokens(&text) };
    let book = book.and_then(|book| match book.revision() {
        of if of == revision => Ok(book),
        of => Err(format!("they have revision {of}, and the row says {revision}")),
    });
    let damaged = |why: String| {
        let what = format!(
            "{why}. Restore a backup, or let go of all tokens that were made over HTTP, with `UPDATE token SET revision = 0, \
             book = ''`"
        );
        unreadable("token", "of all tokens", what)
    };
    Ok((revision, Some(book.map_err(damaged)?)))
}

fn write(tx: &Tx<'_>, last: Revision, revision: Revision, text: &str) -> Result<bool, Failed> {
    let sql = "SELECT revision, book = ?1 FROM token";
    let read = |row: &rusqlite::Row<'_>| Ok((Revision(row.get(0)?), row.get::<_, bool>(1)?));
    let (now, is_same) = tx.conn.prepare_cached(sql)?.query_row([text], read)?;
    if now == revision && is_same {
        return Ok(true);
    }
    if now != last {
        return Ok(false);
    }
    tx.run("UPDATE token SET revision = ?1, book = ?2", (signed(revision.0)?, text))?;
    Ok(true)
}

/// The row of tokens with all of them revoked, and how many those are; `None` if there are none. Damaged ones open
/// nothing as they are.
pub(crate) fn all_revoked(conn: &Connection, now: Timestamp) -> Result<Option<(usize, Revision, String)>, StoreError> {
    let Ok((last, Some(mut book))) = read(conn, MAX_REVISION) else { return Ok(None) };
    let revision = last.next(now.as_millis().saturating_mul(1000));
    let count = book.revoke_all(&Stamp { revision, at: now, by: "laneway restore".into() });
    if count == 0 { Ok(None) } else { Ok(Some((count, revision, encoded_tokens(last, &book)?))) }
}

/// Replaces the row of tokens.
pub(crate) fn put(conn: &Connection, revision: Revision, text: &str) -> rusqlite::Result<()> {
    conn.execute("UPDATE token SET revision = ?1, book = ?2", (revision.0, text)).map(drop)
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn tokens(&self, known: Revision) -> Result<TokensSeen, StoreError> {
        self.shared.usable()?;
        let clock = self.clock.now().as_millis().saturating_mul(1000);
        let (revision, book) = self.readers.read(move |conn| read(conn, known)).await?;
        Ok(TokensSeen { revision, clock, book })
    }

    async fn write_tokens(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError> {
        let (text, revision) = (encoded_tokens(last, book)?, book.revision());
        self.change(move |tx| write(tx, last, revision, &text)).await.map_err(into_store_error)
    }
}
