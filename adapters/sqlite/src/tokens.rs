//! The tokens that are made over the HTTP interface: one row, which is replaced as a whole.

use crate::books::Book;
use crate::readers::ReadFailed;
use crate::store::{SqliteStore, into_store_error};
use async_trait::async_trait;
use laneway_domain::{Revision, Stamp, Timestamp, TokenBook};
use laneway_ports::{MAX_REVISION, StoreError, TokenStore, TokensSeen, encoded_book};
use rusqlite::Connection;

const BOOK: Book = Book { table: "token", what: "all tokens that were made over the HTTP interface" };

/// The revision of the last change, and the tokens if that is not `known`.
pub(crate) fn read(conn: &Connection, known: Revision) -> Result<(Revision, Option<TokenBook>), ReadFailed> {
    BOOK.read(conn, known)
}

/// The row of tokens with all of them revoked and all links ended, and how many those tokens are; `None` if there is
/// neither. Damaged ones open nothing as they are.
pub(crate) fn all_revoked(conn: &Connection, now: Timestamp) -> Result<Option<(usize, Revision, String)>, StoreError> {
    let Ok((last, Some(mut book))) = read(conn, MAX_REVISION) else { return Ok(None) };
    let revision = last.next(now.as_millis().saturating_mul(1000));
    let count = book.revoke_all(&Stamp { revision, at: now, by: "laneway restore".into() });
    // Where there is no token, there may be a key of links.
    let is_changed = book.revision() != last;
    if is_changed { Ok(Some((count, revision, encoded_book(last, &book)?))) } else { Ok(None) }
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
        let (text, revision) = (encoded_book(last, book)?, book.revision());
        self.change(move |tx| BOOK.write(tx, last, revision, &text)).await.map_err(into_store_error)
    }
}
