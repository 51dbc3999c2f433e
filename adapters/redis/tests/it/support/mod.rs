//! Stores for tests, each with names of its own in Redis.
#![allow(unreachable_pub, reason = "its modules use it from outside")]

pub mod subject;
pub mod wire;

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, NewEvent};
use laneway_ports::{Appended, EventLog, StoreError};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Far more than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server with settings that Laneway accepts.
pub async fn server() -> RedisServer {
    RedisServer::start(RedisSettings::default()).await.unwrap()
}

/// What docs/redis.md gives a user of Laneway's, right by right, as ACL SETUSER takes it.
pub fn documented_rights() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redis.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rights) = page.split_once("ACL SETUSER laneway on '>PASSWORD'").expect("the page has the command");
    let (rights, _) = rights.split_once("```").unwrap();
    let rights = rights.split_ascii_whitespace().filter(|word| *word != "\\");
    rights.map(|right| right.trim_matches('\'').to_owned()).collect()
}

/// Has the store opened by a user of its own, who has these rights, with the store's prefix in their patterns.
pub async fn permit(servers: &[RedisServer], options: &mut RedisOptions, rights: &[String]) {
    let user = options.key_prefix.clone();
    let mut command = ["ACL", "SETUSER", &user, "reset", "on", ">s3cret"].map(str::to_owned).to_vec();
    command.extend(rights.iter().map(|right| right.replace("{laneway", &format!("{{{user}"))));
    for server in servers.iter().filter(|server| server.is_running()) {
        server.command(&command).await.unwrap();
    }
    if !options.url.contains('@') {
        options.url = options.url.replace("://", &format!("://{user}:s3cret@"));
    }
}

/// Appends one event.
pub async fn append(store: &RedisStore, id: &str) -> Result<Appended, StoreError> {
    store.append(vec![event(id, "k")]).await.remove(0)
}

/// The same until it is stored: whoever gets "retry later" or "not known" does that.
pub async fn append_surely(store: &RedisStore, id: &str) -> Appended {
    let trying = async {
        loop {
            match append(store, id).await {
                Ok(placed) => return placed,
                Err(StoreError::Refused { what }) => panic!("{what}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.expect("Redis takes events")
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
