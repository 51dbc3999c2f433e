//! One connection to one server, for as long as it lives.
//!
//! The client connects again by itself when a connection is closed. It does not notice one that is
//! merely silent for as long as anything is written to it, and it waits for what it writes: so a
//! link whose server says nothing is ended as a whole, with all that is under way on it, and
//! whoever needs one makes another.

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig,
};
use fred::types::{Builder, ClientState, ClusterHash, ConnectHandle, CustomCommand, Resp3Frame, Value};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, OnceCell, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The first wait before connecting again; it doubles up to the longest, for ever.
const FIRST_RECONNECT_MS: u32 = 50;
/// The longest wait before connecting again: what a recovery is late at most.
const LONGEST_RECONNECT_MS: u32 = 500;
/// For how long a link is taken to be broken after its connection was closed, unless it was made anew. By then the
/// client says so itself.
const BROKEN_FOR: Duration = Duration::from_secs(1);
/// For how long after that a command waits for the connection to be made anew: two or three attempts.
const MENDED_WITHIN: Duration = Duration::from_millis(500);
/// The most commands that may wait for a connection. Each caller has few at a time, and events
/// wait in a bounded queue before they become a command.
const MAX_WAITING_COMMANDS: usize = 10_000;
/// How long a connection, with TLS and log-in, may take: some round trips, each of which may have
/// hundreds of milliseconds. It is tried again at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a server may say nothing at all before it is tried whether it answers on another connection. If it does,
/// the silent one is dead. If not, it may be that its disk takes seconds for an fsync, in which it does nothing else:
/// then a new connection is no better, and what is under way on this one would only get an unknown end.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(3);
/// How often a server is asked whether it is there.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often a connection is looked at for answers that are overdue.
const LOOK_FOR_OVERDUE: Duration = Duration::from_millis(500);

/// What the client says of a command for which it has no connection.
const NOT_ROUTED: &str = "Failed to route command.";

/// How long a connection waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// What the slowest command may take.
    pub(crate) longest: Duration,
    /// How long there may be no answer at all. `None`: commands wait inside the server, and their
    /// own limit tells.
    pub(crate) silence: Option<Duration>,
    /// Whether another server takes over from one that stands still: then it is not waited for.
    pub(crate) is_replaced: bool,
}

/// A connection, which is closed when this is dropped.
pub(crate) struct Link {
    shared: Arc<Shared>,
    watch: JoinHandle<()>,
    /// Whether the first attempt to connect was waited for.
    begun: OnceCell<()>,
    /// When its server was last found to keep what it acknowledges.
    inspected: std::sync::Mutex<Option<InspectedFrom>>,
    /// Held by whoever inspects the server over it.
    inspecting: Mutex<()>,
}

/// The moment from which on a server is inspected over a link, and what tells whether the link was connected anew since.
pub(crate) struct InspectedFrom {
    at: Instant,
    reconnects: broadcast::Receiver<Server>,
}

struct Shared {
    client: Client,
    /// Holds the connection: aborting it drops that, with what is under way.
    connection: ConnectHandle,
    ended: AtomicBool,
    /// How often the server has answered.
    heard: AtomicU64,
    /// When the connection was closed, or a command has failed with it, and what tells whether it was made anew since.
    /// The client only says so when it begins to connect, some 100 ms later. What it is given before then it keeps
    /// until it is connected, or until the command's time is over: for seconds, in which whoever gave it waits for
    /// nothing.
    broken: std::sync::Mutex<Option<(Instant, broadcast::Receiver<Server>)>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.end();
        self.watch.abort();
    }
}

impl Link {
    /// Connects, and stays connected: whenever the connection is closed, it is made anew, for ever.
    pub(crate) async fn open(config: Config, timeouts: Timeouts) -> Result<Self, Error> {
        let client = client(Config { fail_fast: true, ..config.clone() }, timeouts)?;
        let connection = client.init().await?;
        Ok(Self::new(client, connection, config, timeouts))
    }

    /// The same without waiting for it, or failing when the server is away.
    pub(crate) fn begin(config: Config, timeouts: Timeouts) -> Result<Self, Error> {
        let client = client(Config { fail_fast: false, ..config.clone() }, timeouts)?;
        let connection = client.connect();
        Ok(Self::new(client, connection, config, timeouts))
    }

    fn new(client: Client, connection: ConnectHandle, config: Config, timeouts: Timeouts) -> Self {
        let (ended, heard, broken) = (AtomicBool::new(false), AtomicU64::new(0), std::sync::Mutex::default());
        let shared = Arc::new(Shared { client, connection, ended, heard, broken });
        let watch = tokio::spawn(watch(shared.clone(), config, timeouts));
        Self {
            shared,
            watch,
            begun: OnceCell::new(),
            inspected: std::sync::Mutex::default(),
            inspecting: Mutex::default(),
        }
    }

