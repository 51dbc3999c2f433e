//! `[store]`: where events and progress are kept.

use super::Secret;
use super::reader::Section;
use super::tls::Pem;
use super::units::MAX_DURATION;
use crate::registry::{KEY_BYTES, parse_key};
use laneway_domain::MAX_PARTITIONS;
#[cfg(feature = "redis")]
use laneway_redis::{DEFAULT_KEY_PREFIX, DEFAULT_REPLICA_TIMEOUT, MAX_KEY_PREFIX_BYTES};
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What stands in for the store's own bounds in a build without it, which refuses its URL whatever else is said.
#[cfg(not(feature = "redis"))]
const DEFAULT_KEY_PREFIX: &str = "laneway";
#[cfg(not(feature = "redis"))]
const DEFAULT_REPLICA_TIMEOUT: Duration = Duration::from_secs(2);
#[cfg(not(feature = "redis"))]
const MAX_KEY_PREFIX_BYTES: usize = 64;

/// Whether this build has the store that Redis' URLs ask for.
const HAS_REDIS: bool = cfg!(feature = "redis");
/// The ways to say where a Redis is.
const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];
/// The settings that only a Redis store has.
const REDIS_KEYS: [&str; 5] = ["password", "tls", "key_prefix", "replicas", "replica_timeout"];
/// The most replicas that can be waited for; more than anybody runs.
const MAX_REPLICAS: u32 = 16;

/// Which store holds the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: one file on this machine.
    Sqlite(PathBuf),
    /// `redis://…` and its kin: a server, a Sentinel group or a Cluster that processes share.
    Redis(RedisStore),
}

/// A store on Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisStore {
    /// Where it is, with credentials if it has some.
    pub url: Secret,
    /// The password, if it does not stand in the URL.
    pub password: Option<Secret>,
    /// TLS beyond the defaults.
    pub tls: Pem,
    /// What the names of all its keys begin with.
    pub key_prefix: String,
    /// How many replicas must have an event before it is acknowledged.
    pub replicas: u32,
    /// How long they may take.
    pub replica_timeout: Duration,
}

/// `[store.tls]`, with what the store itself says of it.
fn read_tls(mut section: Section<'_, '_>) -> Pem {
    let tls = Pem::read(&mut section, "ca");
    #[cfg(feature = "redis")]
    if tls != Pem::default() {
        let (ca, client) = tls.exposed();
        if let Err(laneway_tls::TlsError { part, why }) = laneway_redis::RedisTls::new(ca, client) {
            section.problem(part.setting(), why);
        }
    }
    section.finish();
    tls
}

impl RedisStore {
    /// The URL, with the password in it that was given apart.
    ///
    /// # Errors
    /// If no password can be added to the URL.
    pub fn url_with_password(&self) -> Result<String, String> {
        let Some(password) = &self.password else { return Ok(self.url.expose().to_owned()) };
        let refused = || "store.password cannot be added to store.url".to_owned();
        let mut url = url::Url::parse(self.url.expose()).map_err(|_| refused())?;
        url.set_password(Some(password.expose())).map_err(|()| refused())?;
        Ok(url.into())
    }
}

impl std::fmt::Display for StoreUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Redis(redis) => match url::Url::parse(redis.url.expose()) {
                Ok(url) => {
                    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
                    write!(f, "{scheme}://{host}")?;
                    url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
                }
                Err(_) => f.write_str("redis"),
            },
        }
    }
}

/// What a 202 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The event survives power loss: it was fsynced before the answer.
    Full,
    /// The event survives a crash of the process, not of the machine.
    Relaxed,
}

impl Store {
    /// The same without what is replaced while it is in use.
    #[must_use]
    pub fn but_for_certificates(&self) -> Self {
        let mut same = self.clone();
        if let StoreUrl::Redis(redis) = &mut same.url {
            redis.tls = Pem::default();
        }
        same
    }
}

/// `[store]`: where events and progress are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// How many partitions a new store gets, 1 to [`MAX_PARTITIONS`].
    pub partitions: u32,
    /// How long settled events are kept for replays.
    pub retain: Duration,
    /// How long an id that a producer gave is remembered.
    pub duplicate_window: Duration,
    /// What a 202 promises.
    pub durability: Durability,
    /// The keys that secrets of destinations are sealed with, 32 bytes each in base64 or hexadecimal; the first one
    /// seals. Without any, a SQLite store has one in a file beside it, and others take no secrets.
    pub keys: Vec<Secret>,
}

impl Store {
    /// The bytes of [`Store::keys`].
    #[must_use]
    pub fn key_bytes(&self) -> Vec<[u8; KEY_BYTES]> {
        self.keys.iter().filter_map(|key| parse_key(key.expose()).ok()).collect()
    }
}

