//! A Redis, a Cluster and a Sentinel that speak TLS, with a certificate of a private authority, and ask who comes.

use laneway_domain::Partition;
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore, RedisTls};
use laneway_servers::redis::{RedisServer, RedisSettings, TlsFiles};
use laneway_servers::redis_cluster::RedisCluster;
use laneway_servers::redis_sentinel::RedisSentinel;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

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
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "An authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let (certificate, key) = signed("127.0.0.1");
        let (ca, folder) = (authority.pem(), tempfile::tempdir().unwrap());
        for (name, pem) in [("server.pem", &certificate), ("server.key", &key), ("ca.pem", &ca)] {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { ca, client: signed("laneway"), folder }
    }

    /// For servers that are known as 127.0.0.1.
    fn settings(&self) -> RedisSettings {
        let file = |name: &str| self.folder.path().join(name);
        let files = TlsFiles { certificate: (file("server.pem"), file("server.key")), ca: file("ca.pem") };
        RedisSettings::default().with_tls(files)
    }

    /// For whoever comes.
    fn tls(&self) -> RedisTls {
        RedisTls { ca: Some(self.ca.clone()), client_certificate: Some(self.client.clone()) }
    }
}

async fn server(certificates: &Certificates) -> RedisServer {
    RedisServer::start(certificates.settings()).await.unwrap()
}

fn options(url: String, tls: RedisTls) -> RedisOptions {
    RedisOptions { tls, ..RedisOptions::new(url, 2) }
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

    let Certificates { ca, client, .. } = certificates;
    let stranger = refusal(options(server.url(), RedisTls { ca: Some(ca), client_certificate: None })).await;
    assert!(stranger.contains("rediss://127.0.0.1"), "{stranger}");
    let unknown = refusal(options(server.url(), RedisTls { ca: None, client_certificate: Some(client) })).await;
    assert!(unknown.contains("ertificate"), "{unknown}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_named() {
    let certificates = Certificates::new();
    let server = server(&certificates).await;
    let Certificates { ca, client: (chain, key), .. } = certificates;
    let with = |ca: &str, chain: &str, key: &str| RedisTls {
        ca: Some(ca.to_owned()),
        client_certificate: Some((chain.to_owned(), key.to_owned())),
    };
    for (tls, expected) in [
        (with("nothing", &chain, &key), "store.tls.ca: contains no certificate in PEM form"),
        (with(&ca, "nothing", &key), "store.tls.certificate: contains no certificate in PEM form"),
        (with(&ca, &chain, "nothing"), "store.tls.key: is not a private key in PEM form"),
    ] {
        assert_eq!(refusal(options(server.url(), tls)).await, expected);
    }
    let plain =
        RedisOptions { tls: with(&ca, &chain, &key), ..RedisOptions::new(format!("redis://{}", server.address()), 2) };
    let refused = refusal(plain).await;
    assert!(refused.starts_with("store.tls has no effect at store.url"), "{refused}");
}
