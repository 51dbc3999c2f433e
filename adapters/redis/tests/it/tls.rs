//! A Redis that speaks TLS, with a certificate of a private authority, and asks who comes.

use laneway_domain::Partition;
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore, RedisTls};
use laneway_servers::redis::{RedisServer, RedisSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

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
    let mut server = RedisServer::start(RedisSettings::default()).await.unwrap();
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
    server.with_setting("tls-port", server.address().port() + TLS_ABOVE);
    server.with_setting("tls-auth-clients", "yes");
    server.restart().await.unwrap();
    (server, Certificates { ca, client: signed("laneway") })
}

fn options(server: &RedisServer, tls: RedisTls) -> RedisOptions {
    let url = format!("rediss://127.0.0.1:{}", server.address().port() + TLS_ABOVE);
    RedisOptions { tls, ..RedisOptions::new(url, 2) }
}

async fn refusal(options: RedisOptions) -> String {
    match RedisStore::connect(options).await {
        Ok(_) => panic!("it connects"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_and_the_server_is_told_who_comes() {
    let (server, Certificates { ca, client }) = server().await;
    let tls = RedisTls { ca: Some(ca.clone()), client_certificate: Some(client.clone()) };
    let store = RedisStore::connect(options(&server, tls)).await.unwrap();
    assert_eq!(store.bounds(Partition(0)).await.unwrap().end.0, 0);

    let stranger = refusal(options(&server, RedisTls { ca: Some(ca), client_certificate: None })).await;
    assert!(stranger.contains("rediss://127.0.0.1"), "{stranger}");
    let unknown = refusal(options(&server, RedisTls { ca: None, client_certificate: Some(client) })).await;
    assert!(unknown.contains("ertificate"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_named() {
    let (server, Certificates { ca, client: (chain, key) }) = server().await;
    let with = |ca: &str, chain: &str, key: &str| RedisTls {
        ca: Some(ca.to_owned()),
        client_certificate: Some((chain.to_owned(), key.to_owned())),
    };
    for (tls, expected) in [
        (with("nothing", &chain, &key), "store.tls.ca: contains no certificate in PEM form"),
        (with(&ca, "nothing", &key), "store.tls.certificate: contains no certificate in PEM form"),
        (with(&ca, &chain, "nothing"), "store.tls.key: is not a private key in PEM form"),
    ] {
        assert_eq!(refusal(options(&server, tls)).await, expected);
    }
    let plain = RedisOptions { tls: with(&ca, &chain, &key), ..RedisOptions::new(server.url(), 2) };
    let refused = refusal(plain).await;
    assert!(refused.starts_with("store.tls has no effect at store.url"), "{refused}");
}
