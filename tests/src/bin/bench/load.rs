//! The load generator: closed loops and an open loop over prepared requests.

use crate::clock;
use crate::wire::{self, Wire};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The longest that the open loop lets a due event wait for its turn: one sleep of the pacer.
const PACE: Duration = Duration::from_micros(100);

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Load {
    /// Where to.
    #[arg(long)]
    pub(crate) target: SocketAddr,
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// How many events in all.
    #[arg(long)]
    pub(crate) events: u64,
    /// Events a second, at fixed times whatever the answers do; 0 for as fast as they come.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// Events a request.
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: u64,
    #[arg(long, default_value_t = 10_000)]
    pub(crate) keys: u32,
    /// Bytes of one event as it is sent.
    #[arg(long, default_value_t = 512)]
    pub(crate) bytes: usize,
    /// Keys come in turn, not at random.
    #[arg(long, default_value_t = 0)]
    pub(crate) in_turn: u64,
    /// So many of a thousand keys fail at the receiver, which is told so too: their events are counted apart.
    #[arg(long, default_value_t = 0)]
    pub(crate) failing: u32,
    /// As many types, at random; 0 for one.
    #[arg(long, default_value_t = 0)]
    pub(crate) types: u32,
    /// So many of the types go where nobody listens: their events are counted apart.
    #[arg(long, default_value_t = 0)]
    pub(crate) dead: u32,
    /// Events are of as many tenants, at random, `t00000` and so on; 0 for none's.
    #[arg(long, default_value_t = 0)]
    pub(crate) tenants: u32,
    /// The number of the first of those.
    #[arg(long, default_value_t = 0)]
    pub(crate) first_tenant: u32,
    /// One event in this many has the key `poison` instead; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub(crate) poison: u64,
    /// The event of this number has the key `poison`, counted from 1; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub(crate) poison_once: u64,
    /// So many events, from the first one on, do not say when they were due, so that no time is taken
    /// of them: connections are made meanwhile, files grow.
    #[arg(long, default_value_t = 0)]
    pub(crate) warm: u64,
    /// Stop after this many seconds, whatever was sent.
    #[arg(long, default_value_t = 300)]
    pub(crate) seconds: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Those of the accepted that nobody will take.
    pub(crate) failing: u64,
    pub(crate) seconds: f64,
    /// From the moment an event was due until its answer, in milliseconds.
    pub(crate) answer_p50: f64,
    pub(crate) answer_p99: f64,
    pub(crate) answer_p999: f64,
}

struct Shared {
    load: Load,
    claimed: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    failing: AtomicU64,
    deadline: Instant,
    due: Mutex<VecDeque<u64>>,
    permits: Semaphore,
    /// One for all connections, and of its full size from the start: one each, growing as it is filled,
    /// is tens of megabytes to touch just when the counting begins, and that disturbed what is measured
    /// for most of a second.
    times: Mutex<Histogram<u64>>,
}

/// An event with places for its type, its key, its time and its tenant.
struct Template {
    bytes: Vec<u8>,
    kind: usize,
    key: usize,
    time: usize,
    tenant: Option<usize>,
}

const TYPE_DIGITS: usize = 5;
const KEY_DIGITS: usize = 6;
const TENANT_DIGITS: usize = 5;
const TIME_DIGITS: usize = 19;

