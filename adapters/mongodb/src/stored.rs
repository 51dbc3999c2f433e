//! What a document that is there already says of the event it was made from.

use crate::config::Mode;
use crate::document::document_id;
use crate::reply::whole;
use laneway_domain::{Key, LoggedEvent, MAX_CLOCK_SKEW, Tenant};
use mongodb::bson::{Bson, Document};
use std::fmt;

/// Where a document came from. A document that others wrote may have none of this.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    event_id: Option<String>,
    tenant: Option<String>,
    key: Option<String>,
    source: Option<String>,
    partition: Option<u64>,
    offset: Option<u64>,
    accepted_at: Option<u64>,
}

/// How a stored document of an event's key stands to the event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The document is the event's, or a later one's: there is nothing to do.
    Current,
    /// It is an earlier one's.
    Behind,
    /// It is none of this key in this log.
    Foreign,
}

impl Stored {
    /// What is read of a document, besides its `_id`: there is no need to transfer more.
    pub(crate) const FIELDS: [&str; 7] = ["id", "tenant", "key", "source", "partition", "offset", "acceptedAt"];

    /// `None` if the document's `_id` is no text; then it was not what was asked for.
    pub(crate) fn read(document: &Document) -> Option<Self> {
        let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
        let number = |name: &str| document.get(name).and_then(whole);
        let accepted_at = match document.get("acceptedAt") {
            Some(Bson::DateTime(time)) => u64::try_from(time.timestamp_millis()).ok(),
            _ => None,
        };
        Some(Self {
            id: text("_id")?,
            event_id: text("id"),
            tenant: text("tenant"),
            key: text("key"),
            source: text("source"),
            partition: number("partition"),
            offset: number("offset"),
            accepted_at,
        })
    }

    /// Whether this is the document that insert mode makes of the event.
    pub(crate) fn is(&self, logged: &LoggedEvent) -> bool {
        self.id == *document_id(&logged.event, Mode::Insert)
            && self.source.as_deref() == logged.event.source.as_deref()
            && self.partition == Some(u64::from(logged.partition.0))
            && self.offset == Some(logged.offset.0)
    }

    /// How this document stands to the event in upsert mode.
    pub(crate) fn standing(&self, logged: &LoggedEvent) -> Standing {
        let event = &logged.event;
        let same_key = self.key.as_deref() == event.key.as_ref().map(Key::as_str)
            && self.tenant.as_deref() == event.tenant.as_ref().map(Tenant::as_str);
        // Without a key the id stands for it, and an id says something only with its source.
        let same_source = event.key.is_some() || self.source.as_deref() == event.source.as_deref();
        if !same_key || !same_source || self.partition != Some(u64::from(logged.partition.0)) {
            return Standing::Foreign;
        }
        let Some(offset) = self.offset else { return Standing::Foreign };
        if offset < logged.offset.0 {
            return Standing::Behind;
        }
        if offset == logged.offset.0 {
            let same = self.event_id.as_deref() == Some(event.id.as_str());
            return if same { Standing::Current } else { Standing::Foreign };
        }
        // A log that was made anew begins at offset 0 again. Its events must not pass for old ones: where offsets and
        // times of acceptance contradict each other by more than clocks differ, they are not of one log.
        let skew = u64::try_from(MAX_CLOCK_SKEW.as_millis()).unwrap_or(u64::MAX);
        match self.accepted_at {
            Some(at) if at.saturating_add(skew) >= logged.accepted_at.as_millis() => Standing::Current,
            _ => Standing::Foreign,
        }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(partition), Some(offset)) = (self.partition, self.offset) else {
            return f.write_str("a document that Laneway did not write");
        };
        write!(f, "the event at partition {partition}, offset {offset}")?;
        if let Some(id) = &self.event_id {
            write!(f, ", with the id {id:?}")?;
        }
        match &self.source {
            Some(source) => write!(f, ", from the source {source:?}"),
            None => f.write_str(", without a source"),
        }
    }
}

#[cfg(test)]
mod tests;
