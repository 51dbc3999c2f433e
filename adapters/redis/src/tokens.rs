//! The tokens that are made over the HTTP interface.

use crate::books::Seen;
use crate::store::RedisStore;
use async_trait::async_trait;
use laneway_domain::{Revision, TokenBook};
use laneway_ports::{StoreError, TokenStore, TokensSeen};

#[async_trait]
impl TokenStore for RedisStore {
    async fn tokens(&self, known: Revision) -> Result<TokensSeen, StoreError> {
        let Seen { revision, clock, book } = self.book(&self.shared.keys.tokens(), known).await?;
        Ok(TokensSeen { revision, clock, book })
    }

    async fn write_tokens(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError> {
        self.write_book(self.shared.keys.tokens(), last, book).await
    }
}
