//! A Redis, a Cluster and a Sentinel that speak TLS, with a certificate of a private authority, and ask who comes.

use laneway_domain::Partition;
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore, RedisTls};
use laneway_servers::redis::{RedisServer, RedisSettings, TlsFiles};
use laneway_servers::redis_cluster::RedisCluster;
use laneway_servers::redis_sentinel::RedisSentinel;
use laneway_tls::Authority;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a store may take to find a server again.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

struct Certificates {
    ca: String,
    /// Chain and key.
    client: (String, String),
    /// With those of servers.
    folder: TempDir,
}

impl Certificates {
    /// Of an authority of its own.
    fn new() -> Self {
        Self::inside(tempfile::tempdir().unwrap())
    }

    /// The same in a folder that may have those of another one.
    fn inside(folder: TempDir) -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.certificate(&["127.0.0.1"]);
        let ca = authority.pem();
        for (name, pem) in [("server.pem", &certificate), ("server.key", &key), ("ca.pem", &ca)] {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { ca, client: authority.certificate(&["laneway"]), folder }
    }

    /// For servers that are known as 127.0.0.1.
    fn settings(&self) -> RedisSettings {
        let file = |name: &str| self.folder.path().join(name);
        let files = TlsFiles { certificate: (file("server.pem"), file("server.key")), ca: file("ca.pem") };
        RedisSettings::default().with_tls(files)
    }

    fn client(&self) -> Option<(&str, &str)> {
        Some((&self.client.0, &self.client.1))
    }

    /// For whoever comes.
    fn tls(&self) -> RedisTls {
        RedisTls::new(Some(&self.ca), self.client()).unwrap()
    }
}

async fn server(certificates: &Certificates) -> RedisServer {
    RedisServer::start(certificates.settings()).await.unwrap()
}

fn options(url: String, tls: RedisTls) -> RedisOptions {
    RedisOptions { tls: Some(tls), ..RedisOptions::new(url, 2) }
}

/// Appends, and reads that.
async fn is_used(store: &RedisStore) {
    let placed = crate::support::append_surely(store, "a").await;
    let read = store.read(placed.partition, placed.offset, 1, usize::MAX).await.unwrap();
    assert_eq!(read.records.len(), 1);
}

async fn refusal(options: RedisOptions) -> String {
    match RedisStore::connect(options).await {
        Ok(_) => panic!("it connects"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_and_the_server_is_told_who_comes() {
    let certificates = Certificates::new();
    let server = server(&certificates).await;
    is_used(&RedisStore::connect(options(server.url(), certificates.tls())).await.unwrap()).await;

    let stranger = refusal(options(server.url(), RedisTls::new(Some(&certificates.ca), None).unwrap())).await;
    assert!(stranger.contains("rediss://127.0.0.1"), "{stranger}");
    let unknown = refusal(options(server.url(), RedisTls::new(None, certificates.client()).unwrap())).await;
    assert!(unknown.contains("ertificate"), "{unknown}");
    let plain = options(format!("redis://{}", server.address()), certificates.tls());
    let refused = refusal(plain).await;
    assert!(refused.starts_with("store.tls has no effect at store.url"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_used_over_tls() {
    let certificates = Certificates::new();
    let cluster = RedisCluster::start(3, 0, certificates.settings()).await.unwrap();
    let url = cluster.url();
    assert!(url.starts_with("rediss-cluster://"), "{url}");
    let store = RedisStore::connect(RedisOptions { partitions: 8, ..options(url, certificates.tls()) }).await.unwrap();
    is_used(&store).await;
    // Partitions of every node.
    for partition in (0..8).map(Partition) {
        assert_eq!(store.losses(partition).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_behind_a_sentinel_is_used_over_tls_and_so_is_the_next() {
    let certificates = Certificates::new();
    let mut sentinel = RedisSentinel::start(certificates.settings()).await.unwrap();
    let url = sentinel.url();
    assert!(url.starts_with("rediss-sentinel://"), "{url}");
    let store = RedisStore::connect(options(url, certificates.tls())).await.unwrap();
    is_used(&store).await;
    sentinel.server_mut(0).kill();
    sentinel.wait_failover(0).await.unwrap();
    is_used(&store).await;
}

/// A server whose certificate another authority has signed meanwhile: it is trusted as soon as that is said, over the
/// connections that are made anew.
#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_can_change_while_a_store_is_open() {
    let certificates = Certificates::new();
    let (mut server, tls) = (server(&certificates).await, certificates.tls());
    let store = RedisStore::connect(options(server.url(), tls.clone())).await.unwrap();
    let next = Certificates::inside(certificates.folder);
    server.restart().await.unwrap();
    assert!(store.bounds(Partition(0)).await.is_err(), "the new authority is not trusted yet");
    tls.replace(&next.tls());
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.bounds(Partition(0)).await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(GLANCE).await;
    }
}
