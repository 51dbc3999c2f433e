//! The log on real servers: what is refused at start, what happens when Redis ends, is full,
//! forgets its functions or its data, or fails over.

mod clock;
mod contract;
mod failover;
mod isolation;
mod memory;
mod recovery;
mod rewound;
mod sentinel;
mod settings;
mod startup;

use crate::support::append_surely;
use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, NewEvent, Offset, Partition};
use laneway_ports::{Appended, EventLog, LogRecord, StoreError};
use laneway_redis::{RedisOptions, RedisStore};
use std::sync::Arc;
use std::time::Duration;

const P: Partition = Partition(0);
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn event(id: &str, bytes: usize) -> NewEvent {
    let event = Event {
        key: Some(Key::new("k").unwrap()),
        ..Event::new(EventId::new(id).unwrap(), EventType::new("order.paid").unwrap(), Bytes::from(vec![b'x'; bytes]))
    };
    NewEvent { event, id_given: false }
}

async fn connect(url: &str, change: impl FnOnce(&mut RedisOptions)) -> Result<RedisStore, StoreError> {
    let mut options = RedisOptions::new(url, 1);
    options.command_timeout = Duration::from_secs(2);
    change(&mut options);
    RedisStore::connect(options).await
}

async fn append(store: &RedisStore, id: &str) -> Result<Appended, StoreError> {
    store.append(vec![event(id, 20)]).await.remove(0)
}

fn whole(record: &LogRecord) -> Arc<LoggedEvent> {
    match record {
        LogRecord::Event(event) => event.clone(),
        LogRecord::Corrupt { offset, reason } => panic!("corrupt at {offset}: {reason}"),
    }
}

/// The ids of all events from `from` on, as soon as Redis can be reached.
async fn ids_from(store: &RedisStore, from: Offset) -> Vec<String> {
    wait_for("the store can be read", async || store.bounds(P).await.ok()).await;
    let (mut ids, mut from) = (Vec::new(), from);
    loop {
        // Within a failover a read may be told to come again.
        let chunk = wait_for("the log can be read", async || match store.read(P, from, 100, usize::MAX).await {
            Err(StoreError::RetryLater { .. }) => None,
            read => Some(read.unwrap()),
        });
        let chunk = chunk.await;
        if chunk.records.is_empty() {
            return ids;
        }
        ids.extend(chunk.records.iter().map(|record| whole(record).event.id.to_string()));
        from = chunk.next;
    }
}

/// Waits for `look` to find something.
async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}
