//! From a destination's name to a connection: the egress guard, then TLS.

use futures_util::TryFutureExt;
use laneway_egress::{Dial, Placed, Route, Usage};
use laneway_tls::tls_error_in_words;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no connection. The text names the host or address, never the rest of the URL.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Egress(laneway_egress::ConnectError),
    #[error("the TLS handshake with {host} failed: {}", tls_error_in_words(error).unwrap_or_else(|| error.to_string()))]
    Tls { host: String, error: io::Error },
    #[error("no connection within {after:?}: {doing}")]
    TimedOut { after: Duration, doing: String },
    #[error("{host} did not choose HTTP/2, the only version that the settings permit")]
    NotHttp2 { host: String },
    #[error("HTTP/1 cannot be spoken over the connection")]
    Unusable,
}

impl ConnectError {
    /// Whether this machine lacked something for it ([`laneway_ports::is_shortage`]).
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Self::Egress(error) => error.is_shortage(laneway_ports::is_shortage),
            Self::Tls { error, .. } => laneway_ports::is_shortage(error),
            Self::TimedOut { .. } | Self::NotHttp2 { .. } | Self::Unusable => false,
        }
    }
}

/// Connects to one destination.
pub(crate) struct Connector<D> {
    pub(crate) route: Route<D>,
    /// `None` for `http://`.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Whether the receiver has to choose HTTP/2 in the TLS handshake.
    pub(crate) require_http2: bool,
    /// The most time for a connection, from the look-up to the end of the TLS handshake. A little
    /// less than the whole exchange has, so that what took the time is what gets reported.
    pub(crate) timeout: Duration,
}

impl<D: Dial> Connector<D> {
    /// Opens a connection, TLS included, to an address that the guard has let through.
    pub(crate) async fn connect(&self) -> Result<Stream<Placed<D::Stream>>, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        let stream = self.connect_by(deadline).await?;
        // What is ready at once is not interrupted by a deadline, also where this machine stood still meanwhile.
        if Instant::now() >= deadline {
            return Err(self.late(format!("the connection to {} came too late", self.route.host())));
        }
        Ok(stream)
    }

    async fn connect_by(&self, deadline: Instant) -> Result<Stream<Placed<D::Stream>>, ConnectError> {
        let mut tcp = self.route.connect(deadline).await.map_err(|error| self.not_connected(error))?;
        let Some((config, name)) = &self.tls else {
            tcp.give_way_when_idle();
            return Ok(Stream::Plain(tcp));
        };
        let host = || self.route.host().to_string();
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
        let handshake = handshake.map_err(|error| ConnectError::Tls { host: host(), error });
        let late = |_| Err(self.late(format!("the TLS handshake with {} does not end", host())));
        let mut tls = timeout_at(deadline, handshake).await.unwrap_or_else(late)?;
        if self.require_http2 && !is_http2(&tls) {
            return Err(ConnectError::NotHttp2 { host: host() });
        }
        tls.get_mut().0.give_way_when_idle();
        Ok(Stream::Tls(Box::new(tls)))
    }

    fn not_connected(&self, error: laneway_egress::ConnectError) -> ConnectError {
        match error {
            laneway_egress::ConnectError::Late { doing } => self.late(doing),
            error => ConnectError::Egress(error),
        }
    }

    fn late(&self, doing: String) -> ConnectError {
        ConnectError::TimedOut { after: self.timeout, doing }
    }
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

impl<S> Stream<Placed<S>> {
    /// Where it is said whether it is in use.
    pub(crate) fn usage(&self) -> &Usage {
        match self {
            Self::Plain(tcp) => tcp.usage(),
            Self::Tls(tls) => tls.get_ref().0.usage(),
        }
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
