//! The HTTP/1 connections of one destination.
//!
//! Whoever wants one takes the one that was used last. Where none is idle, a new one is opened; if another is free
//! before, that goes to whoever has waited longest, and the new one stays for the next.
//!
//! Idle ones are watched by one task, the keeper, which sleeps until one of them has something to say (its receiver
//! hangs up, or it has to make room for another destination's), is to give back its buffers, or has been idle for too
//! long.

use crate::connect::{ConnectError, Connector};
use crate::http1::{Bare, Http1, Io, Opened};
use laneway_egress::Dial;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long an idle connection keeps its buffers. Busy destinations use theirs again sooner.
const READY_FOR: Duration = Duration::from_secs(1);

/// What whoever wants a connection gets.
pub(crate) enum Got<D: Dial> {
    Http1(Box<Http1<D>>),
    /// The receiver speaks HTTP/2, over this connection, if it was this one that told so.
    Http2(Option<Io<D>>),
    Failed(ConnectError),
    /// There was none by the deadline.
    Late,
}

/// Hands connections out and takes them back. Dropping it closes those that are idle.
pub(crate) struct Pool<D: Dial> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Dial> {
    connector: Arc<Connector<D>>,
    max_idle: usize,
    idle_timeout: Duration,
    /// How long a new connection's first attempt may take: only the first setting of its alarm.
    timeout: Duration,
    state: Mutex<State<D>>,
}

struct State<D: Dial> {
    /// The one that was used last is the last.
    idle: VecDeque<Idle<D>>,
    /// Who waits for a connection, while one is opened for each: for another that is free before, or (`None`) to hear
    /// that the receiver speaks HTTP/2.
    waiting: VecDeque<oneshot::Sender<Option<Box<Http1<D>>>>>,
    /// There is one as long as anything is idle.
    keeper: Option<Keeper>,
}

struct Keeper {
    task: AbortHandle,
    /// What wakes it, once it has begun.
    waker: Waker,
    /// When it looks next by itself.
    looks_at: Instant,
}

struct Idle<D: Dial> {
    connection: Kept<D>,
    since: Instant,
}

/// An idle connection: as it was used, or when it has been idle for a while ([`READY_FOR`]), only what stays of it.
enum Kept<D: Dial> {
    Ready(Box<Http1<D>>),
    Bare(Box<Bare<D>>),
    /// It has ended.
    Gone,
}

impl<D: Dial> Kept<D> {
    /// Whether it can still be used. `waker` is told when that changes.
    fn is_there(&mut self, waker: &Waker) -> bool {
        match self {
            Self::Ready(connection) => connection.is_ready(waker),
            Self::Bare(connection) => connection.is_silent(&mut Context::from_waker(waker)),
            Self::Gone => false,
        }
    }

    fn into_bare(self) -> Self {
        match self {
            Self::Ready(connection) => connection.bare().map_or(Self::Gone, |bare| Self::Bare(Box::new(bare))),
            kept => kept,
        }
    }
}

impl<D: Dial> Pool<D> {
    /// Keeps at most `max_idle` connections that nobody uses, each for at most `idle_timeout`.
    pub(crate) fn new(
        connector: Arc<Connector<D>>,
        max_idle: usize,
        idle_timeout: Duration,
        timeout: Duration,
    ) -> Self {
        let state = State { idle: VecDeque::new(), waiting: VecDeque::new(), keeper: None };
        Self { shared: Arc::new(Shared { connector, max_idle, idle_timeout, timeout, state: Mutex::new(state) }) }
    }

    /// A connection that can take a request.
    pub(crate) async fn get(&self, deadline: Instant) -> Got<D> {
        if let Some(idle) = self.shared.idle() {
            return Got::Http1(idle);
        }
        self.free_or_new(deadline).await
    }

    /// A connection that was never used before.
    pub(crate) async fn open(&self, deadline: Instant) -> Got<D> {
        let pool = Arc::downgrade(&self.shared);
        timeout_at(deadline, open(&self.shared.connector, &pool)).await.unwrap_or(Got::Late)
    }

