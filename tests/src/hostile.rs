//! Receivers that misbehave below HTTP: on raw sockets, in TLS, in the DNS. They keep count and time
//! of what a sender lets happen to it.

mod names;
mod tls;

pub use names::{Names, Reply};
pub use tls::{Authority, Certificate};

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The most bytes of a request that are kept: far more than these tests send.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How a receiver misbehaves, each time on a connection of its own.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Answers request after request with these, in turn over all connections.
    Answers(Vec<String>),
    /// Reads a request and sends `first`; then `again` for as long as somebody reads it, with a pause
    /// before each.
    Floods {
        /// What comes first.
        first: Vec<u8>,
        /// What follows without end; nothing at all if it is empty.
        again: Vec<u8>,
        /// How long it waits between two of them.
        pause: Duration,
    },
    /// Reads a request and closes the connection.
    Closes,
    /// Reads a request, sends this, and resets the connection.
    Resets(Vec<u8>),
    /// Says nothing, and keeps the connection.
    Silent,
}

/// What a receiver has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections taken.
    pub connections: usize,
    /// Requests read to their end.
    pub requests: usize,
    /// TLS handshakes that the other side broke off.
    pub refused: usize,
    /// The longest time from a connection's first byte to its end, of those that ended.
    pub longest: Duration,
    /// When requests of an event came in, with its id.
    pub times: Vec<(String, Instant)>,
}

/// A hostile receiver on a port of its own.
#[derive(Debug)]
pub struct Hostile {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Hostile {
    /// Starts one without TLS.
    pub async fn start(manner: Manner) -> Self {
        Self::listen(manner, None).await
    }

    /// Starts one that shows this certificate first.
    pub async fn with_tls(manner: Manner, certificate: &Certificate) -> Self {
        Self::listen(manner, Some(certificate.acceptor())).await
    }

    async fn listen(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(accept(listener, Arc::new(manner), tls, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A copy of what it has seen.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, manner: Arc<Manner>, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                seen.lock().unwrap().connections += 1;
                connections.spawn(connection(stream, Arc::clone(&manner), tls.clone(), Arc::clone(&seen)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, manner: Arc<Manner>, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let begun = Instant::now();
    // What fails in here is the sender hanging up, which is what the tests are about.
    match tls {
        None => _ = misbehave(stream, &manner, &seen, TcpStream::set_zero_linger).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => _ = misbehave(stream, &manner, &seen, |_| Ok(())).await,
            Err(_) => seen.lock().unwrap().refused += 1,
        },
    }
    let mut seen = seen.lock().unwrap();
    seen.longest = seen.longest.max(begun.elapsed());
}

async fn misbehave<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    manner: &Manner,
    seen: &Mutex<Seen>,
    reset: impl Fn(&S) -> io::Result<()>,
) -> io::Result<()> {
    match manner {
        Manner::Silent => until_closed(&mut stream).await,
        Manner::Closes => read_request(&mut stream, seen).await.map(drop),
        Manner::Resets(first) => {
            read_request(&mut stream, seen).await?;
            stream.write_all(first).await?;
            stream.flush().await?;
            reset(&stream)
        }
        Manner::Answers(answers) => loop {
            let number = read_request(&mut stream, seen).await?;
            stream.write_all(answers[number % answers.len()].as_bytes()).await?;
        },
        Manner::Floods { first, again, pause } => {
            read_request(&mut stream, seen).await?;
            stream.write_all(first).await?;
            stream.flush().await?;
            let (mut reading, writing) = tokio::io::split(stream);
            // Between two drops it would not notice that nobody is there any more.
            tokio::select! {
                closed = until_closed(&mut reading) => closed,
                failed = flood(writing, again, *pause) => failed,
            }
        }
    }
}

async fn flood(mut stream: impl AsyncWrite + Unpin, again: &[u8], pause: Duration) -> io::Result<()> {
    while !again.is_empty() {
        stream.write_all(again).await?;
        tokio::time::sleep(pause).await;
    }
    std::future::pending().await
}

/// Reads and forgets until the other side closes the connection.
async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut some = [0; 1024];
    while stream.read(&mut some).await? > 0 {}
    Ok(())
}

/// Reads a request to its end; how many there were before it.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, seen: &Mutex<Seen>) -> io::Result<usize> {
    let mut got = Vec::new();
    while !is_complete(&got) {
        if got.len() > MAX_REQUEST_BYTES || stream.read_buf(&mut got).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let id = header(&got, "webhook-id").unwrap_or_default();
    let mut seen = seen.lock().unwrap();
    seen.times.push((id, Instant::now()));
    seen.requests += 1;
    Ok(seen.requests - 1)
}

/// Whether these bytes are a head and, by its content-length, its whole body.
fn is_complete(got: &[u8]) -> bool {
    let Some(head) = got.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let body = header(got, "content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    got.len() >= head + 4 + body
}

/// A header's value.
fn header(request: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(request);
    let mut lines = text.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
