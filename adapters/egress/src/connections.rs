//! How many connections a process may have to receivers at a time.
//!
//! Each takes one of the process's files, and those are for accepting and for the store too. So there is a bound over
//! all destinations. When it is reached, the connection that has been idle for longest is closed for whoever needs one,
//! of whatever destination it is; where none is idle, one waits for its turn.

use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a new connection is kept for whoever wanted it. After that it is idle: a client may have opened it in vain,
/// because another one was free sooner.
const KEPT_UNUSED: Duration = Duration::from_secs(1);
/// How often it is looked for an idle connection while somebody waits: whoever uses one does not say when it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The connections of a process. Clones are of the same.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    most: usize,
    free: Arc<Semaphore>,
    begun: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: BTreeMap<u64, Arc<Use>>,
}

/// What a connection does.
#[derive(Default)]
struct Use {
    /// [`IN_USE`], [`TOLD`], or since when it is idle, in milliseconds from the beginning and one. All in one, so that
    /// none is told to end that is just being used.
    state: AtomicU64,
    reader: AtomicWaker,
}

const IN_USE: u64 = 0;
/// It is to end.
const TOLD: u64 = u64::MAX;

/// Why a write failed: the connection was told to end, to make room for another one, before anything of a request went
/// over it. The request can go over another one.
#[derive(Clone, Copy, Debug, Error)]
#[error("the connection was closed to make room for another one, before anything was sent")]
pub struct GaveWay;

/// Whether an error is [`GaveWay`].
#[must_use]
pub fn gave_way(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<GaveWay>())
}

impl Connections {
    /// At most so many, and at least one.
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self(Arc::new(Shared { most, free, begun: Instant::now(), open: Mutex::default() }))
    }

    /// Whether all places are taken.
    #[must_use]
    pub fn are_all_taken(&self) -> bool {
        self.0.free.available_permits() == 0
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// A place for one more; `None` if there is none by `deadline`.
    pub(crate) async fn place(&self, deadline: Instant) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.0.free).try_acquire_owned() {
            return Some(self.placed(permit));
        }
        // In the order in which they came.
        let mut turn = std::pin::pin!(Arc::clone(&self.0.free).acquire_owned());
        let waiting = async {
            loop {
                self.0.close_idlest();
                if let Ok(turn) = timeout(LOOK_AGAIN, turn.as_mut()).await {
                    return turn.ok();
                }
            }
        };
        timeout_at(deadline, waiting).await.ok().flatten().map(|permit| self.placed(permit))
    }

    fn placed(&self, permit: OwnedSemaphorePermit) -> Place {
        let usage = Arc::new(Use::default());
        let mut open = self.0.lock();
        let name = open.next;
        open.next += 1;
        open.all.insert(name, Arc::clone(&usage));
        Place { of: Arc::clone(&self.0), name, usage, _permit: permit }
    }
}

impl Default for Connections {
    /// As many as anybody wants.
    fn default() -> Self {
        Self::at_most(usize::MAX)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections(at most {})", self.0.most)
    }
}

impl PartialEq for Connections {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.most == other.0.most
    }
}

impl Eq for Connections {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn close_idlest(&self) {
        let (open, now) = (self.lock(), self.now());
        let all = open.all.values().map(|usage| (usage.state.load(Ordering::Acquire), usage));
        let idle = all.filter(|(state, _)| *state != IN_USE && *state <= now);
        if let Some((state, usage)) = idle.min_by_key(|(since, _)| *since)
            && usage.state.compare_exchange(state, TOLD, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            usage.reader.wake();
        }
    }
}

/// One of the connections' places; given back when dropped.
pub(crate) struct Place {
    of: Arc<Shared>,
    name: u64,
    usage: Arc<Use>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.lock().all.remove(&self.name);
    }
}

/// A connection in its place.
pub struct Placed<S> {
    stream: S,
    place: Place,
    /// It may be closed when it is idle: after an answer, and before the next request.
    gives_way: bool,
}

impl<S> Placed<S> {
    pub(crate) const fn new(stream: S, place: Place) -> Self {
        Self { stream, place, gives_way: false }
    }