    /// Waits for the first attempt to connect, if it is still under way.
    pub(crate) async fn begun(&self) {
        let client = &self.shared.client;
        let first = || async { drop(timeout(CONNECT_TIMEOUT, client.wait_for_connect()).await) };
        if !self.is_connected() {
            self.begun.get_or_init(first).await;
        }
    }

    /// Waits a moment for a connection that was closed just now to be made anew: nobody need hear of what is over at
    /// once.
    pub(crate) async fn mended(&self) {
        let broken = {
            let broken = self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner);
            let of = |(at, known): &(Instant, broadcast::Receiver<Server>)| {
                (at.elapsed(), known.resubscribe(), !known.is_empty())
            };
            broken.as_ref().map(of)
        };
        let Some((since, mut reconnects, is_again)) = broken else { return };
        let connected = async {
            if is_again || reconnects.recv().await.is_ok() {
                drop(self.shared.client.wait_for_connect().await);
            }
        };
        // Whoever asked looks whether it came to that.
        drop(timeout(MENDED_WITHIN.saturating_sub(since), connected).await);
    }

    /// Whether a command can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        !self.has_ended() && self.shared.client.state() == ClientState::Connected && !self.shared.is_broken()
    }

    /// Whether it will never be connected again.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Ends it: what is under way has failed.
    pub(crate) fn end(&self) {
        self.shared.end();
    }

    /// Tells of each time that the connection was made anew.
    pub(crate) fn reconnects(&self) -> broadcast::Receiver<Server> {
        self.shared.client.reconnect_rx()
    }

    /// To be taken before an inspection of the server is sent over this.
    pub(crate) fn inspected_from(&self) -> InspectedFrom {
        InspectedFrom { at: Instant::now(), reconnects: self.reconnects() }
    }

    /// The inspection that began there has found the server good, or what keeps it from being used is known.
    pub(crate) fn note_inspected(&self, from: InspectedFrom) {
        *self.inspected.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
    }

    /// When the server behind the connection as it is now was last inspected; `None`: never.
    pub(crate) fn inspected_at(&self) -> Option<Instant> {
        let inspected = self.inspected.lock().unwrap_or_else(PoisonError::into_inner);
        inspected.as_ref().filter(|inspected| inspected.reconnects.is_empty()).map(|inspected| inspected.at)
    }

    /// Waits until nobody else inspects the server over this.
    pub(crate) async fn inspecting(&self) -> MutexGuard<'_, ()> {
        self.inspecting.lock().await
    }

    /// Sends a command.
    pub(crate) async fn send(&self, command: CustomCommand, arguments: Vec<Value>) -> Result<Value, Error> {
        let reconnects = self.reconnects();
        let answer = self.shared.client.custom(command, arguments).await;
        self.shared.hear(answer.as_ref().err(), reconnects);
        answer.map_err(explained)
    }

    /// The same, with the answer as it came.
    pub(crate) async fn send_raw(&self, command: CustomCommand, arguments: Vec<Value>) -> Result<Resp3Frame, Error> {
        let reconnects = self.reconnects();
        let answer = self.shared.client.custom_raw(command, arguments).await;
        self.shared.hear(answer.as_ref().err(), reconnects);
        answer.map_err(explained)
    }

    /// Sends a command to a node that is taking its slot over, right behind the word that this is meant.
    pub(crate) async fn send_asking(&self, command: CustomCommand, arguments: Vec<Value>) -> Result<Value, Error> {
        let both = self.shared.client.pipeline();
        let asking = CustomCommand::new_static("ASKING", ClusterHash::Random, false);
        let _: () = both.custom(asking, Vec::<Value>::new()).await?;
        let _: () = both.custom(command, arguments).await?;
        let answers: Vec<Result<Value, Error>> = both.try_all().await;
        let lost = || Err(Error::new(ErrorKind::Unknown, "the node did not answer"));
        let mut answers = answers.into_iter();
        match (answers.next().unwrap_or_else(lost), answers.next().unwrap_or_else(lost)) {
            // It is sent elsewhere because the node was not told that this is meant.
            (Err(not_told), Err(error)) if error.details().starts_with("MOVED ") => Err(not_told),
            (_, answer) => answer,
        }
    }
}

