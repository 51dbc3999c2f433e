//! One look-up at a time per way to a host.

use crate::error::ConnectError;
use crate::resolve::Resolve;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// After how long a look-up is no longer waited for by new attempts. Longer than the system's
/// resolver takes to give up (commonly 10 to 30 s); for resolvers that never do.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

type Found = Result<Arc<[SocketAddr]>, Arc<str>>;

/// Looks a host's name up, for all who need it at that moment.
///
/// The system's resolver occupies a thread until it is done, also when nobody waits any more. With
/// one look-up per attempt, a destination whose name server is dead would take one thread after the
/// other from everybody else; with one per destination it takes one.
pub(crate) struct LookUps {
    resolver: Arc<dyn Resolve>,
    running: Mutex<Option<Running>>,
}

struct Running {
    begun: Instant,
    found: Shared<BoxFuture<'static, Found>>,
}

impl LookUps {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, running: Mutex::new(None) }
    }

    /// The addresses of `host`, from a look-up that ended after this was called.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = self.running_or_new(host, port).await;
        match found {
            Ok(found) if found.is_empty() => Err(ConnectError::NoAddress { host: host.to_owned() }),
            Ok(found) => Ok(found.to_vec()),
            Err(why) => Err(ConnectError::LookUp { host: host.to_owned(), why }),
        }
    }

    fn running_or_new(&self, host: &str, port: u16) -> Shared<BoxFuture<'static, Found>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running
            && running.found.peek().is_none()
            && running.begun.elapsed() < ABANDONED_AFTER
        {
            return running.found.clone();
        }
        let (resolver, host) = (Arc::clone(&self.resolver), host.to_owned());
        // A task of its own: it goes on when the attempt that began it has timed out.
        let task = tokio::spawn(async move { resolver.resolve(&host, port).await });
        let found = task.map(|ended| match ended {
            Ok(Ok(found)) => Ok(found.into()),
            Ok(Err(error)) => Err(error.to_string().into()),
            Err(error) => Err(format!("the resolver failed: {error}").into()),
        });
        let found = found.boxed().shared();
        *running = Some(Running { begun: Instant::now(), found: found.clone() });
        found
    }
}
