//! Connections over TLS, as they begin.

use crate::listen::Peek;
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{HeaderValue, Response};
use laneway_tls::{CurrentServer, Names, names_of};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// With what TLS begins: a record of a handshake (RFC 8446, section 5.1). Nothing of HTTP begins with it.
const HANDSHAKE: u8 = 22;
/// What is agreed on for HTTP/2 (RFC 7301).
const HTTP2: &[u8] = b"h2";
/// How a request came.
pub(crate) const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// A connection of which it is known what is spoken on it.
pub(crate) enum Begun<S> {
    /// Plain HTTP, as it should be.
    Plain { stream: S, is_http2: bool },
    /// TLS, with whom the client's certificate names; nobody, if it has shown none.
    Secure { stream: Box<TlsStream<S>>, is_http2: bool, names: Arc<Names> },
    /// Plain HTTP, where there should be TLS.
    NotTls { stream: S, is_http2: bool },
}

/// Whether a connection begins as TLS does. What it looks at is still there to be read.
pub(crate) async fn speaks_tls(stream: &mut impl Peek) -> io::Result<bool> {
    let mut begin = [0; 1];
    let length = stream.peek(&mut begin).await?;
    // One that ends at once is left to TLS, which says that it has ended.
    Ok(length == 0 || begin[0] == HANDSHAKE)
}

/// Shakes hands.
pub(crate) async fn accept<S: Peek>(stream: S, tls: &CurrentServer) -> io::Result<Begun<S>> {
    let stream = TlsAcceptor::from(tls.now().config()).accept(stream).await?;
    let (_, connection) = stream.get_ref();
    let is_http2 = connection.alpn_protocol() == Some(HTTP2);
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let names = Arc::new(certificate.map(names_of).unwrap_or_default());
    Ok(Begun::Secure { stream: Box::new(stream), is_http2, names })
}

/// What is said to whoever speaks plain HTTP.
pub(crate) fn not_tls() -> Response<Body> {
    let what = "this server speaks TLS on this port: write https:// in its URL";
    Problem::new(Kind::BadRequest, what).closing().into_response()
}
