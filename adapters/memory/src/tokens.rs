//! The tokens that are made over the HTTP interface, as the value that they are.

use crate::books::replace;
use crate::disk::Durable;
use crate::{Call, MemoryStore};
use async_trait::async_trait;
use laneway_domain::{Revision, TokenBook};
use laneway_ports::{StoreError, TokenStore, TokensSeen, encoded_book};

#[async_trait]
impl TokenStore for MemoryStore {
    async fn tokens(&self, known: Revision) -> Result<TokensSeen, StoreError> {
        self.begin(Call::Tokens)?;
        let clock = self.disk().now().as_millis() * 1000;
        Ok(self.disk().look(|durable| {
            let revision = durable.tokens.revision();
            TokensSeen { revision, clock, book: (revision != known).then(|| durable.tokens.clone()) }
        }))
    }

    async fn write_tokens(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError> {
        encoded_book(last, book)?;
        let book = book.clone();
        let write = move |durable: &mut Durable, _| replace(&mut durable.tokens, last, book);
        self.write_one(Call::Tokens, write).await
    }
}
