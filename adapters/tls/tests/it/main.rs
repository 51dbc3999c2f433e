//! Handshakes between both sides.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use laneway_tls::{
    Authority, Certified, Clients, CurrentServer, Identity, Names, Part, Replaceable, ServerTls, Trust, client_config,
    names_of, valid_until,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const HOST: &str = "laneway.internal";

/// What a server has seen of a client.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    protocol: Option<Vec<u8>>,
    names: Option<Names>,
}

/// A client and a server meet, and each says a byte: in TLS 1.3 a client hears after its handshake only that its
/// certificate was refused.
async fn meet(client: ClientConfig, server: &ServerTls) -> io::Result<Seen> {
    let (near, far) = tokio::io::duplex(1 << 14);
    let connecting = async {
        let name = ServerName::try_from(HOST).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, near).await?;
        stream.write_all(b"?").await?;
        stream.read_u8().await
    };
    let accepting = async {
        let mut stream = TlsAcceptor::from(server.config()).accept(far).await?;
        stream.read_u8().await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        let (_, connection) = stream.get_ref();
        let names = connection.peer_certificates().and_then(<[_]>::first).map(names_of);
        Ok(Seen { protocol: connection.alpn_protocol().map(<[u8]>::to_vec), names })
    };
    let (said, seen): (io::Result<u8>, io::Result<Seen>) = tokio::join!(connecting, accepting);
    said.and(seen)
}

fn client(trust: &Authority, who: Option<&Certified>) -> ClientConfig {
    let identity = who.map(|(chain, key)| Identity::read(chain, key).unwrap());
    client_config(&Trust::only(&trust.pem()).unwrap(), identity.as_ref())
}

