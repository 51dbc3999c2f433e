//! How the store is opened.

use crate::tls::RedisTls;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For how long a given id is remembered, unless the options say otherwise.
pub const DEFAULT_DUPLICATE_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// What all names in Redis begin with, unless the options say otherwise.
pub const DEFAULT_KEY_PREFIX: &str = "laneway";
/// The longest that one command may take. Redis answers within milliseconds; seconds mean that it
/// is away, and whoever asked had better hear so.
pub const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long replicas have for their acknowledgement: some round trips and an fsync.
pub const DEFAULT_REPLICA_TIMEOUT: Duration = Duration::from_secs(2);
/// The most events that may wait to be sent, over all partitions: a few groups, so that a full
/// queue is a sign of a Redis that does not keep up, and what waits is stored within a moment.
pub const DEFAULT_QUEUE_EVENTS: usize = 20_000;
/// The most bytes (by weight) that may wait to be sent: as much as the HTTP side holds of bodies at once, so that
/// a few dozen producers of large events are not sent away from a store that keeps up.
pub const DEFAULT_QUEUE_BYTES: usize = 64 << 20;
/// How much of the most recent events is kept in memory for those who keep up.
pub const DEFAULT_TAIL_BYTES: usize = 8 << 20;
/// The longest key prefix: it is part of every key, and keys cost memory.
pub const MAX_KEY_PREFIX_BYTES: usize = 64;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: Redis must fsync before it answers (`appendfsync always`).
    #[default]
    Full,
    /// What Redis' own settings make of it; they are not looked at, but for the eviction of keys.
    Relaxed,
}

/// How the store is opened.
#[derive(Clone)]
pub struct RedisOptions {
    /// What this process is called in the register of processes: no two have the same name. That of a worker is its id,
    /// by which it is known in the register of workers too.
    pub process: String,
    /// What it is there for, for people: `ingest`, `worker` …
    pub role: String,
    /// Where Redis is: `redis://`, `rediss://` (TLS), `redis-cluster://`, `rediss-cluster://`,
    /// `redis-sentinel://` or `rediss-sentinel://`, with `user:password@` if it needs that. Further
    /// nodes of a Cluster or Sentinels are named by `?node=host:port`, a Sentinel's service by
    /// `?sentinelServiceName=name`.
    pub url: String,
    /// How TLS is spoken, where the URL says that it is. `None`: the system's root certificates are trusted, and Redis
    /// is not told who comes.
    pub tls: Option<RedisTls>,
    /// How many partitions, from 1 to [`laneway_domain::MAX_PARTITIONS`]. Fixed when the store is made.
    pub partitions: u32,
    /// What all names in Redis begin with, so that several stores can share one Redis.
    pub key_prefix: String,
    /// For how long a given id is remembered to recognise duplicates.
    pub duplicate_window: Duration,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// How many replicas must have an event before it is acknowledged; zero: none.
    pub replicas: u32,
    /// How long they have for it. Then it is not known whether the event would survive a failover.
    pub replica_timeout: Duration,
    /// The longest that a command may take.
    pub command_timeout: Duration,
    /// The most events that may wait to be sent; more are answered with "retry later". A call with
    /// more than that is still taken when nothing else waits.
    pub queue_events: usize,
    /// The most bytes that may wait, by [`laneway_domain::Event::weight`]; the same holds.
    pub queue_bytes: usize,
    /// How many bytes of the most recent events are kept in memory, over all partitions.
    pub tail_bytes: usize,
}

impl RedisOptions {
    /// Everything at its default but for where Redis is and how many partitions there are. The process has a name of
    /// its own.
    pub fn new(url: impl Into<String>, partitions: u32) -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let nth = OPENED.fetch_add(1, Ordering::Relaxed);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self {
            process: format!("{}-{nth}-{started:x}", std::process::id()),
            role: "tool".into(),
            url: url.into(),
            tls: None,
            partitions,
            key_prefix: DEFAULT_KEY_PREFIX.into(),
            duplicate_window: DEFAULT_DUPLICATE_WINDOW,
            durability: Durability::Full,
            replicas: 0,
            replica_timeout: DEFAULT_REPLICA_TIMEOUT,
            command_timeout: DEFAULT_COMMAND_TIMEOUT,
            queue_events: DEFAULT_QUEUE_EVENTS,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            tail_bytes: DEFAULT_TAIL_BYTES,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &crate::address::without_secrets(&self.url))
            .field("partitions", &self.partitions)
            .field("key_prefix", &self.key_prefix)
            .field("duplicate_window", &self.duplicate_window)
            .field("durability", &self.durability)
            .field("replicas", &self.replicas)
            .field("replica_timeout", &self.replica_timeout)
            .field("command_timeout", &self.command_timeout)
            .finish_non_exhaustive()
    }
}