    /// From here on it carries requests one after the other, so that it is idle between an answer and the next request:
    /// then it may be closed to make room.
    pub fn give_way_when_idle(&mut self) {
        self.gives_way = true;
        let kept = u64::try_from(KEPT_UNUSED.as_millis()).unwrap_or(u64::MAX);
        self.place.usage.state.store(self.place.of.now().saturating_add(kept), Ordering::Release);
    }

    fn is_told(&self) -> bool {
        self.place.usage.state.load(Ordering::Acquire) == TOLD
    }

    /// It is in use, or idle since that moment; unless it was told to end. Returns whether it goes on.
    fn goes_on_as(&self, state: u64) -> bool {
        let unless_told = |before| (before != TOLD).then_some(state);
        self.place.usage.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, unless_told).is_ok()
    }

    fn in_use(&self) -> io::Result<()> {
        if self.goes_on_as(IN_USE) { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotConnected, GaveWay)) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.gives_way {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.place.usage.reader.register(cx.waker());
        if self.is_told() {
            // Its end, as if the receiver had closed it.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.goes_on_as(self.place.of.now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.in_use()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_use()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const SOON: Duration = Duration::from_secs(1);

    async fn open(connections: &Connections) -> (Placed<DuplexStream>, DuplexStream) {
        let place = connections.place(Instant::now() + SOON).await.expect("there is a place");
        let (here, there) = duplex(64);
        let mut placed = Placed::new(here, place);
        placed.give_way_when_idle();
        (placed, there)
    }

    /// A request and its answer.
    async fn exchange((here, there): &mut (Placed<DuplexStream>, DuplexStream)) {
        let mut got = [0; 2];
        here.write_all(b"ab").await.unwrap();
        there.read_exact(&mut got).await.unwrap();
        there.write_all(b"ok").await.unwrap();
        here.read_exact(&mut got).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_ends_for_whoever_needs_one() {
        let connections = Connections::at_most(2);
        let (mut first, mut second) = (open(&connections).await, open(&connections).await);
        exchange(&mut second).await;
        tokio::time::advance(SOON).await;
        exchange(&mut first).await;
        let holder = tokio::spawn(async move {
            let mut end = [0; 1];
            assert_eq!(second.0.read(&mut end).await.unwrap(), 0, "it ends as if its receiver had closed it");
        });
        let third = open(&connections).await;
        holder.await.unwrap();
        // The one that was used last is still there.
        exchange(&mut first).await;
        drop(third);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_in_use_is_left_alone_and_whoever_waits_hears_it_in_time() {
        let connections = Connections::at_most(1);
        let mut one = open(&connections).await;
        exchange(&mut one).await;
        // A request without its answer yet.
        one.0.write_all(b"ab").await.unwrap();
        assert!(connections.place(Instant::now() + SOON).await.is_none());
        one.1.write_all(b"ok").await.unwrap();
        let mut got = [0; 2];
        one.0.read_exact(&mut got).await.unwrap();
        drop(one);
        assert!(connections.place(Instant::now() + SOON).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_on_a_connection_that_was_told_to_end() {
        let connections = Connections::at_most(1);
        let mut one = open(&connections).await;
        exchange(&mut one).await;
        assert!(connections.place(Instant::now() + SOON).await.is_none(), "nobody reads, so that it cannot end");
        let error = one.0.write_all(b"ab").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(gave_way(&error) && !gave_way(&io::ErrorKind::NotConnected.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_opened_in_vain_gives_way_after_a_moment() {
        let connections = Connections::at_most(1);
        let mut unused = open(&connections).await;
        assert!(connections.place(Instant::now() + KEPT_UNUSED / 2).await.is_none(), "whoever opened it may use it");
        let holder = tokio::spawn(async move {
            let mut end = [0; 1];
            assert_eq!(unused.0.read(&mut end).await.unwrap(), 0, "it ends as if its receiver had closed it");
        });
        assert!(connections.place(Instant::now() + KEPT_UNUSED).await.is_some());
        holder.await.unwrap();
        // One whose first request is under way is in use, however long it takes.
        let mut busy = open(&connections).await;
        busy.0.write_all(b"ab").await.unwrap();
        assert!(connections.place(Instant::now() + 9 * KEPT_UNUSED).await.is_none());
        busy.0.write_all(b"cd").await.unwrap();
    }
}
