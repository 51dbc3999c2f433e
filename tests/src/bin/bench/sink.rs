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
/// One slot of a timeline, in nanoseconds.
pub(crate) const SLOT: u64 = 100_000_000;
/// The most slots of a timeline: ten minutes.
const MOST_SLOTS: usize = 6000;

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
    /// Events in each slot since the first one.
    slots: Vec<u32>,
}

/// `/main` (which with `?fail=N` fails N of a thousand keys, with `?poison` the key `kpoison`) and `/other` (which fails that key, unless it
/// has `?all`).
struct State {
    main: RefCell<Seen>,
    other: RefCell<Seen>,
}

impl Seen {
    fn new() -> io::Result<RefCell<Self>> {
        Ok(RefCell::new(Self { counts: Received::default(), times: clock::histogram()?, slots: vec![0; MOST_SLOTS] }))
    }

    fn report(&self) -> Received {
        let at = |quantile| clock::millis(self.times.value_at_quantile(quantile));
        let max = clock::millis(self.times.max());
        Received { p50: at(0.5), p99: at(0.99), p999: at(0.999), max, ..self.counts.clone() }
    }

    fn forget(&mut self) {
        self.counts = Received::default();
        self.times.reset();
        self.slots.fill(0);
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
            let mut seen = state.main.borrow_mut();
            if fails(head) {
                seen.counts.failed += 1;
                FAILED.to_vec()
            } else {
                take(&mut seen, wire.body(&message));
                OK.to_vec()
            }
        } else if head.starts_with(b"POST /other") {
            let poisoned = !head.starts_with(b"POST /other?all") && wire::find(head, b"poison").is_some();
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
    let slot = usize::try_from((now - seen.counts.first) / SLOT).unwrap_or(MOST_SLOTS);
    if let Some(slot) = seen.slots.get_mut(slot) {
        *slot += 1;
    }
    if let Some(due) = due(body) {
        seen.times.saturating_record(now.saturating_sub(due));
    }
}

/// Whether the request's key is one of those that fail, if the path says that some do.
fn fails(head: &[u8]) -> bool {
    const PATH: &[u8] = b"POST /main?fail=";
    const KEY: &[u8] = b"ce-partitionkey: k";
    if head.starts_with(b"POST /main?poison") {
        return wire::find(head, b"ce-partitionkey: kpoison").is_some();
    }
    let Some(rest) = head.strip_prefix(PATH) else { return false };
    let key = wire::find(head, KEY).map(|at| number(&head[at + KEY.len()..]));
    key.is_some_and(|key| key % 1000 < number(rest))
}

/// The number that a text begins with.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
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
    if head.starts_with(b"POST /timeline") {
        let slots = &state.main.borrow().slots;
        let end = slots.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        return answer(&slots[..end]);
    }
    let both = [state.main.borrow().report(), state.other.borrow().report()];
    answer(&both)
}

fn answer<T: Serialize + ?Sized>(what: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string(what).map_err(io::Error::other)?;
    Ok(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}
