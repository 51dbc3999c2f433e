//! What the contract suites are run against.

use super::{documented_rights, new_store, open, permit, server};
use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Partition};
use laneway_ports::contract::{Damage, Subject};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings, Reply};
use laneway_servers::redis_cluster::RedisCluster;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// A server of its own, and a user with no more rights than docs/redis.md gives; to reopen is to kill it.
pub struct Single {
    server: RedisServer,
    options: RedisOptions,
    store: RedisStore,
}

impl Single {
    /// What the server answers to a command about a key of the partition.
    pub async fn ask(&self, command: &str, partition: Partition, key: &str, arguments: &[&[u8]]) -> Reply {
        let key = format!("{{{}:{partition}}}:{key}", self.options.key_prefix);
        let mut command = vec![command.as_bytes(), key.as_bytes()];
        command.extend_from_slice(arguments);
        self.server.command(&command).await.unwrap()
    }
}

#[async_trait]
impl Subject for Single {
    type Store = RedisStore;

    async fn create(partitions: u32) -> Self {
        let server = server().await;
        let mut options = new_store(&server.url(), partitions);
        permit(std::slice::from_ref(&server), &mut options, &documented_rights()).await;
        let store = open(&options).await;
        Self { server, options, store }
    }

    fn store(&self) -> &RedisStore {
        &self.store
    }

    async fn another(&self) -> Option<RedisStore> {
        Some(open(&self.options).await)
    }

    async fn reopen(mut self) -> Self {
        drop(self.store);
        self.server.kill();
        self.server.restart().await.unwrap();
        permit(std::slice::from_ref(&self.server), &mut self.options, &documented_rights()).await;
        let store = open(&self.options).await;
        Self { store, ..self }
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn damage(&self, partition: Partition, offset: Offset, of: &DestinationName, damage: Damage) -> bool {
        let name = format!("{:016}:{of}", offset.0);
        let name = name.as_bytes();
        if damage == Damage::Copy {
            let copy = self.ask("HGET", partition, "dead:events", &[name]).await;
            let Reply::Bulk(Some(mut copy)) = copy else { return false };
            *copy.last_mut().unwrap() ^= 1;
            self.ask("HSET", partition, "dead:events", &[name, &copy]).await;
            return true;
        }
        let letter = self.ask("HGET", partition, "dead", &[name]).await;
        let Reply::Bulk(Some(letter)) = letter else { return false };
        let lines: Vec<&[u8]> = letter.splitn(4, |byte| *byte == b'\n').collect();
        let [id, key_of_event, order, fate] = lines[..] else { return false };
        let damaged = match damage {
            Damage::Order => [id, key_of_event, b"none", fate].join(&b'\n'),
            Damage::Id => [&b"\x01"[..], key_of_event, order, fate].join(&b'\n'),
            Damage::History => [id, key_of_event, order, b"{"].join(&b'\n'),
            Damage::Text => [id, key_of_event, b"key:\xFF", fate].join(&b'\n'),
            Damage::End | Damage::Copy => id.to_vec(),
        };
        self.ask("HSET", partition, "dead", &[name, &damaged]).await;
        true
    }
}

/// A Cluster of six nodes, which all tests share that run at the same time; to reopen is to connect
/// anew.
pub struct Clustered {
    /// Held so that the servers live as long as the subject.
    cluster: Arc<RedisCluster>,
    options: RedisOptions,
    store: RedisStore,
}

impl Clustered {
    pub fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// For a new store beside this one.
    pub async fn beside(&self, partitions: u32) -> RedisOptions {
        permitted(&self.cluster, partitions).await
    }
}

async fn permitted(cluster: &RedisCluster, partitions: u32) -> RedisOptions {
    let mut options = new_store(&cluster.url(), partitions);
    permit(cluster.nodes(), &mut options, &documented_rights()).await;
    options
}

/// The Cluster.
pub async fn cluster() -> Arc<RedisCluster> {
    static SHARED: Mutex<Weak<RedisCluster>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    // Its future cannot be sent to another thread, so it gets one.
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(RedisCluster::start(3, 3, RedisSettings::default())).unwrap()
    };
    let cluster = Arc::new(tokio::task::spawn_blocking(start).await.unwrap());
    *shared = Arc::downgrade(&cluster);
    cluster
}

#[async_trait]
impl Subject for Clustered {
    type Store = RedisStore;

    async fn create(partitions: u32) -> Self {
        let cluster = cluster().await;
        let options = permitted(&cluster, partitions).await;
        let store = open(&options).await;
        Self { cluster, options, store }
    }

    fn store(&self) -> &RedisStore {
        &self.store
    }

    async fn another(&self) -> Option<RedisStore> {
        Some(open(&self.options).await)
    }

    async fn reopen(self) -> Self {
        drop(self.store);
        let store = open(&self.options).await;
        Self { store, ..self }
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
