//! Dead letters, for operators and for the worker that retries them.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{
    DeadLetter, DestinationName, EventId, Key, LoggedEvent, Offset, Partition, Redrive, Tenant, Timestamp, TypePattern,
};
use std::collections::BTreeSet;

/// The most dead letters of one page.
pub const MAX_DEAD_LETTER_PAGE: usize = 1000;

/// Which dead letters are meant. All conditions must hold; none means all of the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those of this destination; required for a change, so that nothing is swept by accident.
    pub destination: Option<DestinationName>,
    /// Only those of this tenant's events. Keys and ids are a tenant's own: of another one they mean another event.
    pub tenant: Option<Tenant>,
    /// Only those of this key.
    pub key: Option<Key>,
    /// Only those of events of this id, of which each tenant, source and destination may have one.
    pub event_id: Option<EventId>,
    /// Only those of events of a type that matches one of these; all if there are none.
    pub types: Vec<TypePattern>,
    /// Only those whose last attempt was answered with one of these HTTP statuses; all if there are none.
    pub statuses: BTreeSet<u16>,
    /// Only those that were given up then or later.
    pub from: Option<Timestamp>,
    /// Only those that were given up before.
    pub to: Option<Timestamp>,
    /// Only those at these places of the log; all if there are none.
    pub places: BTreeSet<(Partition, Offset)>,
}

impl Selection {
    /// All of a destination.
    #[must_use]
    pub fn of(destination: DestinationName) -> Self {
        Self { destination: Some(destination), ..Self::default() }
    }

    /// Whether nothing is asked but what [`Selection::picks`] does not look at: destination, key and event.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tenant.is_none()
            && self.types.is_empty()
            && self.statuses.is_empty()
            && self.from.is_none()
            && self.to.is_none()
            && self.places.is_empty()
    }

    /// Whether it means this dead letter, as far as tenant, type, status, time and place are concerned. What a store
    /// can look for by itself (destination, key, event), it has looked for. What cannot be told of a dead letter, it
    /// has not.
    #[must_use]
    pub fn picks(&self, letter: &DeadLetter) -> bool {
        let at = letter.given_up.at;
        let event_type = letter.event_type.as_ref();
        let of_type = |of: &TypePattern| event_type.is_some_and(|event_type| of.matches(event_type.as_str()));
        let status = letter.given_up.retry.last_status();
        (self.tenant.is_none() || self.tenant == letter.tenant)
            && (self.types.is_empty() || self.types.iter().any(of_type))
            && (self.statuses.is_empty() || status.is_some_and(|status| self.statuses.contains(&status)))
            && self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
            && (self.places.is_empty() || self.places.contains(&(letter.partition, letter.given_up.offset)))
    }
}

/// A page of dead letters, in the order of partition, offset, destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Which.
    pub selection: Selection,
    /// Only those after this one (the last of the page before).
    pub after: Option<(Partition, Offset, DestinationName)>,
    /// How many at most, up to [`MAX_DEAD_LETTER_PAGE`].
    pub most: usize,
}

/// How many dead letters a destination has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// The destination.
    pub destination: DestinationName,
    /// Its dead letters in all partitions.
    pub count: u64,
}

/// The dead letters of all partitions. They are added by [`crate::ProgressStore::commit`].
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A page of dead letters. One that is damaged is left out, and the log says so; a change of all dead letters of its
    /// destination, or of those of its key or event as far as that can be told, means it too.
    async fn list(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError>;

    /// How many the selection means.
    async fn count(&self, selection: &Selection) -> Result<u64, StoreError> {
        let mut query = DeadLetterQuery { selection: selection.clone(), after: None, most: MAX_DEAD_LETTER_PAGE };
        let mut count = 0;
        loop {
            let page = self.list(&query).await?;
            count += page.len() as u64;
            let Some(last) = page.last().filter(|_| page.len() == MAX_DEAD_LETTER_PAGE) else { return Ok(count) };
            query.after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
        }
    }

    /// How many there are, per destination that has any, in order of name.
    async fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError>;

    /// The event of a dead letter: the copy, which is there also when the log has trimmed it.
    ///
    /// - Must refuse ([`StoreError::Refused`]) what is damaged, and can be read neither now nor later: then its retry
    ///   has failed. While the store is away, that is no answer.
    async fn event(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
    ) -> Result<Option<LoggedEvent>, StoreError>;

    /// Asks that the selected ones be attempted once more. Durable when it resolves; the worker
    /// that has the partition finds them in [`DeadLetters::retry_requested`]. Returns how many.
    /// Refused without a destination.
    async fn retry(&self, selection: &Selection) -> Result<u64, StoreError>;

    /// Removes the selected ones for good. Returns how many. Refused without a destination.
    async fn discard(&self, selection: &Selection) -> Result<u64, StoreError>;

    /// The dead letters of the partition that someone wants retried, by ascending offset and destination, at most
    /// `most` of those behind `after`. They stay until a commit says how the retry ended. One that is so damaged that
    /// nobody can retry it is left out; the log says so.
    async fn retry_requested(
        &self,
        partition: Partition,
        after: Option<&(Offset, DestinationName)>,
        most: usize,
    ) -> Result<Vec<Redrive>, StoreError>;
}