    /// The one that is opened for it, or another that is free before.
    async fn free_or_new(&self, deadline: Instant) -> Got<D> {
        let (to_first, mut first) = oneshot::channel();
        self.shared.lock().waiting.push_back(to_first);
        let (to_us, mut own) = oneshot::channel();
        let (connector, pool) = (Arc::clone(&self.shared.connector), Arc::downgrade(&self.shared));
        // A task of its own, since it goes on where another connection is free before.
        tokio::spawn(async move {
            let opened = open(&connector, &pool).await;
            let is_http2 = matches!(opened, Got::Http2(_));
            // First to whoever asked for it.
            let unused = to_us.send(opened);
            // The destination may be gone; then the connection ends here.
            let Some(pool) = pool.upgrade() else { return };
            if is_http2 {
                pool.http2_is_spoken();
            }
            if let Err(Got::Http1(unused)) = unused {
                pool.put(unused);
            }
        });
        let got = async {
            tokio::select! {
                biased;
                Ok(free) = &mut first => free.map_or(Got::Http2(None), Got::Http1),
                Ok(opened) = &mut own => opened,
                // The task that opens was ended with its runtime.
                else => Got::Late,
            }
        };
        let got = timeout_at(deadline, got).await.unwrap_or(Got::Late);
        first.close();
        own.close();
        // Both may have come at once.
        if let Ok(Some(unused)) = first.try_recv() {
            self.put(unused);
        }
        if let Ok(Got::Http1(unused)) = own.try_recv() {
            self.put(unused);
        }
        self.shared.lock().waiting.retain(|waiting| !waiting.is_closed());
        got
    }

    /// Takes a connection back. One that cannot be used again is closed.
    pub(crate) fn put(&self, connection: Box<Http1<D>>) {
        self.shared.put(connection);
    }
}

impl<D: Dial> Drop for Pool<D> {
    fn drop(&mut self) {
        if let Some(keeper) = &self.shared.lock().keeper {
            keeper.task.abort();
        }
    }
}

async fn open<D: Dial>(connector: &Connector<D>, pool: &Weak<Shared<D>>) -> Got<D> {
    let opened = match Http1::open(connector).await {
        Ok(opened) => opened,
        Err(error) => return Got::Failed(error),
    };
    let connection = match opened {
        Opened::Http1(connection) => connection,
        Opened::Http2(io) => return Got::Http2(Some(io)),
    };
    // The destination may be gone; then nobody waits for it.
    let timeout = pool.upgrade().map_or(Duration::ZERO, |pool| pool.timeout);
    match Http1::over(connection, Instant::now() + timeout) {
        Some(connection) => Got::Http1(Box::new(connection)),
        None => Got::Failed(ConnectError::Unusable),
    }
}

impl<D: Dial> Shared<D> {
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> Option<Box<Http1<D>>> {
        loop {
            let mut kept = self.lock().idle.pop_back()?.connection;
            // Whoever gets it polls it next; what it has to say before that, it says here.
            if !kept.is_there(Waker::noop()) {
                continue;
            }
            let connection = match kept {
                Kept::Ready(mut connection) => connection.begin().then_some(connection),
                Kept::Bare(bare) => Http1::over(*bare, Instant::now() + self.timeout).map(Box::new),
                Kept::Gone => None,
            };
            // Before it takes a request it has to be polled once.
            if let Some(mut connection) = connection
                && connection.is_ready(Waker::noop())
            {
                return Some(connection);
            }
        }
    }

