//! A Redis that speaks TLS, with a certificate of a private authority, and asks who comes.

use laneway_domain::Partition;
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore, RedisTls};
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tls::Authority;
use std::time::Duration;
use tokio::time::Instant;

/// How long a store may take to find a server again.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// How far above its port for tests a server has the one with TLS: where a Cluster has its bus, and a single server
/// nothing.
const TLS_ABOVE: u16 = 10_000;

struct Certificates {
    ca: String,
    /// Chain and key.
    client: (String, String),
}

/// A server with TLS, who signed its certificate, and one for whoever comes.
async fn server() -> (RedisServer, Certificates) {
    let mut server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let certificates = certify(&mut server);
    server.with_setting("tls-port", server.address().port() + TLS_ABOVE);
    server.with_setting("tls-auth-clients", "yes");
    server.restart().await.unwrap();
    (server, certificates)
}

/// Gives the server a certificate of a new authority, which it has when it starts again.
fn certify(server: &mut RedisServer) -> Certificates {
    let authority = Authority::new();
    let (certificate, key) = authority.certificate(&["127.0.0.1"]);
    let ca = authority.pem();
    for (setting, name, pem) in [
        ("tls-cert-file", "server.pem", &certificate),
        ("tls-key-file", "server.key", &key),
        ("tls-ca-cert-file", "ca.pem", &ca),
    ] {
        let file = server.folder().join(name);
        std::fs::write(&file, pem).unwrap();
        server.with_setting(setting, file.display());
    }
    Certificates { ca, client: authority.certificate(&["laneway"]) }
}

fn options(server: &RedisServer, tls: RedisTls) -> RedisOptions {
    let url = format!("rediss://127.0.0.1:{}", server.address().port() + TLS_ABOVE);
    RedisOptions { tls: Some(tls), ..RedisOptions::new(url, 2) }
}

async fn refusal(options: RedisOptions) -> String {
    match RedisStore::connect(options).await {
        Ok(_) => panic!("it connects"),
        Err(error) => error.to_string(),
    }
}

fn shown((chain, key): &(String, String)) -> Option<(&str, &str)> {
    Some((chain, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_and_the_server_is_told_who_comes() {
    let (server, Certificates { ca, client }) = server().await;
    let tls = RedisTls::new(Some(&ca), shown(&client)).unwrap();
    let store = RedisStore::connect(options(&server, tls)).await.unwrap();
    assert_eq!(store.bounds(Partition(0)).await.unwrap().end.0, 0);

    let stranger = refusal(options(&server, RedisTls::new(Some(&ca), None).unwrap())).await;
    assert!(stranger.contains("rediss://127.0.0.1"), "{stranger}");
    let unknown = refusal(options(&server, RedisTls::new(None, shown(&client)).unwrap())).await;
    assert!(unknown.contains("ertificate"), "{unknown}");
    let plain = RedisTls::new(Some(&ca), shown(&client)).unwrap();
    let plain = RedisOptions { tls: Some(plain), ..RedisOptions::new(server.url(), 2) };
    let refused = refusal(plain).await;
    assert!(refused.starts_with("store.tls has no effect at store.url"), "{refused}");
}

/// A server whose certificate another authority has signed meanwhile: it is trusted as soon as that is said, over the
/// connections that are made anew.
#[tokio::test(flavor = "multi_thread")]
async fn whom_to_trust_can_change_while_a_store_is_open() {
    let (mut server, Certificates { ca, client }) = server().await;
    let tls = RedisTls::new(Some(&ca), shown(&client)).unwrap();
    let store = RedisStore::connect(options(&server, tls.clone())).await.unwrap();
    let next = certify(&mut server);
    server.restart().await.unwrap();
    assert!(store.bounds(Partition(0)).await.is_err(), "the new authority is not trusted yet");
    tls.replace(Some(&next.ca), shown(&next.client)).unwrap();
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.bounds(Partition(0)).await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(GLANCE).await;
    }
}