impl Shared {
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.connection.abort();
    }

    /// The server has answered, unless this is the client's own word that it has not. `reconnects` is of before the
    /// command was sent.
    fn hear(&self, error: Option<&Error>, reconnects: broadcast::Receiver<Server>) {
        if error.is_none_or(|error| !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::IO)) {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
        if error.is_some_and(|error| error.kind() == &ErrorKind::IO || error.details() == NOT_ROUTED) {
            self.note_broken(reconnects);
        }
    }

    fn note_broken(&self, reconnects: broadcast::Receiver<Server>) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), reconnects));
    }

    /// Notes that the connection was closed also while nothing is under way on it.
    async fn note_breaks(&self) {
        let (mut errors, mut reconnects) = (self.client.error_rx(), self.client.reconnect_rx());
        loop {
            let broke = tokio::select! {
                biased;
                reconnected = reconnects.recv() => reconnected.map(|_| false),
                error = errors.recv() => error.map(|_| true),
            };
            match broke {
                Ok(true) => self.note_broken(reconnects.resubscribe()),
                Ok(false) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return pending().await,
            }
        }
    }

    /// Whether a command has failed with its connection, and no other one was made since.
    fn is_broken(&self) -> bool {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.as_ref().is_some_and(|(at, reconnects)| reconnects.is_empty() && at.elapsed() < BROKEN_FOR)
    }

    /// Asks the server, and waits for an answer; to anything, because the question may have to wait
    /// behind a WAIT. Counted in beats and not in time: a process that stood still has not listened.
    ///
    /// Silent is a connection on which nothing was answered for `silence` although the server answers on another one
    /// (or another server takes over), or for as long as the slowest command may take: then all that was under way on
    /// it has been given up.
    async fn is_silent(&self, silence: Duration, config: &Config, timeouts: Timeouts) -> bool {
        let ping = CustomCommand::new_static("PING", ClusterHash::Random, false);
        let mut answer = std::pin::pin!(self.client.custom::<Value, Value>(ping, Vec::new()));
        let (mut silent_for, mut heard) = (Duration::ZERO, self.heard.load(Ordering::Relaxed));
        let mut elsewhere = Elsewhere::default();
        loop {
            if let Ok(answer) = timeout(BEAT_EVERY, &mut answer).await {
                // The question has had the time of the slowest command.
                return silent_for >= silence && answer.is_err_and(|error| error.kind() == &ErrorKind::Timeout);
            }
            if self.client.state() != ClientState::Connected {
                // The client has noticed by itself, and connects again; the question waits for that.
                return false;
            }
            let before = std::mem::replace(&mut heard, self.heard.load(Ordering::Relaxed));
            if heard != before {
                (silent_for, elsewhere) = (Duration::ZERO, Elsewhere::default());
                continue;
            }
            silent_for += BEAT_EVERY;
            if silent_for < silence {
                continue;
            }
            if timeouts.is_replaced || elsewhere.answered {
                return true;
            }
            elsewhere.try_once_more(config, timeouts);
        }
    }
}

/// Whether a server answers on another connection. Attempts end when this is dropped.
#[derive(Default)]
struct Elsewhere {
    attempts: JoinSet<bool>,
    /// It did, a beat ago: what it has to say on the first one as well, it has said by now.
    answered: bool,
}

impl Elsewhere {
    /// Takes in what has come of the attempt before, and begins another one if there is none.
    fn try_once_more(&mut self, config: &Config, timeouts: Timeouts) {
        while let Some(ended) = self.attempts.try_join_next() {
            self.answered |= ended.unwrap_or(false);
        }
        if self.attempts.is_empty() && !self.answered {
            self.attempts.spawn(answers(config.clone(), timeouts));
        }
    }
}

/// Whether the server answers whoever connects now.
async fn answers(config: Config, timeouts: Timeouts) -> bool {
    let Ok(link) = Link::begin(config, Timeouts { silence: None, ..timeouts }) else { return false };
    link.begun().await;
    link.is_connected()
}

/// Looks after a link until it ends.
async fn watch(shared: Arc<Shared>, config: Config, timeouts: Timeouts) {
    tokio::select! {
        () = look(&shared, config, timeouts) => {}
        () = shared.note_breaks() => {}
    }
}

/// Looks again and again whether the server is there, and ends the link when it is silent.
async fn look(shared: &Shared, config: Config, timeouts: Timeouts) {
    loop {
        sleep(BEAT_EVERY).await;
        if shared.connection.is_finished() {
            // By itself: after an error that the client takes for final, or a defect of its own.
            return shared.end();
        }
        if let Some(silence) = timeouts.silence
            && shared.client.state() == ClientState::Connected
            && shared.is_silent(silence, &config, timeouts).await
        {
            tracing::warn!("Redis does not answer; its connection is closed, and another one opened");
            return shared.end();
        }
    }
}

/// What the client says of a command whose connection was ended here is about its own insides.
fn explained(error: Error) -> Error {
    if error.details() == "channel closed" {
        return Error::new(ErrorKind::Canceled, "its connection was given up before it answered");
    }
    error
}

fn client(config: Config, timeouts: Timeouts) -> Result<Client, Error> {
    Builder::from_config(config)
        .with_connection_config(|connection: &mut ConnectionConfig| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            // A command that was sent again after a lost connection would be done twice: what
            // becomes of one without an answer is decided here, not by the client.
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = MAX_WAITING_COMMANDS;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            // A server that was stopped or cut off closes nothing.
            let max_timeout = Some(timeouts.longest + LOOK_FOR_OVERDUE);
            connection.unresponsive = UnresponsiveConfig { max_timeout, interval: LOOK_FOR_OVERDUE };
        })
        .with_performance_config(|performance: &mut PerformanceConfig| {
            performance.default_command_timeout = timeouts.longest;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, FIRST_RECONNECT_MS, LONGEST_RECONNECT_MS, 2))
        .build()
}
