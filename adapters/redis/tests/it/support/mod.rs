//! Stores for tests, each with names of its own in Redis.
#![allow(unreachable_pub, reason = "its modules use it from outside")]

pub mod subject;
pub mod wire;

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, NewEvent};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::sync::atomic::{AtomicU32, Ordering};

/// A server with settings that Laneway accepts.
pub async fn server() -> RedisServer {
    RedisServer::start(RedisSettings::default()).await.unwrap()
}

/// For a new store there.
pub fn new_store(url: &str, partitions: u32) -> RedisOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let key_prefix = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    RedisOptions { key_prefix, ..RedisOptions::new(url, partitions) }
}

/// Opens the store; one that is there already, or a new one.
pub async fn open(options: &RedisOptions) -> RedisStore {
    RedisStore::connect(options.clone()).await.unwrap()
}

/// An event whose id was not given.
pub fn event(id: &str, key: &str) -> NewEvent {
    let event = Event {
        key: Some(Key::new(key).unwrap()),
        ..Event::new(
            EventId::new(id).unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::from(format!("{{\"id\":\"{id}\"}}")),
        )
    };
    NewEvent { event, id_given: false }
}