impl Store {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let written = section.get::<Secret>("url");
        let redis = read_redis(&mut section);
        let url = written.map(|written| parse_store(&written, redis, HAS_REDIS));
        let url = url.and_then(|url| url.map_err(|what| section.problem("url", what)).ok());
        let durability = [("full", Durability::Full), ("relaxed", Durability::Relaxed)];
        let store = Self {
            url: url.unwrap_or_else(|| StoreUrl::Sqlite("laneway.db".into())),
            partitions: section.within("partitions", 8, 1..=MAX_PARTITIONS),
            retain: section.within("retain", DAY, Duration::ZERO..=MAX_DURATION),
            duplicate_window: section.within("duplicate_window", DAY, Duration::ZERO..=DAY * 366),
            durability: section.choice("durability", Durability::Full, &durability),
            keys: read_keys(&mut section),
        };
        if matches!(store.url, StoreUrl::Sqlite(_)) && !section.has_mistakes("url") {
            for key in REDIS_KEYS.into_iter().filter(|key| section.has(key)) {
                section.problem(key, "has no effect at a sqlite: store; remove it");
            }
        }
        section.finish();
        store
    }
}

fn read_keys(section: &mut Section<'_, '_>) -> Vec<Secret> {
    let keys: Vec<Secret> = section.one_or_more("key");
    for (n, key) in keys.iter().enumerate() {
        if let Err(what) = parse_key(key.expose()) {
            section.problem_in("key", n, what);
        }
    }
    keys
}

/// The settings of a Redis store, but for its URL.
fn read_redis(section: &mut Section<'_, '_>) -> RedisStore {
    let prefix = section.or("key_prefix", DEFAULT_KEY_PREFIX.to_owned());
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > MAX_KEY_PREFIX_BYTES || !prefix.chars().all(right) {
        section.problem(
            "key_prefix",
            format!("must be 1 to {MAX_KEY_PREFIX_BYTES} of a-z, A-Z, 0-9, \"-\", \"_\", \".\", \":\""),
        );
    }
    let timeouts = Duration::from_millis(10)..=Duration::from_secs(60);
    RedisStore {
        url: Secret::new(String::new()),
        password: section.get("password"),
        tls: read_tls(section.section("tls")),
        key_prefix: prefix,
        replicas: section.within("replicas", 0, 0..=MAX_REPLICAS),
        replica_timeout: section.within("replica_timeout", DEFAULT_REPLICA_TIMEOUT, timeouts),
    }
}

/// Messages must not repeat the URL: it may hold a password. `has_redis` is [`HAS_REDIS`], except in its test.
fn parse_store(written: &Secret, redis: RedisStore, has_redis: bool) -> Result<StoreUrl, String> {
    const EXAMPLES: &str = "write for instance \"sqlite:laneway.db\" or \"redis://127.0.0.1:6379\"";
    let text = written.expose();
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(format!("a store is chosen by URL; {EXAMPLES}"));
    };
    if scheme == "sqlite" {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let refused = path.is_empty() || path.starts_with(':') || path.contains('\0');
        if refused {
            return Err("\"sqlite:\" needs the path of a file; write for instance \"sqlite:laneway.db\"".to_owned());
        }
        return Ok(StoreUrl::Sqlite(path.into()));
    }
    if !REDIS_SCHEMES.contains(&scheme) {
        return Err(format!("its scheme is not a kind of store; {EXAMPLES}"));
    }
    if !has_redis {
        return Err(super::left_out("Redis", "redis"));
    }
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => Ok(StoreUrl::Redis(RedisStore { url: written.clone(), ..redis })),
        Ok(_) => Err(format!("has no host; write for instance \"{scheme}://127.0.0.1:6379\"")),
        Err(e) => Err(format!("is not a URL: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_redis_tells_which_flag_brings_it() {
        let redis = || RedisStore {
            url: Secret::new(String::new()),
            password: None,
            tls: Pem::default(),
            key_prefix: DEFAULT_KEY_PREFIX.to_owned(),
            replicas: 0,
            replica_timeout: DEFAULT_REPLICA_TIMEOUT,
        };
        let asked = Secret::new("redis://127.0.0.1:6379");
        let said = parse_store(&asked, redis(), false).unwrap_err();
        assert!(said.contains("this laneway was built without Redis; "), "{said}");
        assert!(said.ends_with("build it with: cargo build --release --features redis"), "{said}");
        assert!(matches!(parse_store(&asked, redis(), true), Ok(StoreUrl::Redis(_))));
    }
}