fn names(seen: Seen) -> Option<Vec<String>> {
    seen.names.map(|names| names.iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn who_gets_in_with_which_certificate() {
    let (ours, clients, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let (chain, key) = ours.certificate(&[HOST]);
    let (known, stranger) = (clients.certificate(&["Shop.internal"]), foreign.certificate(&["shop.internal"]));
    let pem = clients.pem();
    let name = Some(vec!["shop.internal".to_owned()]);
    let table = [
        (Clients::Unknown, None, Some(None)),
        (Clients::Unknown, Some(&known), Some(None)),
        (Clients::Asked(&pem), None, Some(None)),
        (Clients::Asked(&pem), Some(&known), Some(name.clone())),
        (Clients::Asked(&pem), Some(&stranger), None),
        (Clients::Required(&pem), None, None),
        (Clients::Required(&pem), Some(&known), Some(name)),
        (Clients::Required(&pem), Some(&stranger), None),
    ];
    for (asked, who, expected) in table {
        let server = ServerTls::new(&chain, &key, asked).unwrap();
        let got = meet(client(&ours, who), &server).await.map(names);
        assert_eq!(got.as_ref().ok(), expected.as_ref(), "{asked:?} {got:?}");
    }
    // A client that trusts somebody else does not go on.
    let server = ServerTls::new(&chain, &key, Clients::Unknown).unwrap();
    assert!(meet(client(&foreign, None), &server).await.is_err());
}

/// As `openssl req -x509` makes it.
#[tokio::test]
async fn a_certificate_of_an_authority_is_none_for_a_server_and_that_is_said() {
    let ours = Authority::new();
    let server = ServerTls::new(&ours.pem(), &ours.key(), Clients::Unknown).unwrap();
    let refused = meet(client(&ours, None), &server).await.unwrap_err();
    let said = laneway_tls::tls_error_in_words(&refused).unwrap();
    assert_eq!(said, "its certificate is an authority's (basicConstraints CA:TRUE), and not a server's");
}

#[tokio::test]
async fn the_better_protocol_that_both_speak_is_chosen() {
    let ours = Authority::new();
    let (chain, key) = ours.certificate(&[HOST]);
    let server = ServerTls::new(&chain, &key, Clients::Unknown).unwrap();
    type Offer<'a> = (&'a [&'a [u8]], Option<&'a [u8]>);
    let offers: [Offer<'_>; 4] = [
        (&[], None),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"h2"], Some(b"h2")),
    ];
    for (offered, chosen) in offers {
        let mut client = client(&ours, None);
        client.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let seen = meet(client, &server).await.unwrap();
        assert_eq!(seen.protocol.as_deref(), chosen, "{offered:?}");
    }
}

#[tokio::test]
async fn what_is_replaced_counts_for_the_next_connection() {
    let (old, new, clients) = (Authority::new(), Authority::new(), Authority::new());
    let pem = clients.pem();
    let tls = |authority: &Authority| {
        let (chain, key) = authority.certificate(&[HOST]);
        ServerTls::new(&chain, &key, Clients::Required(&pem)).unwrap()
    };
    let identity = |uri: &str| clients.uri(uri);
    let read = |(chain, key): Certified| Some(Identity::read(&chain, &key).unwrap());
    let server = CurrentServer::from(tls(&old));
    let trust = |authority: &Authority| Trust::only(&authority.pem()).unwrap();
    let client = Replaceable::new(&trust(&old), read(identity("spiffe://example/one"))).unwrap();
    let config = client.client_config();
    let got = meet(config.clone(), &server.now()).await.map(names).unwrap();
    assert_eq!(got, Some(vec!["spiffe://example/one".to_owned()]));

    server.replace(tls(&new));
    assert!(meet(config.clone(), &server.now()).await.is_err(), "the client does not trust the new authority yet");
    client.replace(&Replaceable::new(&trust(&new), read(identity("spiffe://example/two"))).unwrap());
    let got = meet(config, &server.now()).await.map(names).unwrap();
    assert_eq!(got, Some(vec!["spiffe://example/two".to_owned()]));
}

#[test]
fn what_cannot_be_used_is_named() {
    let ours = Authority::new();
    let ((chain, key), (_, other_key)) = (ours.certificate(&[HOST]), ours.certificate(&[HOST]));
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let part = |chain: &str, key: &str, ca: &str| {
        ServerTls::new(chain, key, Clients::Asked(ca)).map_err(|error| error.part).err()
    };
    for (chain, key, ca, wrong) in [
        (&*chain, &*key, &*ours.pem(), None),
        ("", &key, &ours.pem(), Some(Part::Certificate)),
        (&key, &key, &ours.pem(), Some(Part::Certificate)),
        (broken, &key, &ours.pem(), Some(Part::Certificate)),
        (&chain, "", &ours.pem(), Some(Part::Key)),
        (&chain, &chain, &ours.pem(), Some(Part::Key)),
        (&chain, &other_key, &ours.pem(), Some(Part::Key)),
        (&chain, &key, "no certificate", Some(Part::Ca)),
        (&chain, &key, broken, Some(Part::Ca)),
    ] {
        assert_eq!(part(chain, key, ca), wrong, "{chain}{key}{ca}");
    }
}

#[test]
fn a_chain_holds_as_long_as_all_of_it_does() {
    // The authority of these tests ends in 2090, as its certificates do.
    let (ours, end) = (Authority::new(), Some(3_786_912_000));
    let (leaf, _) = ours.certificate(&[HOST]);
    assert_eq!(valid_until(&leaf), end);
    assert_eq!(valid_until(&format!("{leaf}{}", ours.pem())), end);
    assert_eq!(valid_until(&format!("{}{leaf}", ours.certificate_until(&[HOST], 2031))), Some(1_956_441_600));
    assert_eq!(valid_until("nothing"), None);
}

#[test]
fn a_certificate_without_other_names_has_its_common_name() {
    let ours = Authority::new();
    let named = |(chain, _): Certified| {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        names_of(&certificate).iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named(ours.common_name("Orders")), ["orders"]);
    assert_eq!(named(ours.uri("spiffe://example/Orders")), ["spiffe://example/Orders"]);
    assert_eq!(named(ours.certificate(&["A.example", "b.example", "127.0.0.1"])), ["a.example", "b.example"]);
}
