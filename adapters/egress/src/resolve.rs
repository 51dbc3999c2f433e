//! From a name to its addresses.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;

/// Looks names up. A trait so that answers can be chosen: by tests, and by whoever has a resolver
/// of their own.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, each with `port`. `host` is a name in ASCII form, never an address.
    ///
    /// The answer is not trusted: every address is checked before one is connected to.
    ///
    /// # Errors
    /// If the name has no address or could not be looked up.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
