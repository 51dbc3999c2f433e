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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, OnceCell, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The first wait before connecting again; it doubles up to the longest, for ever.
const FIRST_RECONNECT_MS: u32 = 50;
/// The longest wait before connecting again: what a recovery is late at most.
const LONGEST_RECONNECT_MS: u32 = 1000;
/// The most commands that may wait for a connection. Each caller has few at a time, and events
/// wait in a bounded queue before they become a command.
const MAX_WAITING_COMMANDS: usize = 10_000;
/// How long a connection, with TLS and log-in, may take: some round trips, each of which may have
/// hundreds of milliseconds. It is tried again at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a server may say nothing at all before its connection is taken for dead. Longer than
/// an fsync of a busy disk usually takes, because what is under way then has an unknown end.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(3);
/// How often a server is asked whether it is there.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often a connection is looked at for answers that are overdue.
const LOOK_FOR_OVERDUE: Duration = Duration::from_millis(500);

/// How long a connection waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// What the slowest command may take.
    pub(crate) longest: Duration,
    /// How long there may be no answer at all. `None`: commands wait inside the server, and their
    /// own limit tells.
    pub(crate) silence: Option<Duration>,
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
        let client = client(Config { fail_fast: true, ..config }, timeouts)?;
        let connection = client.init().await?;
        Ok(Self::new(client, connection, timeouts))
    }

    /// The same without waiting for it, or failing when the server is away.
    pub(crate) fn begin(config: Config, timeouts: Timeouts) -> Result<Self, Error> {
        let client = client(Config { fail_fast: false, ..config }, timeouts)?;
        let connection = client.connect();
        Ok(Self::new(client, connection, timeouts))
    }

    fn new(client: Client, connection: ConnectHandle, timeouts: Timeouts) -> Self {
        let shared = Arc::new(Shared { client, connection, ended: AtomicBool::new(false), heard: AtomicU64::new(0) });
        let watch = tokio::spawn(watch(shared.clone(), timeouts.silence));
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

    /// Whether a command can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        !self.has_ended() && self.shared.client.state() == ClientState::Connected
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
        let answer = self.shared.client.custom(command, arguments).await;
        self.shared.hear(answer.as_ref().err());
        answer.map_err(explained)
    }

    /// The same, with the answer as it came.
    pub(crate) async fn send_raw(&self, command: CustomCommand, arguments: Vec<Value>) -> Result<Resp3Frame, Error> {
        let answer = self.shared.client.custom_raw(command, arguments).await;
        self.shared.hear(answer.as_ref().err());
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

    /// The server has answered, unless this is the client's own word that it has not.
    fn hear(&self, error: Option<&Error>) {
        if error.is_none_or(|error| !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::IO)) {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks the server, and waits for an answer; to anything, because the question may have to wait
    /// behind a WAIT. Counted in beats and not in time: a process that stood still has not listened.
    async fn is_silent(&self, silence: Duration) -> bool {
        let ping = CustomCommand::new_static("PING", ClusterHash::Random, false);
        let mut answer = std::pin::pin!(self.client.custom::<Value, Value>(ping, Vec::new()));
        let (mut silent_for, mut heard) = (Duration::ZERO, self.heard.load(Ordering::Relaxed));
        while timeout(BEAT_EVERY, &mut answer).await.is_err() {
            if self.client.state() != ClientState::Connected {
                // The client has noticed by itself, and connects again; the question waits for that.
                return false;
            }
            let before = std::mem::replace(&mut heard, self.heard.load(Ordering::Relaxed));
            silent_for = if heard == before { silent_for + BEAT_EVERY } else { Duration::ZERO };
            if silent_for >= silence {
                return true;
            }
        }
        false
    }
}

/// Looks again and again whether the server is there, and ends the link when it is silent.
async fn watch(shared: Arc<Shared>, silence: Option<Duration>) {
    loop {
        sleep(BEAT_EVERY).await;
        if shared.connection.is_finished() {
            // By itself: after an error that the client takes for final, or a defect of its own.
            return shared.end();
        }
        if let Some(silence) = silence
            && shared.client.state() == ClientState::Connected
            && shared.is_silent(silence).await
        {
            tracing::warn!(silent = ?silence, "Redis does not answer; its connection is closed, and another one opened");
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
