//! The egress corpus with real connections, where every address there is leads to this machine: what
//! is permitted is connected to, at exactly that address, and nothing else is.

use crate::events::{deliver, event, retry_reason};
use ipnet::IpNet;
use laneway_domain::Outcome;
use laneway_egress::corpus::*;
use laneway_webhook::{EgressPolicy, Resolve, WebhookConfig, WebhookConfigError, WebhookSink};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use url::{Host, Url};

/// A receiver at all addresses of one port; says at which of them each connection came in.
async fn receiver() -> (u16, UnboundedReceiver<IpAddr>) {
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tell.send(stream.local_addr().unwrap().ip().to_canonical()).unwrap();
            tokio::spawn(answer(stream));
        }
    });
    (port, told)
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"12.50 }") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n").await
}

/// Resolves every name to this.
struct To(IpAddr);

#[async_trait::async_trait]
impl Resolve for To {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(self.0, port)])
    }
}

fn settings(url: &str, port: u16, allow: &[IpNet]) -> WebhookConfig {
    let mut url = Url::parse(url).unwrap();
    url.set_scheme("http").unwrap();
    url.set_port(Some(port)).unwrap();
    let egress = EgressPolicy::allowing(allow.iter().copied());
    WebhookConfig { egress, timeout: Duration::from_secs(5), ..WebhookConfig::new(url) }
}

/// Delivers to a name that resolves to `address`.
async fn deliver_to(address: IpAddr, port: u16, allow: &[IpNet]) -> Outcome {
    let settings = settings("http://hooks.example/", port, allow);
    deliver(&WebhookSink::with_resolver(settings, Arc::new(To(address))).unwrap(), event("a")).await
}

async fn permitted(port: u16, connections: &mut UnboundedReceiver<IpAddr>) -> usize {
    let mut count = 0;
    for text in words(PERMITTED_ADDRESSES) {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(deliver_to(address, port, &[]).await, Outcome::Delivered, "{text}");
        assert_eq!(connections.try_recv(), Ok(address.to_canonical()), "{text}");
        count += 1;
    }
    for text in words(PERMITTED_URLS) {
        let settings = settings(text, port, &[]);
        let expected = match Url::parse(text).unwrap().host().unwrap() {
            Host::Ipv4(v4) => v4.into(),
            Host::Ipv6(v6) => IpAddr::from(v6).to_canonical(),
            // Only names are asked for.
            Host::Domain(_) => IpAddr::from([9, 9, 9, 9]),
        };
        let sink = WebhookSink::with_resolver(settings, Arc::new(To([9, 9, 9, 9].into()))).unwrap();
        assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered, "{text}");
        assert_eq!(connections.try_recv(), Ok(expected), "{text}");
        count += 1;
    }
    count
}

async fn blocked(port: u16, connections: &mut UnboundedReceiver<IpAddr>) -> usize {
    let mut count = 0;
    for text in words(BLOCKED_ADDRESSES) {
        let reason = retry_reason(deliver_to(text.parse().unwrap(), port, &[]).await);
        assert!(reason.contains("egress.allow"), "{text}: {reason}");
        count += 1;
    }
    for text in words(BLOCKED_URLS) {
        let made = WebhookSink::new(settings(text, port, &[]));
        assert!(matches!(made, Err(WebhookConfigError::Egress(_))), "{text}");
        count += 1;
    }
    for text in words(UNREADABLE_URLS) {
        let made = WebhookSink::new(WebhookConfig::new(text));
        assert!(matches!(made, Err(WebhookConfigError::Url { .. })), "{text}");
        count += 1;
    }
    assert!(connections.try_recv().is_err(), "something that is blocked was connected to");
    count
}

/// What an operator opens works too, if it is an address that TCP can have.
async fn opened(port: u16, connections: &mut UnboundedReceiver<IpAddr>) -> usize {
    let mut count = 0;
    for text in words(BLOCKED_ADDRESSES) {
        let address: IpAddr = text.parse().unwrap();
        let mut policy = EgressPolicy::default();
        while let Err(blocked) = policy.check(address) {
            policy.allow.push(blocked.open);
        }
        match deliver_to(address, port, &policy.allow).await {
            Outcome::Delivered => {
                let at = connections.try_recv().unwrap();
                // The unspecified address is the loopback's other name.
                assert!(at == address.to_canonical() || address.to_canonical().is_unspecified(), "{text} led to {at}");
                count += 1;
            }
            other => {
                let reason = retry_reason(other);
                assert!(!is_unicast(address), "{text}: {reason}");
            }
        }
    }
    count
}

fn is_unicast(address: IpAddr) -> bool {
    match address.to_canonical() {
        // Not "this network", and not the ends of the loopback's range, which are broadcasts.
        IpAddr::V4(v4) => !matches!(v4.octets(), [0 | 224.., ..] | [127, 255, 255, 255] | [127, 0, 0, 0]),
        // What Linux has a use of its own for.
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unicast_link_local() || v6.segments()[..6] == [0; 6]),
    }
}

async fn inside() {
    let (port, mut connections) = receiver().await;
    let permitted = permitted(port, &mut connections).await;
    let blocked = blocked(port, &mut connections).await;
    let opened = opened(port, &mut connections).await;
    println!("{permitted} permitted and connected to, {blocked} refused, {opened} opened and connected to");
    assert!(permitted + blocked >= 300 && opened >= 100);
}

#[tokio::test]
async fn what_is_permitted_is_connected_to_and_nothing_else_is() {
    if network::is_here("egress::what_is_permitted_is_connected_to_and_nothing_else_is") {
        inside().await;
    }
}
