//! HTTP/2: one connection for many deliveries at once, and what becomes of them when it goes away.

use crate::events::{SECRET, ThisMachine, config, deliver, event, retry_reason};
use crate::tls_receiver::{Authority, server_config, start};
use bytes::Bytes;
use laneway_domain::{Event, Outcome};
use laneway_webhook::{HttpVersion, Secret, TlsOptions, WebhookConfig, WebhookSink};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

fn prior_knowledge(address: SocketAddr) -> WebhookSink {
    let settings = WebhookConfig {
        http: HttpVersion::Http2,
        timeout: Duration::from_secs(5),
        secrets: vec![Secret::new(SECRET)],
        ..config(format!("http://{address}/hooks"))
    };
    WebhookSink::new(settings).unwrap()
}

#[tokio::test]
async fn with_prior_knowledge_many_deliveries_share_a_connection() {
    let (address, received) = start(None).await;
    let sink = prior_knowledge(address);
    let deliveries = (0..300).map(|n| deliver(&sink, Event { data: Bytes::from(format!("{n}")), ..event("a") }));
    for outcome in futures_util::future::join_all(deliveries).await {
        assert_eq!(outcome, Outcome::Delivered);
    }
    let received = received.lock().unwrap();
    assert_eq!((received.requests.len(), received.connections), (300, 1));
    for (version, body, headers) in &received.requests {
        assert_eq!(*version, http::Version::HTTP_2);
        standardwebhooks::Webhook::new(SECRET).unwrap().verify(body, headers).unwrap();
    }
}

#[tokio::test]
async fn over_tls_many_deliveries_end_up_on_a_connection() {
    let authority = Authority::new();
    let settings = server_config(&authority.certificate("hooks.example", 2090), &["h2"], None);
    let (address, received) = start(Some(settings)).await;
    let tls = TlsOptions { ca: Some(authority.pem()), client_certificate: None };
    let settings = WebhookConfig { tls, ..config(format!("https://hooks.example:{}/", address.port())) };
    let sink = WebhookSink::with_resolver(settings, Arc::new(ThisMachine)).unwrap();
    for _ in 0..3 {
        let before = received.lock().unwrap().connections;
        let deliveries = (0..50).map(|_| deliver(&sink, event("a")));
        for outcome in futures_util::future::join_all(deliveries).await {
            assert_eq!(outcome, Outcome::Delivered);
        }
        let after = received.lock().unwrap().connections;
        assert!(before == 0 || after == before, "a later round needs no new connection");
    }
}

#[tokio::test]
async fn a_receiver_that_speaks_no_http2_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = prior_knowledge(listener.local_addr().unwrap());
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (reason, _held) = tokio::join!(async { retry_reason(deliver(&sink, event("a")).await) }, answer);
    assert!(reason.contains("before an answer came"), "{reason}");
}

#[tokio::test]
async fn a_connection_that_went_away_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = prior_knowledge(listener.local_addr().unwrap());
    for _ in 0..3 {
        let answer = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            respond.send_response(http::Response::new(()), true).unwrap();
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        };
        let (outcome, ()) = tokio::join!(deliver(&sink, event("a")), answer);
        assert_eq!(outcome, Outcome::Delivered);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = prior_knowledge(listener.local_addr().unwrap());
    let answer = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
        while connection.accept().await.is_some() {}
    };
    tokio::select! {
        outcome = deliver(&sink, event("a")) => { retry_reason(outcome); }
        () = answer => panic!("the connection ended first"),
    }
}

#[tokio::test]
async fn a_connection_whose_other_end_vanished_costs_an_attempt_and_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let settings = WebhookConfig { http: HttpVersion::Http2, timeout: Duration::from_millis(900), ..config(url) };
    let sink = WebhookSink::new(settings).unwrap();
    let (first, vanished) = tokio::join!(deliver(&sink, event("a")), answer_one(&listener));
    assert_eq!(first, Outcome::Delivered);
    // Nobody drives the other end any more: nothing is read, no ping answered, nothing closed.
    let reason = retry_reason(deliver(&sink, event("a")).await);
    assert!(reason.contains("before an answer came"), "{reason}");
    let (third, _open) = tokio::join!(deliver(&sink, event("a")), answer_one(&listener));
    assert_eq!(third, Outcome::Delivered);
    drop(vanished);
}

/// Takes a connection and answers one request on it.
async fn answer_one(listener: &TcpListener) -> h2::server::Connection<tokio::net::TcpStream, Bytes> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    respond.send_response(http::Response::new(()), true).unwrap();
    // Long enough to write the answer and no longer.
    let flushed = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
    assert!(flushed.is_err(), "another request came");
    connection
}