impl Template {
    fn new(size: usize, has_tenant: bool) -> Self {
        let tenant = if has_tenant { format!(r#""tenant":"t{:0TENANT_DIGITS$}","#, 0) } else { String::new() };
        let text = format!(
            r#"{{"type":"bench.{:0TYPE_DIGITS$}",{tenant}"key":"k{:0KEY_DIGITS$}","data":{{"t":"{:0TIME_DIGITS$}","pad":""#,
            0, 0, 0
        );
        let place = |of: &[u8]| wire::find(text.as_bytes(), of).unwrap_or(0) + of.len();
        let (kind, key, time) = (place(b"bench."), place(b"\"k"), place(b"\"t\":\""));
        // The first `"k` is that of the name `key`; the value comes behind it.
        let key = key + wire::find(&text.as_bytes()[key..], b"\"k").unwrap_or(0) + 2;
        let padding = "x".repeat(size.saturating_sub(text.len() + 3));
        let tenant = has_tenant.then(|| place(br#""tenant":"t"#));
        Self { bytes: format!("{text}{padding}\"}}}}").into_bytes(), kind, key, time, tenant }
    }
}

fn write_digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// A prepared request, of one event or many, filled anew each time that it is sent.
struct Prepared {
    request: Vec<u8>,
    template: Template,
    /// Where the first event begins.
    first: usize,
}

impl Prepared {
    fn new(load: &Load) -> Self {
        let template = Template::new(load.bytes, load.tenants > 0);
        let request = if load.batch > 1 {
            let mut body = vec![b'['];
            for n in 0..load.batch {
                body.extend_from_slice(if n > 0 { b"," } else { b"" });
                body.extend_from_slice(&template.bytes);
            }
            body.push(b']');
            wire::post("/v1/events/batch", &body)
        } else {
            wire::post("/v1/events", &template.bytes)
        };
        let first = wire::find(&request, b"{\"type").unwrap_or(0);
        Self { request, template, first }
    }

    /// Fills in the events from `number` on. How many of them nobody will take.
    fn fill(&mut self, load: &Load, number: u64, due: u64, random: &mut SmallRng) -> u64 {
        let said = if number < load.warm { 0 } else { due };
        let mut failing = 0;
        let mut at = self.first;
        for number in number..number + load.batch {
            let event = &mut self.request[at..at + self.template.bytes.len()];
            at += event.len() + 1;
            write_digits(&mut event[self.template.time..][..TIME_DIGITS], said);
            if load.types > 0 {
                let kind = random.random_range(0..load.types);
                failing += u64::from(kind < load.dead);
                write_digits(&mut event[self.template.kind..][..TYPE_DIGITS], u64::from(kind));
            }
            if let Some(place) = self.template.tenant {
                let tenant = load.first_tenant + random.random_range(0..load.tenants);
                write_digits(&mut event[place..][..TENANT_DIGITS], tenant.into());
            }
            let place = &mut event[self.template.key..][..KEY_DIGITS];
            let poisoned = load.poison > 0 && number.is_multiple_of(load.poison);
            if poisoned || (load.poison_once > 0 && number + 1 == load.poison_once) {
                place.copy_from_slice(b"poison");
                continue;
            }
            let keys = u64::from(load.keys);
            let key = if load.in_turn > 0 { number % keys } else { random.random_range(0..keys) };
            failing += u64::from(key % 1000 < u64::from(load.failing));
            write_digits(place, key);
        }
        failing
    }
}

/// Sends it all.
pub(crate) async fn run(load: Load) -> io::Result<Loaded> {
    let shared = Arc::new(Shared {
        claimed: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        failing: AtomicU64::new(0),
        deadline: Instant::now() + Duration::from_secs(load.seconds),
        due: Mutex::default(),
        permits: Semaphore::new(0),
        times: Mutex::new(clock::histogram()?),
        load,
    });
    let mut wires = Vec::new();
    for _ in 0..shared.load.connections {
        wires.push(Wire::connect(shared.load.target).await?);
    }
    let started = Instant::now();
    if shared.load.rate > 0 {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || pace(&shared));
    }
    let tasks: Vec<_> =
        wires.into_iter().zip(0..).map(|(wire, n)| tokio::spawn(one(wire, Arc::clone(&shared), n))).collect();
    for task in tasks {
        task.await??;
    }
    let times = shared.times.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Loaded {
        accepted: shared.accepted.load(Ordering::Relaxed),
        refused: shared.refused.load(Ordering::Relaxed),
        failing: shared.failing.load(Ordering::Relaxed),
        seconds: started.elapsed().as_secs_f64(),
        answer_p50: clock::millis(times.value_at_quantile(0.5)),
        answer_p99: clock::millis(times.value_at_quantile(0.99)),
        answer_p999: clock::millis(times.value_at_quantile(0.999)),
    })
}

/// Makes events due at their times: the time goes with the event, so that waiting for a free
/// connection counts (no coordinated omission).
fn pace(shared: &Shared) {
    let begin = clock::now();
    let gap = |n: u64| n * shared.load.batch * 1_000_000_000 / shared.load.rate;
    let requests = shared.load.events / shared.load.batch;
    let mut n = 0;
    while n < requests && Instant::now() < shared.deadline {
        let now = clock::now();
        let mut released = 0;
        let mut due = shared.due.lock().unwrap_or_else(PoisonError::into_inner);
        while n < requests && begin + gap(n) <= now {
            due.push_back(begin + gap(n));
            n += 1;
            released += 1;
        }
        drop(due);
        if released > 0 {
            shared.permits.add_permits(released);
        }
        std::thread::sleep(PACE);
    }
    shared.permits.close();
}

impl Shared {
    /// The next event's number and the time at which it was due, or `None` at the end.
    async fn next(&self) -> Option<(u64, u64)> {
        if self.load.rate > 0 {
            match self.permits.acquire().await {
                Ok(permit) => permit.forget(),
                // Closed when all are due; some may not be taken yet.
                Err(_) if Instant::now() >= self.deadline => return None,
                Err(_) => {}
            }
            let due = self.due.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
            return Some((self.claimed.fetch_add(self.load.batch, Ordering::Relaxed), due));
        }
        let n = self.claimed.fetch_add(self.load.batch, Ordering::Relaxed);
        (n < self.load.events && Instant::now() < self.deadline).then(|| (n, clock::now()))
    }
}

async fn one(mut wire: Wire, shared: Arc<Shared>, number: u64) -> io::Result<()> {
    let load = &shared.load;
    let mut random = SmallRng::seed_from_u64(number);
    let mut prepared = Prepared::new(load);
    while let Some((n, due)) = shared.next().await {
        let failing = prepared.fill(load, n, due, &mut random);
        wire.write(&prepared.request).await?;
        let message = wire.read().await?.ok_or_else(|| io::Error::other("the server closed the connection"))?;
        if wire::status(wire.head(&message)) == 202 {
            shared.accepted.fetch_add(load.batch, Ordering::Relaxed);
            shared.failing.fetch_add(failing, Ordering::Relaxed);
        } else {
            shared.refused.fetch_add(load.batch, Ordering::Relaxed);
        }
        wire.done(message);
        if n < load.warm {
            continue;
        }
        let took = clock::now().saturating_sub(due);
        shared.times.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
    }
    Ok(())
}
