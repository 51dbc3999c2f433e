//! The simulated network as Laneway's adapters want it: what the server accepts from, what the
//! webhook sink dials with, and connections that are cut after so many bytes, in the middle of
//! whatever they carry.

use super::happenings::CUT;
use crate::seeded::{Chance, Tally};
use laneway_http::{Listen, Peek};
use laneway_webhook::Dial;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// A connection that is to be cut lives for fewer bytes than this, counted in both directions: a
/// few requests and answers of the simulation.
const CUT_WITHIN: u64 = 3000;

/// Decides which connections are cut, and after how many bytes.
pub(super) struct Scissors {
    chance: Mutex<Chance>,
    /// One connection in so many; 0 for none.
    one_in: u64,
    away: AtomicBool,
    tally: Tally,
}

impl Scissors {
    pub(super) fn new(chance: Chance, one_in: u64, tally: Tally) -> Arc<Self> {
        Arc::new(Self { chance: Mutex::new(chance), one_in, away: AtomicBool::new(false), tally })
    }

    /// From now on no connection is cut, not even one that was to be.
    pub(super) fn put_away(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    fn hold_to(self: &Arc<Self>, stream: TcpStream) -> Wire {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = self.one_in > 0 && chance.one_in(self.one_in);
        let left = cut.then(|| chance.below(CUT_WITHIN) as usize);
        Wire { stream, left, scissors: self.clone() }
    }
}

/// A simulated connection.
pub(super) struct Wire {
    stream: TcpStream,
    /// How many bytes it still carries; `None`: as many as there are.
    left: Option<usize>,
    scissors: Arc<Scissors>,
}

impl Wire {
    /// How many of `wanted` bytes go through.
    fn room(&self, wanted: usize) -> io::Result<usize> {
        match self.left {
            Some(left) if !self.scissors.away.load(Ordering::SeqCst) => {
                if left == 0 {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut"));
                }
                Ok(left.min(wanted))
            }
            _ => Ok(wanted),
        }
    }

    fn carried(&mut self, bytes: usize) {
        let Some(left) = &mut self.left else { return };
        *left = left.saturating_sub(bytes);
        if *left == 0 && bytes > 0 && !self.scissors.away.load(Ordering::SeqCst) {
            self.scissors.tally.count(CUT);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let mut part = vec![0; wire.room(buf.remaining())?];
        let mut read = ReadBuf::new(&mut part);
        std::task::ready!(Pin::new(&mut wire.stream).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        let bytes = read.filled().len();
        wire.carried(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let room = wire.room(buf.len())?;
        let bytes = std::task::ready!(Pin::new(&mut wire.stream).poll_write(cx, &buf[..room]))?;
        wire.carried(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Peek for Wire {
    async fn peek(&mut self, begin: &mut [u8]) -> io::Result<usize> {
        let room = self.room(begin.len())?;
        self.stream.peek(&mut begin[..room]).await
    }

    fn set_nodelay(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }

    fn peer(&self) -> Option<IpAddr> {
        self.stream.peer_addr().ok().map(|address| address.ip())
    }
}

/// Where producers connect to.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) scissors: Arc<Scissors>,
}

impl Listen for Door {
    type Stream = Wire;

    async fn accept(&self) -> io::Result<Wire> {
        let (stream, _) = self.listener.accept().await?;
        Ok(self.scissors.hold_to(stream))
    }
}

/// How the webhook sink connects.
pub(super) struct SimulatedTcp(pub(super) Arc<Scissors>);

impl Dial for SimulatedTcp {
    type Stream = Wire;

    async fn dial(&self, address: SocketAddr) -> io::Result<Wire> {
        Ok(self.0.hold_to(TcpStream::connect(address).await?))
    }
}

/// Scissors that cut nothing.
pub(super) fn none() -> Arc<Scissors> {
    Scissors::new(Chance::new(0), 0, super::happenings::tally())
}
