//! Where connections come from: the system's TCP, or whatever a simulation has in its place.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// What [`serve`](crate::serve) accepts connections from.
pub trait Listen: Send + Sync + 'static {
    /// A connection.
    type Stream: Peek;

    /// The next connection. Nothing is lost when the future is dropped.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A connection that can be looked at before it is read.
pub trait Peek: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Waits for the first bytes and copies them; they are still there to be read. Returns how many
    /// they are, 0 at the connection's end.
    fn peek(&mut self, begin: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// If the system does not do it; the connection works all the same.
    fn set_nodelay(&self) -> io::Result<()>;

    /// Who is at the other end; `None` if that is not known.
    fn peer(&self) -> Option<IpAddr>;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// One that several servers have, one after the other.
impl<L: Listen> Listen for Arc<L> {
    type Stream = L::Stream;

    async fn accept(&self) -> io::Result<L::Stream> {
        L::accept(self).await
    }
}

impl Peek for TcpStream {
    async fn peek(&mut self, begin: &mut [u8]) -> io::Result<usize> {
        Self::peek(self, begin).await
    }

    fn set_nodelay(&self) -> io::Result<()> {
        Self::set_nodelay(self, true)
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|address| address.ip().to_canonical())
    }
}