    /// To whoever has waited longest, or else to those that are idle.
    fn put(self: &Arc<Self>, mut connection: Box<Http1<D>>) {
        let mut state = self.lock();
        let waker = state.keeper.as_ref().map_or(Waker::noop(), |keeper| &keeper.waker);
        if !connection.is_ready(waker) {
            return;
        }
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(Some(connection)) {
                Ok(()) => return,
                // That one has got another one, or given up.
                Err(Some(back)) => connection = back,
                Err(None) => unreachable!("what comes back is what was sent"),
            }
        }
        if state.idle.len() >= self.max_idle {
            return;
        }
        connection.rest();
        let since = Instant::now();
        state.idle.push_back(Idle { connection: Kept::Ready(connection), since });
        self.tell_keeper(&mut state, since + READY_FOR.min(self.idle_timeout));
    }

    /// The keeper has to look by then.
    fn tell_keeper(self: &Arc<Self>, state: &mut State<D>, at: Instant) {
        match &mut state.keeper {
            Some(keeper) if keeper.looks_at <= at => {}
            Some(keeper) => {
                // Once it has looked, it sets its alarm by what it has seen.
                keeper.looks_at = at;
                keeper.waker.wake_by_ref();
            }
            None => {
                let task = tokio::spawn(keep(Arc::downgrade(self))).abort_handle();
                state.keeper = Some(Keeper { task, waker: Waker::noop().clone(), looks_at: at });
            }
        }
    }

    /// Nobody needs to wait for a connection here.
    fn http2_is_spoken(&self) {
        // Who does not wait any more needs not hear of it.
        std::mem::take(&mut self.lock().waiting).into_iter().for_each(|waiting| drop(waiting.send(None)));
    }

    /// Closes those that have ended or were idle for too long, and takes the buffers of others. Returns when it is time
    /// again, if any are left.
    fn look_after_idle(&self, waker: &Waker) -> Option<Instant> {
        let mut state = self.lock();
        let now = Instant::now();
        let mut next = None;
        state.idle.retain_mut(|Idle { connection, since }| {
            let (bare_at, end_at) = (*since + READY_FOR, *since + self.idle_timeout);
            if now >= bare_at {
                *connection = std::mem::replace(connection, Kept::Gone).into_bare();
            }
            let at = if now >= bare_at { end_at } else { bare_at.min(end_at) };
            let stays = now < end_at && connection.is_there(waker);
            if stays {
                next = Some(next.map_or(at, |next: Instant| next.min(at)));
            }
            stays
        });
        match (next, &mut state.keeper) {
            (Some(at), Some(keeper)) => (keeper.waker, keeper.looks_at) = (waker.clone(), at),
            // Nothing is idle: it ends.
            (None, keeper) => *keeper = None,
            (Some(_), None) => unreachable!("the keeper looks after what is idle"),
        }
        next
    }
}

/// Looks after the idle connections until there are none.
async fn keep<D: Dial>(pool: Weak<Shared<D>>) {
    let mut alarm = std::pin::pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
            let Some(at) = pool.look_after_idle(cx.waker()) else { return Poll::Ready(()) };
            alarm.as_mut().reset(at);
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_egress::{EgressPolicy, Guard, SystemResolver};
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::io::{DuplexStream, duplex};
    use url::Host;

    /// Connections whose other ends nobody uses.
    #[derive(Default)]
    struct Silent(Mutex<Vec<DuplexStream>>);

    impl Dial for Silent {
        type Stream = DuplexStream;

        async fn dial(&self, _: SocketAddr) -> io::Result<DuplexStream> {
            let (here, there) = duplex(64);
            self.0.lock().unwrap().push(there);
            Ok(here)
        }
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn pool() -> Pool<Silent> {
        let policy = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
        let guard = Guard::with_dial(policy, Arc::new(SystemResolver), Silent::default());
        let route = guard.route(Host::Ipv4(Ipv4Addr::LOCALHOST), 9);
        let connector = Connector { route, tls: None, require_http2: false, timeout: DAY };
        Pool::new(Arc::new(connector), 10, DAY, DAY)
    }

    async fn got(pool: &Pool<Silent>) -> Box<Http1<Silent>> {
        match pool.get(Instant::now() + DAY).await {
            Got::Http1(connection) => connection,
            _ => panic!("there is a connection"),
        }
    }

    /// How many idle connections have their buffers, and how many do not.
    fn idle(pool: &Pool<Silent>) -> (usize, usize) {
        let state = pool.shared.lock();
        let bare = state.idle.iter().filter(|idle| matches!(idle.connection, Kept::Bare(_))).count();
        (state.idle.len() - bare, bare)
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_idle_for_a_second_gives_its_buffers_back() {
        let pool = pool();
        let (one, other) = (got(&pool).await, got(&pool).await);
        pool.put(one);
        pool.put(other);
        assert_eq!(idle(&pool), (2, 0));
        // The second time the keeper would sleep for a day, for the sake of the other one.
        for _ in 0..2 {
            tokio::time::sleep(READY_FOR * 2).await;
            assert_eq!(idle(&pool), (0, 2));
            let again = got(&pool).await;
            assert_eq!(idle(&pool), (0, 1));
            pool.put(again);
            assert_eq!(idle(&pool), (1, 1));
        }
    }
}
