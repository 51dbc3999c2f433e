//! The receiver: counts, and takes the time of what says when it was due.

use crate::clock;
use crate::wire::{self, Wire};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const FAILED: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
/// The time stands near the body's beginning.
const SEARCHED: usize = 160;

/// What came in at one path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) events: u64,
    pub(crate) failed: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// From the moment an event was due until it was here, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

struct Seen {
    counts: Received,
    times: Histogram<u64>,
}

/// `/main` and `/other` (which fails the key `poison`).
struct State {
    main: RefCell<Seen>,
    other: RefCell<Seen>,
}

impl Seen {
    fn new() -> io::Result<RefCell<Self>> {
        Ok(RefCell::new(Self { counts: Received::default(), times: clock::histogram()? }))
    }

    fn report(&self) -> Received {
        let at = |quantile| clock::millis(self.times.value_at_quantile(quantile));
        let max = clock::millis(self.times.max());
        Received { p50: at(0.5), p99: at(0.99), p999: at(0.999), max, ..self.counts.clone() }
    }

    fn forget(&mut self) {
        self.counts = Received::default();
        self.times.reset();
    }
}

/// Serves until it is killed. One thread: it is to be light.
pub(crate) async fn run(listen: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let state = Rc::new(State { main: Seen::new()?, other: Seen::new()? });
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(serve(stream, Rc::clone(&state)));
            }
        })
        .await
}

async fn serve(stream: TcpStream, state: Rc<State>) -> io::Result<()> {
    let mut wire = Wire::over(stream);
    while let Some(message) = wire.read().await? {
        let head = wire.head(&message);
        let answer = if head.starts_with(b"POST /main") {
            take(&mut state.main.borrow_mut(), wire.body(&message));
            OK.to_vec()
        } else if head.starts_with(b"POST /other") {
            let poisoned = wire::find(head, b"poison").is_some();
            let mut seen = state.other.borrow_mut();
            if poisoned {
                seen.counts.failed += 1;
                FAILED.to_vec()
            } else {
                take(&mut seen, wire.body(&message));
                OK.to_vec()
            }
        } else {
            control(&state, head)?
        };
        wire.done(message);
        wire.write(&answer).await?;
    }
    Ok(())
}

fn take(seen: &mut Seen, body: &[u8]) {
    let now = clock::now();
    if seen.counts.events == 0 {
        seen.counts.first = now;
    }
    seen.counts.events += 1;
    seen.counts.last = now;
    if let Some(due) = due(body) {
        seen.times.saturating_record(now.saturating_sub(due));
    }
}

/// The time in a body, if it has one.
fn due(body: &[u8]) -> Option<u64> {
    let at = wire::find(&body[..body.len().min(SEARCHED)], b"\"t\":\"")? + 5;
    let digits = std::str::from_utf8(body.get(at..at + 19)?).ok()?;
    digits.parse().ok().filter(|&time| time > 0)
}

fn control(state: &State, head: &[u8]) -> io::Result<Vec<u8>> {
    if head.starts_with(b"POST /forget") {
        state.main.borrow_mut().forget();
        state.other.borrow_mut().forget();
    }
    let both = [state.main.borrow().report(), state.other.borrow().report()];
    let body = serde_json::to_string(&both).map_err(io::Error::other)?;
    Ok(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}
