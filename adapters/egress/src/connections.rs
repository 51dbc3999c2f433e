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
/// How often it is looked for an idle connection while somebody waits, besides the moments in which a place comes free.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long places may be short without a word. Shorter ones pass by themselves, when an attempt ends.
const SHORT_FOR_LONG: Duration = Duration::from_secs(10);
/// How often it is said at most.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The connections of a process. Clones are of the same.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    most: usize,
    free: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: BTreeMap<u64, Usage>,
    short: Option<Short>,
    said_at: Option<Instant>,
}

/// Nobody gets a place without waiting for it.
#[derive(Clone, Copy)]
struct Short {
    since: Instant,
    /// When somebody waited last.
    last: Instant,
}

/// What is said of a connection's use, by whoever makes exchanges over it. Clones are of the same connection.
#[derive(Clone, Default)]
pub struct Usage(Arc<Use>);

#[derive(Default)]
struct Use {
    state: Mutex<State>,
    reader: AtomicWaker,
}

/// What a connection does. All in one, so that none is told to end that is just being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many exchanges use it. With none it is being opened, or never says that it is idle.
    InUse(usize),
    IdleSince(Instant),
    /// It is to end.
    Told,
}

impl Default for State {
    fn default() -> Self {
        Self::InUse(0)
    }
}

/// An exchange over a connection. Once the last one is dropped, the connection is idle.
#[must_use]
pub struct InUse(Usage);

impl Usage {
    /// An exchange begins, so that the connection is in use until what this gives is dropped. `None` if it was told to
    /// end: nothing can be sent over it any more.
    pub fn begin(&self) -> Option<InUse> {
        let mut state = self.state();
        let others = match *state {
            State::InUse(others) => others,
            State::IdleSince(_) => 0,
            State::Told => return None,
        };
        *state = State::InUse(others + 1);
        Some(InUse(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_told(&self) -> bool {
        *self.state() == State::Told
    }

    /// Since when it has been idle.
    fn idle_since(&self) -> Option<Instant> {
        match *self.state() {
            State::IdleSince(since) => Some(since),
            State::InUse(_) | State::Told => None,
        }
    }

    /// Tells it to end, if nobody has begun to use it.
    fn end_if_idle(&self) {
        let mut state = self.state();
        if matches!(*state, State::IdleSince(_)) {
            *state = State::Told;
            drop(state);
            self.0.reader.wake();
        }
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Usage").field(&*self.state()).finish()
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.state();
        *state = match *state {
            State::InUse(count @ 2..) => State::InUse(count - 1),
            // None that is in use is told to end.
            _ => State::IdleSince(Instant::now()),
        };
    }
}

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
        Self(Arc::new(Shared { most, free, open: Mutex::default() }))
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
            self.0.lock().short = None;
            return Some(self.placed(permit));
        }
        // In the order in which they came.
        let mut turn = std::pin::pin!(Arc::clone(&self.0.free).acquire_owned());
        let waiting = async {
            loop {
                self.0.close_idlest();
                self.0.say_if_short_for_long();
                if let Ok(turn) = timeout(LOOK_AGAIN, turn.as_mut()).await {
                    return turn.ok();
                }
            }
        };
        timeout_at(deadline, waiting).await.ok().flatten().map(|permit| self.placed(permit))
    }

