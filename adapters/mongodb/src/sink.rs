//! The sink: deliveries in, outcomes out.

use crate::collection::Collection;
use crate::config::{Mode, MongoConfig, MongoConfigError, check_timeout};
use crate::failure::Failure;
use crate::insert::insert;
use crate::ledger::Ledger;
use crate::upsert::upsert;
use async_trait::async_trait;
use laneway_domain::Cause;
use laneway_ports::{Delivery, DeliveryReport, Sink};
use std::fmt;
use std::time::Duration;

/// Writes events into one collection, over connections of its own.
///
/// # Documents
///
/// | field | what |
/// | --- | --- |
/// | `_id` | insert mode: the event's id. Upsert mode: its key or, without one, its id |
/// | `id` | the event's id; in upsert mode only |
/// | `type`, `key`, `source`, `subject` | texts, each if the event has it |
/// | `time` | a date if it is one to the millisecond; else the text, as the producer wrote it |
/// | `contentType` | the media type of the data |
/// | `attributes` | a document of texts, integers and booleans, if there are any |
/// | `traceparent` | a text, if the request that brought it in had one |
/// | `dataEncoding`, `data` | if there is data, how it is encoded, and the data: see below |
/// | `partition`, `offset` | 64 bit integers: the event's place in the log. Offsets of one key rise |
/// | `acceptedAt` | a date: when Laneway accepted the event |
///
/// `dataEncoding` is `"bson"` for JSON: objects, arrays, texts, booleans and null as they are, in
/// their order; a number as the first of 32 bit integer, 64 bit integer, double and Decimal128 that
/// holds it without loss (a double holds what it prints as, so that `0.1` is one). White space and
/// spelling (`12.50`, `1e3`) are not kept. JSON that BSON or MongoDB cannot hold without loss (a
/// number of more than 34 digits, a member twice in one object, a name that begins with `$` or
/// contains U+0000, half a surrogate pair, more than 90 levels, more than 16 MiB as BSON) is
/// `"text"`: the data itself, as a text. So are `text/*`, XML, YAML, and what names a charset, if
/// they are UTF-8. Everything else is `"binary"`.
///
/// # What counts as delivered
///
/// What the server confirmed with `w: "majority", j: true` and no write concern error. In insert
/// mode also a document that is there already with the event's `_id`, source, partition and offset;
/// with another of these it is another event, and this one is rejected with a reason that names
/// both. In upsert mode also a document of a later event of the same key, and an event that a later
/// one of its key in the same batch stands for. A document that did not come from this key in this
/// log is not replaced; the event is rejected. What is there already is read as a majority has it.
///
/// An event that MongoDB will never take (too large, refused by the collection's validator or by a
/// unique index) is rejected. Everything else, also what is unclear, is a retry.
///
/// Both modes need no index but that of `_id`. A sharded collection needs `_id` as its shard key:
/// otherwise MongoDB does not keep `_id` unique.
///
/// A delivery ends within [`MongoConfig::timeout`]. Whether it still may be sent is asked before each command; what the
/// driver holds then, until it has a connection, is sent all the same.
pub struct MongoSink {
    collection: Collection,
    mode: Mode,
    timeout: Duration,
    /// The configuration as it may be shown.
    shown: String,
}

impl MongoSink {
    /// Makes the sink. Connects to nothing before the first delivery, so that it can be made
    /// while MongoDB is away.
    ///
    /// # Errors
    /// If the timeout is zero.
    pub fn new(config: MongoConfig) -> Result<Self, MongoConfigError> {
        check_timeout(config.timeout)?;
        let (mode, timeout, shown) = (config.mode, config.timeout, config.to_string());
        Ok(Self { collection: Collection::new(config), mode, timeout, shown })
    }
}

#[async_trait]
impl Sink for MongoSink {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let mut ledger = Ledger::new(delivery);
        let write = async {
            match self.mode {
                Mode::Insert => insert(&self.collection, &mut ledger).await,
                Mode::Upsert => upsert(&self.collection, &mut ledger).await,
            }
        };
        let ended = tokio::time::timeout(self.timeout, write).await;
        let outcomes = ledger.close(|| match ended {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) => Failure::new(Cause::Broken, "it was left out"),
            Err(_) => Failure::new(Cause::Unanswered, format!(
                "MongoDB did not confirm the write within the destination's timeout of {:?}; whether it wrote is not \
                 known",
                self.timeout
            )),
        });
        outcomes.into()
    }
}

impl fmt::Debug for MongoSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoSink").field("collection", &self.shown).field("mode", &self.mode).finish_non_exhaustive()
    }
}
