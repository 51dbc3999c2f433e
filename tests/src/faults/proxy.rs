//! A TCP proxy between two processes, whose network can be bad.

use crate::ports;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How much is passed on at a time.
const PIECE: usize = 16 << 10;

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Every piece is passed on this much later.
    pub latency: Duration,
    /// Connections stay open, new ones are taken, and nothing comes through.
    pub half_open: bool,
    /// New connections are closed at once.
    pub refusing: bool,
}

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u64>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// One on a port of its own, before this server.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn before(server: SocketAddr) -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let (weather, (cuts, connections)) =
            (watch::Sender::new(Weather::default()), (watch::Sender::new(0), Arc::new(AtomicUsize::new(0))));
        let task = tokio::spawn(accept(listener, server, weather.subscribe(), cuts.subscribe(), connections.clone()));
        Self { address, weather, cuts, connections, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the network is from now on.
    pub fn be(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Closes every connection, whatever is under way on it.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections there ever were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    weather: watch::Receiver<Weather>,
    cuts: watch::Receiver<u64>,
    connections: Arc<AtomicUsize>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                if !weather.borrow().refusing {
                    open.spawn(connect(stream, server, weather.clone(), cuts.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    weather: watch::Receiver<Weather>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pass(from_client, to_server, weather.clone());
    let back = pass(from_server, to_client, weather);
    tokio::pin!(there, back);
    tokio::select! {
        _ = cuts.changed() => {}
        () = &mut there => {}
        () = &mut back => {}
    }
}

/// Passes on what comes, until the end or a failure.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        // Half open: what was read is swallowed by waiting for better times.
        if weather.wait_for(|weather| !weather.half_open).await.is_err() {
            break;
        }
        let latency = weather.borrow().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
}
