//! From a name to its addresses.

use async_trait::async_trait;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How many names the operating system's resolver looks up at once. Each takes a blocking thread of the runtime until
/// the resolver gives up, 10 to 30 s where a name server is dead; those of the runtime that it leaves are for everybody
/// else (see [`tokio::runtime::Builder::max_blocking_threads`]), so that names which nobody can look up stop no reads
/// of a store. A thread that waits takes some 20 KB.
pub const MAX_LOOK_UPS: usize = 1024;

/// How many of them may be of names whose last look-up was slow. So the names of dead name servers, however many, keep
/// those of healthy ones waiting once, and not each time.
const MAX_SLOW: usize = MAX_LOOK_UPS / 2;
/// A look-up that takes longer is slow. Most take milliseconds; the resolver asks a second time after 5 s.
const SLOW: Duration = Duration::from_secs(3);
/// Of how many names it is known that they are slow, in 8 bytes each: of more than there are destinations. Others count
/// as quick.
const MAX_KNOWN: usize = 100_000;

static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(MAX_LOOK_UPS, MAX_SLOW));

/// Whose turn it is to be looked up.
struct Turns {
    all: Semaphore,
    of_slow: Semaphore,
    /// Names whose last look-up was slow, by their hashes.
    slow: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

/// A turn, until it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    name: u64,
    begun: Instant,
    _one: SemaphorePermit<'a>,
    _of_slow: Option<SemaphorePermit<'a>>,
}

impl Turns {
    fn new(most: usize, slow: usize) -> Self {
        let (all, of_slow) = (Semaphore::new(most), Semaphore::new(slow));
        Self { all, of_slow, slow: Mutex::default(), hasher: RandomState::new() }
    }

    async fn take(&self, host: &str) -> io::Result<Turn<'_>> {
        let name = self.hasher.hash_one(host);
        let is_slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner).contains(&name);
        let of_slow = if is_slow { Some(self.of_slow.acquire().await.map_err(io::Error::other)?) } else { None };
        let one = self.all.acquire().await.map_err(io::Error::other)?;
        Ok(Turn { turns: self, name, begun: Instant::now(), _one: one, _of_slow: of_slow })
    }
}

/// Whatever came of the look-up: how long it took is what counts.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut slow = self.turns.slow.lock().unwrap_or_else(PoisonError::into_inner);
        if self.begun.elapsed() < SLOW {
            slow.remove(&self.name);
        } else if slow.len() < MAX_KNOWN {
            slow.insert(self.name);
        }
    }
}

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
        let _turn = TURNS.take(host).await?;
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
        let all = TURNS.all.acquire_many(MAX_LOOK_UPS.try_into().unwrap()).await.unwrap();
        let mut asked = pin!(SystemResolver.resolve("localhost", 80));
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(asked.as_mut().now_or_never().is_none(), "all turns are taken");
        drop(all);
        assert!(!asked.await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_slow_leave_turns_to_others_and_are_slow_until_they_are_quick() {
        let turns = Turns::new(4, 2);
        let dead = ["a.dead", "b.dead", "c.dead", "d.dead"];
        // Nothing is known of them yet.
        let mut taken = Vec::new();
        for name in dead {
            taken.push(turns.take(name).now_or_never().unwrap().unwrap());
        }
        assert!(turns.take("healthy").now_or_never().is_none());
        tokio::time::advance(SLOW).await;
        taken.clear();
        taken.extend(dead.iter().filter_map(|name| turns.take(name).now_or_never()).map(Result::unwrap));
        assert_eq!(taken.len(), 2);
        for _ in 0..2 {
            taken.push(turns.take("healthy").now_or_never().unwrap().unwrap());
        }
        // Two of them were quick this time.
        taken.clear();
        taken.extend(dead.iter().filter_map(|name| turns.take(name).now_or_never()).map(Result::unwrap));
        assert_eq!(taken.len(), 4);
    }
}
