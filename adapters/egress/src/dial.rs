//! TCP connections: the system's, or whatever a simulation has in its place.

use socket2::{SockRef, TcpKeepalive};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a connection is idle before TCP asks the other end for a sign of life. What the drivers of
/// databases use; shorter than what firewalls forget idle connections after (commonly 5 minutes).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);

/// Opens TCP connections. It is given only addresses that the egress guard has let through.
pub trait Dial: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to `address`. Whoever calls bounds the time.
    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// The system's TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect(address).await?;
        // Requests are written whole; waiting for more of them would only add latency.
        let _ = tcp.set_nodelay(true);
        // A connection that is idle for long stays known to the firewalls on its way, or is found dead.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&keepalive);
        Ok(tcp)
    }
}
