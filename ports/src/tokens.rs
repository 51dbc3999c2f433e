//! The tokens that are made over the HTTP interface, as a store keeps them.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{Revision, TokenBook};

/// What a look at the tokens has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensSeen {
    /// The revision of the last change; [`Revision::ORIGIN`] if there was none.
    pub revision: Revision,
    /// The store's clock, in microseconds since the Unix epoch.
    pub clock: u64,
    /// All of them, if `revision` is not the one that whoever asked knows.
    pub book: Option<TokenBook>,
}

/// The tokens that all processes on a store share. They are few and change seldom, so that a store keeps them as one
/// value, which is replaced as a whole by whoever has seen the last one. What a change makes of them is
/// [`TokenBook`]'s affair.
///
/// A failover may lose the last changes, so that [`TokensSeen::revision`] goes back: whoever has seen them writes them
/// again ([`TokenBook::lacking`]).
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The tokens, if their revision is not `known`; a new store has none, and [`Revision::ORIGIN`].
    ///
    /// - Must be cheap where nothing has changed: every process asks several times a second.
    /// - Must see what any process has been told to be written.
    /// - Must not give out what is not what was written: that is [`StoreError::Refused`], which says what to do.
    async fn tokens(&self, known: Revision) -> Result<TokensSeen, StoreError>;

    /// Replaces the tokens durably, and in one atomic step. `false`, with nothing written: the last revision is not
    /// `last` any more; whoever wants the change looks again.
    ///
    /// - Must refuse what [`crate::encoded_book`] refuses, and a revision that is not larger than `last`.
    /// - After [`StoreError::Unknown`] the same may be written again: if it was written, and nothing after it, the answer
    ///   is `true`. Others that got the same revision are not the same.
    /// - Must work on a store that is full: a token that leaked has to be revoked.
    async fn write_tokens(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests;