    fn placed(&self, permit: OwnedSemaphorePermit) -> Place {
        let usage = Usage::default();
        let mut open = self.0.lock();
        let name = open.next;
        open.next += 1;
        open.all.insert(name, usage.clone());
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

    fn close_idlest(&self) {
        let (open, now) = (self.lock(), Instant::now());
        let all = open.all.values().filter_map(|usage| Some((usage.idle_since()?, usage)));
        let idlest = all.filter(|(since, _)| *since <= now).min_by_key(|(since, _)| *since);
        if let Some((_, usage)) = idlest {
            usage.end_if_idle();
        }
    }

    /// Somebody waits: whether anything is said of that.
    fn say_if_short_for_long(&self) {
        let (mut open, now) = (self.lock(), Instant::now());
        // Who waits again soon waits for the same.
        let before = open.short.filter(|short| now < short.last + SHORT_FOR_LONG);
        let since = before.map_or(now, |short| short.since);
        open.short = Some(Short { since, last: now });
        if now.duration_since(since) < SHORT_FOR_LONG || open.said_at.is_some_and(|at| now < at + SAY_AGAIN) {
            return;
        }
        open.said_at = Some(now);
        drop(open);
        tracing::warn!(
            connections = self.most,
            "all connections that this process may have to receivers have been in use for {} s, and attempts wait for \
             one: permit more of them (egress.connections), or have slow destinations use fewer (max_in_flight)",
            now.duration_since(since).as_secs()
        );
    }
}

/// One of the connections' places; given back when dropped.
pub(crate) struct Place {
    of: Arc<Shared>,
    name: u64,
    usage: Usage,
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
    /// It may be closed when it is idle.
    gives_way: bool,
}

impl<S> Placed<S> {
    pub(crate) const fn new(stream: S, place: Place) -> Self {
        Self { stream, place, gives_way: false }
    }

    /// From here on whoever uses it says so ([`Placed::usage`]), so that it may be closed to make room when it is idle.
    pub fn give_way_when_idle(&mut self) {
        self.gives_way = true;
        let mut state = self.place.usage.state();
        if *state == State::InUse(0) {
            *state = State::IdleSince(Instant::now() + KEPT_UNUSED);
        }
    }

    /// Where it is said whether it is in use.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.place.usage
    }

    fn goes_on(&self) -> io::Result<()> {
        let told = self.gives_way && self.place.usage.is_told();
        if told { Err(io::Error::new(io::ErrorKind::NotConnected, GaveWay)) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.gives_way {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.place.usage.0.reader.register(cx.waker());
        if self.place.usage.is_told() {
            // Its end, as if the receiver had closed it.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.goes_on()?;
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
        self.goes_on()?;
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
        let _in_use = here.usage().begin().expect("it goes on");
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
        let in_use = one.0.usage().begin().unwrap();
        one.0.write_all(b"ab").await.unwrap();
        assert!(connections.place(Instant::now() + SOON).await.is_none());
        // What comes in does not end its use: it may be a ticket, or an interim answer.
        one.1.write_all(b"ok").await.unwrap();
        let mut got = [0; 2];
        one.0.read_exact(&mut got).await.unwrap();
        assert!(connections.place(Instant::now() + SOON).await.is_none());
        one.0.write_all(b"cd").await.unwrap();
        // Of two exchanges both have to end.
        let other = one.0.usage().begin().unwrap();
        drop(in_use);
        assert!(connections.place(Instant::now() + SOON).await.is_none());
        drop(other);
        let holder = tokio::spawn(async move { one.0.read(&mut [0]).await.unwrap() });
        assert!(connections.place(Instant::now() + SOON).await.is_some());
        assert_eq!(holder.await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_on_a_connection_that_was_told_to_end() {
        let connections = Connections::at_most(1);
        let mut one = open(&connections).await;
        exchange(&mut one).await;
        assert!(connections.place(Instant::now() + SOON).await.is_none(), "nobody reads, so that it cannot end");
        assert!(one.0.usage().begin().is_none());
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
        let _in_use = busy.0.usage().begin().unwrap();
        busy.0.write_all(b"ab").await.unwrap();
        assert!(connections.place(Instant::now() + 9 * KEPT_UNUSED).await.is_none());
        busy.0.write_all(b"cd").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn places_that_are_short_for_long_are_told_of_and_not_again_and_again() {
        let connections = Connections::at_most(1);
        let place = connections.place(Instant::now()).await.unwrap();
        let said_at = || connections.0.lock().said_at;
        assert!(connections.place(Instant::now() + SHORT_FOR_LONG / 2).await.is_none());
        assert_eq!(said_at(), None);
        // Those who wait one after the other wait together.
        assert!(connections.place(Instant::now() + SHORT_FOR_LONG).await.is_none());
        let first = said_at();
        assert!(first.is_some());
        assert!(connections.place(Instant::now() + SHORT_FOR_LONG).await.is_none());
        assert_eq!(said_at(), first);
        drop(place);
        drop(connections.place(Instant::now()).await.unwrap());
        assert!(connections.0.lock().short.is_none());
    }
}
