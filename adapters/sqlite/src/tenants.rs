//! What is known of tenants beside what they own: one row, which is replaced as a whole.

use crate::books::Book;
use crate::readers::ReadFailed;
use crate::store::{SqliteStore, into_store_error};
use async_trait::async_trait;
use laneway_domain::{Revision, TenantBook};
use laneway_ports::{StoreError, TenantStore, TenantsSeen, encoded_book};
use rusqlite::Connection;

const BOOK: Book = Book { table: "tenant", what: "all limits and deletions of tenants" };

/// The revision of the last change, and what is known if that is not `known`.
pub(crate) fn read(conn: &Connection, known: Revision) -> Result<(Revision, Option<TenantBook>), ReadFailed> {
    BOOK.read(conn, known)
}

#[async_trait]
impl TenantStore for SqliteStore {
    async fn tenants(&self, known: Revision) -> Result<TenantsSeen, StoreError> {
        self.shared.usable()?;
        let clock = self.clock.now().as_millis().saturating_mul(1000);
        let (revision, book) = self.readers.read(move |conn| read(conn, known)).await?;
        Ok(TenantsSeen { revision, clock, book })
    }

    async fn write_tenants(&self, last: Revision, book: &TenantBook) -> Result<bool, StoreError> {
        let (text, revision) = (encoded_book(last, book)?, book.revision());
        self.change(move |tx| BOOK.write(tx, last, revision, &text)).await.map_err(into_store_error)
    }
}
