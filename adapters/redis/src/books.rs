//! Values that all processes share and replace as a whole, each in a slot of its own; `lua/tokens.lua` says what is in it.

use crate::failure::Effect;
use crate::progress::{answer, unreadable};
use crate::store::RedisStore;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::Revision;
use laneway_ports::{Book, StoreError, encoded_book, stored_book};

/// What a look at one has found: its last revision, the server's clock (µs), and the value if the revision is not the one
/// that is known.
pub(crate) struct Seen<B> {
    pub(crate) revision: Revision,
    pub(crate) clock: u64,
    pub(crate) book: Option<B>,
}

impl RedisStore {
    pub(crate) async fn book<B: Book>(&self, key: &String, known: Revision) -> Result<Seen<B>, StoreError> {
        let args = vec![Bytes::from(known.to_string())];
        let call = self.shared.redis.call("laneway_tokens_read", Effect::Reads, std::slice::from_ref(key), args);
        let mut values = answer::list(call.await?)?;
        let book = if values.len() == 3 { values.pop() } else { None };
        let [revision, clock] = answer::exactly(Value::Array(values))?;
        let revision = Revision(answer::number(&revision)?);
        let read =
            |text: String| stored_book(&text, revision).map_err(|why| unreadable(key, format!("all {}", B::WHAT), why));
        let book = book.map(|text| answer::text(&text).and_then(read)).transpose()?;
        Ok(Seen { revision, clock: answer::number(&clock)?, book })
    }

    pub(crate) async fn write_book<B: Book>(&self, key: String, last: Revision, book: &B) -> Result<bool, StoreError> {
        let text = encoded_book(last, book)?;
        let args = [last.to_string(), book.revision().to_string(), text].map(Bytes::from).to_vec();
        let written = self.shared.write("laneway_tokens_write", &[key], args).await;
        Ok(answer::number(&written.map_err(StoreError::from)?)? == 1)
    }
}
