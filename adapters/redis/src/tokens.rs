//! The tokens that are made over the HTTP interface, in a slot of their own; `lua/tokens.lua` says what is in it.

use crate::failure::Effect;
use crate::progress::{answer, unreadable};
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{Revision, TokenBook};
use laneway_ports::{StoreError, TokenStore, TokensSeen, decoded_tokens, encoded_tokens};

fn seen(key: &str, answer: Value) -> Result<TokensSeen, StoreError> {
    let mut values = answer::list(answer)?;
    let book = if values.len() == 3 { values.pop() } else { None };
    let [revision, clock] = answer::exactly(Value::Array(values))?;
    let revision = Revision(answer::number(&revision)?);
    let read = |text: String| {
        let book = if text.is_empty() { Ok(TokenBook::default()) } else { decoded_tokens(&text) };
        let book = book.and_then(|book| match book.revision() {
            of if of == revision => Ok(book),
            of => Err(format!("they have revision {of}, and beside them stands {revision}")),
        });
        book.map_err(|why| unreadable(key, "all tokens that were made over HTTP", why))
    };
    let book = book.map(|text| answer::text(&text).and_then(read)).transpose()?;
    Ok(TokensSeen { revision, clock: answer::number(&clock)?, book })
}

#[async_trait]
impl TokenStore for RedisStore {
    async fn tokens(&self, known: Revision) -> Result<TokensSeen, StoreError> {
        let key = self.shared.keys.tokens();
        let args = vec![Bytes::from(known.to_string())];
        let call = self.shared.redis.call("laneway_tokens_read", Effect::Reads, std::slice::from_ref(&key), args);
        seen(&key, call.await?)
    }

    async fn write_tokens(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError> {
        let text = encoded_tokens(last, book)?;
        let args = [last.to_string(), book.revision().to_string(), text].map(Bytes::from).to_vec();
        let written = self.shared.write("laneway_tokens_write", &[self.shared.keys.tokens()], args).await;
        Ok(answer::number(&written.map_err(StoreError::from)?)? == 1)
    }
}
