//! TLS: whom the sink trusts, and how it proves itself.

use crate::events::{ThisMachine, config, deliver, event, retry_reason};
use crate::tls_receiver::{Authority, server_config, start};
use laneway_domain::Outcome;
use laneway_webhook::{HttpVersion, Secret, TlsOptions, WebhookConfig, WebhookSink};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const NAME: &str = "hooks.example";
/// Long after these tests will have been forgotten.
const LATER: i32 = 2090;

fn sink(port: u16, tls: TlsOptions) -> WebhookSink {
    with(WebhookConfig { tls, ..config(format!("https://{NAME}:{port}/")) })
}

fn with(settings: WebhookConfig) -> WebhookSink {
    let settings = WebhookConfig { timeout: Duration::from_secs(5), ..settings };
    WebhookSink::with_resolver(settings, Arc::new(ThisMachine)).unwrap()
}

fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions { ca: Some(authority.pem()), client_certificate: None }
}

#[tokio::test]
async fn a_certificate_of_the_configured_authority_is_accepted() {
    let authority = Authority::new();
    let (address, received) = start(Some(server_config(&authority.certificate(NAME, LATER), &[], None))).await;
    let sink = sink(address.port(), trusting(&authority));
    for _ in 0..3 {
        assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    }
    let received = received.lock().unwrap();
    assert_eq!((received.requests.len(), received.connections), (3, 1));
}

#[tokio::test]
async fn an_address_can_have_a_certificate_too() {
    let authority = Authority::new();
    let (address, _) = start(Some(server_config(&authority.certificate("127.0.0.1", LATER), &[], None))).await;
    let sink = with(WebhookConfig { tls: trusting(&authority), ..config(format!("https://{address}/")) });
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
}

#[tokio::test]
async fn what_cannot_be_trusted_is_a_retry_that_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases = [
        (authority.certificate(NAME, 2021), Some(&authority), "its certificate expired"),
        (
            authority.certificate("other.example", LATER),
            Some(&authority),
            "is for other.example, not for hooks.example",
        ),
        (stranger.certificate(NAME, LATER), Some(&authority), "an authority that is not trusted here"),
        (authority.certificate(NAME, LATER), None, "an authority that is not trusted here"),
    ];
    for (certificate, trusted, why) in cases {
        let (address, received) = start(Some(server_config(&certificate, &[], None))).await;
        let sink = sink(address.port(), trusted.map(trusting).unwrap_or_default());
        let reason = retry_reason(deliver(&sink, event("a")).await);
        assert!(reason.contains("TLS handshake with hooks.example failed") && reason.contains(why), "{reason}");
        assert!(received.lock().unwrap().requests.is_empty());
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_unless_it_is_the_configured_one() {
    let signed = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let pair = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let (address, _) = start(Some(server_config(&pair, &[], None))).await;
    let reason = retry_reason(deliver(&sink(address.port(), TlsOptions::default()), event("a")).await);
    assert!(reason.contains("an authority that is not trusted here"), "{reason}");
    let pinned = TlsOptions { ca: Some(pair.0), client_certificate: None };
    assert_eq!(deliver(&sink(address.port(), pinned), event("a")).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_client_certificate_opens_what_wants_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let settings = server_config(&authority.certificate(NAME, LATER), &["h2", "http/1.1"], Some(&clients));
    let (address, received) = start(Some(settings)).await;
    let showing = |by: &Authority| {
        let (chain, key) = by.certificate("laneway.example", LATER);
        TlsOptions { client_certificate: Some((chain, Secret::new(key))), ..trusting(&authority) }
    };
    for refused in [trusting(&authority), showing(&authority)] {
        retry_reason(deliver(&sink(address.port(), refused), event("a")).await);
    }
    assert!(received.lock().unwrap().requests.is_empty());
    assert_eq!(deliver(&sink(address.port(), showing(&clients)), event("a")).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_a_retry() {
    let (address, received) = start(None).await;
    let reason = retry_reason(deliver(&sink(address.port(), TlsOptions::default()), event("a")).await);
    assert!(reason.contains("TLS handshake"), "{reason}");
    assert!(received.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_retry_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{NAME}:{}/", listener.local_addr().unwrap().port());
    let settings = WebhookConfig { timeout: Duration::from_millis(300), ..config(url) };
    let sink = WebhookSink::with_resolver(settings, Arc::new(ThisMachine)).unwrap();
    let (reason, _held) = tokio::join!(async { retry_reason(deliver(&sink, event("a")).await) }, listener.accept());
    assert!(reason.contains("the TLS handshake with hooks.example does not end"), "{reason}");
}

#[tokio::test]
async fn only_what_was_asked_for_is_negotiated() {
    let authority = Authority::new();
    let versions = [
        (HttpVersion::Auto, ["h2", "http/1.1"].as_slice(), Some(http::Version::HTTP_2)),
        (HttpVersion::Auto, &["http/1.1"], Some(http::Version::HTTP_11)),
        (HttpVersion::Auto, &[], Some(http::Version::HTTP_11)),
        (HttpVersion::Http1, &["h2", "http/1.1"], Some(http::Version::HTTP_11)),
        (HttpVersion::Http2, &["h2", "http/1.1"], Some(http::Version::HTTP_2)),
        (HttpVersion::Http2, &["http/1.1"], None),
        (HttpVersion::Http2, &[], None),
    ];
    for (wanted, offered, expected) in versions {
        let (address, received) = start(Some(server_config(&authority.certificate(NAME, LATER), offered, None))).await;
        let url = format!("https://{NAME}:{}/", address.port());
        let sink = with(WebhookConfig { http: wanted, tls: trusting(&authority), ..config(url) });
        let outcome = deliver(&sink, event("a")).await;
        let got = received.lock().unwrap().requests.first().map(|(version, ..)| *version);
        assert_eq!(got, expected, "{wanted:?} {offered:?}");
        assert_eq!(outcome == Outcome::Delivered, expected.is_some());
    }
}
