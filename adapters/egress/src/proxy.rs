//! The guard for sinks whose driver opens its own connections: a SOCKS5 proxy (RFC 1928) of this
//! process, which connects to what the guard permits and to nothing else.
//!
//! The driver hands over the name as it has it. So the address that is connected to is the one that
//! was checked, whoever named the host: a URL, an SRV record, or a member of a replica set. A check
//! beside the driver could not say that, since the driver would look the name up once more.

mod handshake;
mod relay;

use crate::connections::Placed;
use crate::dial::Dial;
use crate::error::ConnectError;
use crate::guard::Guard;
use crate::route::Route;
use handshake::{Login, Refusal, Request};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// How long a client has for its part of the handshake. It is in this process: it needs microseconds.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The most handshakes at once; further clients wait in the listener's queue. Other programs of this machine
/// can reach the listener too, and without the password this is all that they can take.
const MAX_HANDSHAKES: usize = 64;
/// How long a connection may take, if the driver waits that long.
const CONNECT: Duration = Duration::from_secs(30);
/// How long is waited after an accept that failed, which it does when there are no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// The most hosts of which the ways, and what was wrong, are kept. A replica set has at most 50
/// members; what a hostile one names beyond that is connected to in the same way, and forgotten.
const MAX_HOSTS: usize = 64;

/// A SOCKS5 proxy on a loopback address, for one driver. It ends when this is dropped, and its
/// connections with it.
pub struct GuardedProxy {
    address: SocketAddr,
    login: Login,
    troubles: Arc<Troubles>,
    serving: AbortHandle,
}

impl GuardedProxy {
    /// Begins to listen, on a port that the system chooses.
    ///
    /// # Errors
    /// If there is no port or file descriptor left.
    pub async fn start<D: Dial>(guard: Guard<D>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let login = Login::random();
        let troubles = Arc::new(Troubles::default());
        let shared = Shared { login: login.clone(), ways: Mutex::default(), troubles: Arc::clone(&troubles), guard };
        let serving = tokio::spawn(serve(listener, Arc::new(shared))).abort_handle();
        Ok(Self { address, login, troubles, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and password, random, without which nobody is let through.
    #[must_use]
    pub fn login(&self) -> (&str, &str) {
        (self.login.user(), self.login.password())
    }

    /// Why the last connection to each host failed, or that one waits for its place, in the order of the hosts; nothing
    /// of a host that was connected to since. SOCKS has only a number to say it with.
    #[must_use]
    pub fn troubles(&self) -> Vec<Arc<ConnectError>> {
        self.troubles.all()
    }
}

impl Drop for GuardedProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for GuardedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A host, as text, and a port.
type Place = (String, u16);

/// What is wrong, by place.
#[derive(Default)]
struct Troubles(Mutex<BTreeMap<Place, Arc<ConnectError>>>);

impl Troubles {
    fn all(&self) -> Vec<Arc<ConnectError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn note(&self, to: &Request, error: Option<Arc<ConnectError>>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (to.host.to_string(), to.port);
        match error {
            None => drop(troubles.remove(&place)),
            Some(error) if troubles.len() < MAX_HOSTS || troubles.contains_key(&place) => {
                troubles.insert(place, error);
            }
            Some(_) => {}
        }
    }

    /// There is a place for a connection there. What else was wrong stays until that is there.
    fn has_place(&self, to: &Request) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (to.host.to_string(), to.port);
        if troubles.get(&place).is_some_and(|trouble| matches!(**trouble, ConnectError::NoPlace { .. })) {
            troubles.remove(&place);
        }
    }
}

struct Shared<D> {
    guard: Guard<D>,
    login: Login,
    /// One for each host, so that a name is looked up once for all who wait for it.
    ways: Mutex<BTreeMap<Place, Arc<Route<D>>>>,
    troubles: Arc<Troubles>,
}

impl<D: Dial> Shared<D> {
    fn way(&self, to: &Request) -> Arc<Route<D>> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (to.host.to_string(), to.port);
        if let Some(way) = ways.get(&place) {
            return Arc::clone(way);
        }
        let way = Arc::new(self.guard.route(to.host.clone(), to.port));
        if ways.len() < MAX_HOSTS {
            ways.insert(place, Arc::clone(&way));
        }
        way
    }

    async fn connect(&self, to: &Request) -> Result<Placed<D::Stream>, Refusal> {
        let (way, deadline) = (self.way(to), Instant::now() + CONNECT);
        if way.is_crowded() {
            // A driver gives up before a place comes free, and then wants to know what it waited for.
            self.troubles.note(to, Some(Arc::new(way.no_place())));
        }
        let connected = async {
            let place = way.place(deadline).await?;
            self.troubles.has_place(to);
            way.connect_in(place, deadline).await
        };
        let connected = connected.await.map_err(Arc::new);
        self.troubles.note(to, connected.as_ref().err().cloned());
        connected.map_err(|error| Refusal::of(&error))
    }
}

/// Accepts until it is aborted; its connections are its tasks, and end with it.
async fn serve<D: Dial>(listener: TcpListener, shared: Arc<Shared<D>>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let accept = async || {
        // The semaphore is never closed.
        let permit = Arc::clone(&handshakes).acquire_owned().await.ok();
        (listener.accept().await, permit)
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (accepted, permit) = accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(carry(client, Arc::clone(&shared), permit))),
                Err(error) => {
                    tracing::debug!(%error, "the egress guard's proxy cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection of the driver, from its greeting to its end. What goes wrong here is the driver's to tell.
async fn carry<D: Dial>(mut client: TcpStream, shared: Arc<Shared<D>>, permit: Option<OwnedSemaphorePermit>) {
    let _ = client.set_nodelay(true);
    let deadline = Instant::now() + HANDSHAKE;
    let asked = timeout_at(deadline, handshake::accept(&mut client, &shared.login)).await;
    drop(permit);
    let Ok(Ok(to)) = asked else { return };
    // A driver that no longer waits has closed its side: nothing is connected for nobody.
    let connected = tokio::select! {
        connected = shared.connect(&to) => connected,
        () = relay::closed(&client) => return,
    };
    match connected {
        Ok(server) => {
            if handshake::connected(&mut client).await.is_ok() {
                relay::relay(client, server).await;
            }
        }
        Err(refusal) => drop(handshake::refuse(&mut client, refusal).await),
    }
}

#[cfg(test)]
mod tests;
