//! Names and their addresses: every one is checked at every look-up, and nothing else is connected to.

use crate::events::{config, deliver, event, retry_reason};
use async_trait::async_trait;
use laneway_domain::Outcome;
use laneway_webhook::{EgressPolicy, Resolve, WebhookConfig, WebhookSink};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Answers each look-up with the next of its answers.
struct Scripted {
    answers: Mutex<VecDeque<io::Result<Vec<SocketAddr>>>>,
    asked: Mutex<Vec<(String, u16)>>,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = io::Result<Vec<SocketAddr>>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<(String, u16)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push((host.to_owned(), port));
        let next = self.answers.lock().unwrap().pop_front();
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn addresses(port: u16, hosts: &[&str]) -> io::Result<Vec<SocketAddr>> {
    Ok(hosts.iter().map(|host| SocketAddr::new(host.parse::<IpAddr>().unwrap(), port)).collect())
}

/// A receiver on 127.0.0.1 that hangs up after each answer, so that every attempt looks up again.
async fn server() -> (MockServer, u16) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).insert_header("connection", "close");
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let port = server.address().port();
    (server, port)
}

fn sink(port: u16, resolver: &Arc<Scripted>) -> WebhookSink {
    let settings =
        WebhookConfig { timeout: Duration::from_secs(2), ..config(format!("http://hooks.example:{port}/secret")) };
    WebhookSink::with_resolver(settings, Arc::clone(resolver) as Arc<dyn Resolve>).unwrap()
}

#[tokio::test]
async fn a_name_is_looked_up_and_its_address_connected_to() {
    let (server, port) = server().await;
    let resolver = Scripted::new([addresses(port, &["127.0.0.1"])]);
    assert_eq!(deliver(&sink(port, &resolver), event("a")).await, Outcome::Delivered);
    assert_eq!(resolver.asked(), [("hooks.example".to_owned(), port)]);
    let host = server.received_requests().await.unwrap()[0].headers["host"].clone();
    assert_eq!(host, format!("hooks.example:{port}"));
}

#[tokio::test]
async fn one_forbidden_address_among_permitted_ones_refuses_the_name() {
    let (server, port) = server().await;
    for hosts in [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "::ffff:169.254.169.254"]] {
        let resolver = Scripted::new([addresses(port, &hosts)]);
        let reason = retry_reason(deliver(&sink(port, &resolver), event("a")).await);
        assert!(reason.contains("hooks.example") && reason.contains("egress.allow"), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_changes_between_two_look_ups_is_checked_again() {
    let (server, port) = server().await;
    let answers = [
        addresses(port, &["127.0.0.1"]),
        addresses(port, &["192.168.0.1"]),
        addresses(port, &["127.0.0.2", "127.0.0.1"]),
    ];
    let resolver = Scripted::new(answers);
    let sink = sink(port, &resolver);
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    let reason = retry_reason(deliver(&sink, event("b")).await);
    assert!(reason.contains("192.168.0.1"), "{reason}");
    assert_eq!(deliver(&sink, event("c")).await, Outcome::Delivered);
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
    assert_eq!(resolver.asked().len(), 3, "what is checked is what is connected to, with no look-up between");
}

#[tokio::test]
async fn an_address_with_a_zone_is_refused() {
    let zoned = SocketAddrV6::new("2606:4700::1".parse().unwrap(), 80, 0, 2);
    let resolver = Scripted::new([Ok(vec![zoned.into()])]);
    let reason = retry_reason(deliver(&sink(80, &resolver), event("a")).await);
    assert!(reason.contains("zone"), "{reason}");
}

#[tokio::test]
async fn an_address_that_refuses_gives_way_to_the_next() {
    let (_server, port) = server().await;
    // wiremock listens on 127.0.0.1 only, so that the others refuse.
    let resolver = Scripted::new([addresses(port, &["127.0.0.9", "127.0.0.8", "127.0.0.1"])]);
    assert_eq!(deliver(&sink(port, &resolver), event("a")).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_look_up_that_fails_or_finds_nothing_is_a_retry() {
    let resolver = Scripted::new([Err(io::Error::other("no such host")), Ok(Vec::new())]);
    let sink = sink(80, &resolver);
    let reason = retry_reason(deliver(&sink, event("a")).await);
    assert!(reason.contains("hooks.example") && reason.contains("no such host"), "{reason}");
    assert!(retry_reason(deliver(&sink, event("a")).await).contains("no address"));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_never_ends_is_a_retry_that_says_so() {
    let sink = sink(80, &Scripted::new([]));
    let reason = retry_reason(deliver(&sink, event("a")).await);
    assert!(reason.contains("still looking up hooks.example"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn attempts_share_a_look_up_that_is_under_way_until_it_is_given_up() {
    let resolver = Scripted::new([]);
    let sink = sink(80, &resolver);
    let attempts = (0..20).map(|_| async { retry_reason(deliver(&sink, event("a")).await) });
    futures_util::future::join_all(attempts).await;
    retry_reason(deliver(&sink, event("a")).await);
    assert_eq!(resolver.asked().len(), 1);
    tokio::time::advance(Duration::from_secs(60)).await;
    retry_reason(deliver(&sink, event("a")).await);
    assert_eq!(resolver.asked().len(), 2);
}

#[tokio::test]
async fn an_ipv6_address_can_be_the_host() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = MockServer::builder().listener(listener).start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    assert!(WebhookSink::new(config(&url)).is_err(), "only 127.0.0.0/8 is open");
    let egress = EgressPolicy::allowing(["::1/128".parse().unwrap()]);
    let sink = WebhookSink::new(WebhookConfig { egress, ..WebhookConfig::new(&url) }).unwrap();
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    let host = server.received_requests().await.unwrap()[0].headers["host"].clone();
    assert_eq!(host, url["http://".len()..url.len() - 1]);
}
