//! From a name to its addresses.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use tokio::sync::Semaphore;

/// How many names the operating system's resolver looks up at once. Each takes a blocking thread of the runtime until
/// the resolver gives up, 10 to 30 s where a name server is dead; those of the runtime that it leaves are for everybody
/// else (see [`tokio::runtime::Builder::max_blocking_threads`]), so that names which nobody can look up stop no reads
/// of a store. A thread that waits takes some 20 KB.
pub const MAX_LOOK_UPS: usize = 1024;

static TURNS: Semaphore = Semaphore::const_new(MAX_LOOK_UPS);

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
        let _turn = TURNS.acquire().await.map_err(io::Error::other)?;
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::pin::pin;

    #[tokio::test]
    async fn a_look_up_waits_for_its_turn() {
        let all = TURNS.acquire_many(MAX_LOOK_UPS.try_into().unwrap()).await.unwrap();
        let mut asked = pin!(SystemResolver.resolve("localhost", 80));
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(asked.as_mut().now_or_never().is_none(), "all turns are taken");
        drop(all);
        assert!(!asked.await.unwrap().is_empty());
    }
}
