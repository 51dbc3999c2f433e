//! From a destination's name to a connection: look-up, egress guard, TCP, TLS.

use crate::dial::Dial;
use crate::egress::{Blocked, EgressPolicy};
use crate::lookup::LookUps;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryFutureExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

/// How long the next address waits for the one before it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried; all are checked. More than any sensible name has,
/// and it bounds the sockets that one hostile answer can make us open.
const MAX_ADDRESSES_TRIED: usize = 8;

/// Why there is no connection. The text names the host or address, never the rest of the URL.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the name {host} could not be looked up: {why}")]
    LookUp { host: String, why: Arc<str> },
    #[error("the name {host} has no address")]
    NoAddress { host: String },
    #[error("{host} resolves to an address that is not permitted: {blocked}")]
    Blocked { host: String, blocked: Blocked },
    #[error("{host} resolves to {address}, whose zone would choose a network interface of this machine; not permitted")]
    Zone { host: String, address: SocketAddr },
    #[error("could not connect to {address}: {error}")]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("the TLS handshake with {host} failed: {error}")]
    Tls { host: String, error: io::Error },
    #[error("no connection within {after:?}: {doing}")]
    TimedOut { after: Duration, doing: String },
    #[error("{host} did not choose HTTP/2, the only version that the settings permit")]
    NotHttp2 { host: String },
}

/// Connects to one destination.
pub(crate) struct Connector<D> {
    pub(crate) dial: D,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) egress: EgressPolicy,
    pub(crate) look_ups: LookUps,
    /// `None` for `http://`.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Whether the receiver has to choose HTTP/2 in the TLS handshake.
    pub(crate) require_http2: bool,
    /// The most time for a connection, from the look-up to the end of the TLS handshake. A little
    /// less than the whole exchange has, so that what took the time is what gets reported.
    pub(crate) timeout: Duration,
}

impl<D: Dial> Connector<D> {
    /// Opens a connection, TLS included. The addresses are looked up each time, checked all, and
    /// one of exactly those is connected to: between check and use nothing is looked up again.
    pub(crate) async fn connect(&self) -> Result<Stream<D::Stream>, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        let host = &self.host;
        let found = self.within(deadline, self.look_up(), || format!("still looking up {host}")).await?;
        let addresses = in_turns(self.permitted(found)?);
        let connecting = || format!("{} of {host} did not take a connection", listed(&addresses));
        let tcp = self.within(deadline, first_to_connect(&self.dial, &addresses), connecting).await?;
        let Some((config, name)) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
        let handshake = handshake.map_err(|error| ConnectError::Tls { host: host.to_string(), error });
        let tls = self.within(deadline, handshake, || format!("the TLS handshake with {host} does not end")).await?;
        if self.require_http2 && !is_http2(&tls) {
            return Err(ConnectError::NotHttp2 { host: host.to_string() });
        }
        Ok(Stream::Tls(Box::new(tls)))
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        step: impl Future<Output = Result<T, ConnectError>>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, ConnectError> {
        let late = |_| Err(ConnectError::TimedOut { after: self.timeout, doing: doing() });
        timeout_at(deadline, step).await.unwrap_or_else(late)
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        match &self.host {
            Host::Ipv4(v4) => Ok(vec![SocketAddr::new((*v4).into(), self.port)]),
            Host::Ipv6(v6) => Ok(vec![SocketAddr::new((*v6).into(), self.port)]),
            Host::Domain(name) => self.look_ups.addresses(name, self.port).await,
        }
    }

    /// One forbidden address refuses the name: an answer that mixes both is an attack or a
    /// mistake, and would otherwise work by luck.
    fn permitted(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
        let host = || self.host.to_string();
        for &address in &found {
            self.egress.check(address.ip()).map_err(|blocked| ConnectError::Blocked { host: host(), blocked })?;
            if matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0) {
                return Err(ConnectError::Zone { host: host(), address });
            }
        }
        Ok(found)
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// The addresses in the resolver's order, but with the families taking turns, so that one family
/// without a route costs one wait and not one per address (RFC 8305, section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == begins_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || out.len() >= MAX_ADDRESSES_TRIED {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

/// Connects to the addresses in their order, each a little after the one before or as soon as that
/// one failed; the first connection wins and the others are dropped.
async fn first_to_connect<D: Dial>(dial: &D, addresses: &[SocketAddr]) -> Result<D::Stream, ConnectError> {
    let mut waiting = addresses.iter().copied();
    let mut connecting = FuturesUnordered::new();
    let mut failed = None;
    loop {
        let more = waiting.next().map(|address| connecting.push(connect_to(dial, address))).is_some();
        let ended = if more {
            tokio::time::timeout(NEXT_ADDRESS_AFTER, connecting.next()).await.ok()
        } else {
            Some(connecting.next().await)
        };
        match ended {
            Some(Some(Ok(tcp))) => return Ok(tcp),
            Some(Some(Err(error))) => failed = failed.or(Some(error)),
            Some(None) => return Err(failed.unwrap_or(ConnectError::NoAddress { host: String::new() })),
            None => {}
        }
    }
}

async fn connect_to<D: Dial>(dial: &D, address: SocketAddr) -> Result<D::Stream, ConnectError> {
    dial.dial(address).await.map_err(|error| ConnectError::Tcp { address, error })
}

fn is_http2<S>(tls: &TlsStream<S>) -> bool {
    tls.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// A connection, with or without TLS.
pub(crate) enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S> Stream<S> {
    /// Whether the TLS handshake chose HTTP/2.
    pub(crate) fn chose_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if is_http2(tls))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_beginning_with_the_resolvers_choice() {
        let parse = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parse(&["[2600::1]:1", "[2600::2]:1", "[2600::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let turns = parse(&["[2600::1]:1", "1.1.1.1:1", "[2600::2]:1", "1.1.1.2:1", "[2600::3]:1"]);
        assert_eq!(in_turns(found), turns);
        assert_eq!(in_turns(vec!["1.1.1.1:1".parse().unwrap(); 50]).len(), MAX_ADDRESSES_TRIED);
    }
}
