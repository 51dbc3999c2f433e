//! What a batch costs beyond a bare `insert_many`: `MongoSink::deliver`, and the driver alone behind
//! the egress guard, against a loop of the driver alone, all with `w: "majority", j: true`, the same
//! documents and the same number of batches under way, in the same process against the same server,
//! taking turns.
//!
//! ```sh
//! cargo run --release -p laneway-mongodb --example insert_bench [events per batch] [seconds per turn] [turns]
//! ```
//!
//! The server is the one at `LANEWAY_TEST_MONGODB_URI`, or one that the benchmark starts. The
//! driver gets documents that are made already; the sink gets events, and makes them.
#![allow(clippy::disallowed_methods, reason = "the driver alone is what the sink is compared with")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use futures_util::future::join_all;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_egress::{EgressPolicy, Guard, GuardedProxy};
use laneway_mongodb::{Mode, MongoConfig, MongoSink};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_servers::mongodb::MongoServer;
use mongodb::bson::{DateTime, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, ClientOptions, Socks5Proxy, WriteConcern};
use mongodb::{Client, Collection};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Batches under way at once.
const IN_FLIGHT: usize = 4;
/// Bytes of text in an event's data.
const TEXT_BYTES: usize = 400;
const KEYS: u64 = 1000;

/// No two events of a run have the same number, whoever sends them.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let batch = arguments.next().unwrap_or(100);
    let turn = Duration::from_secs(arguments.next().unwrap_or(3));
    let turns = arguments.next().unwrap_or(7);
    let server = MongoServer::start().await.unwrap();
    let egress = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    let config = MongoConfig::parse(&server.url("sink", ""), Mode::Insert, Duration::from_secs(30), &egress).unwrap();
    let sink = MongoSink::new(config).unwrap();
    let proxy = GuardedProxy::start(Guard::new(egress)).await.unwrap();
    let (bare, behind) = (bare(&server, None).await, bare(&server, Some(&proxy)).await);
    let mut rates: [Vec<f64>; 3] = Default::default();
    for n in 0..=turns {
        let driver = measure(turn, batch, async || insert(&bare, batch).await).await;
        let guarded = measure(turn, batch, async || insert(&behind, batch).await).await;
        let sink = measure(turn, batch, async || deliver(&sink, batch).await).await;
        // The first turn warms up.
        if n > 0 {
            println!("turn {n}: driver {driver:.0} events/s, guarded {guarded:.0} events/s, sink {sink:.0} events/s");
            for (rates, rate) in rates.iter_mut().zip([driver, guarded, sink]) {
                rates.push(rate);
            }
        }
    }
    let [driver, guarded, sink] = rates.map(median);
    println!("batches of {batch}, {IN_FLIGHT} under way, median of {turns} turns of {turn:?}:");
    let percent = |rate: f64| 100.0 * rate / driver;
    println!("driver {driver:.0} events/s, guarded {:.0} %, sink {:.0} %", percent(guarded), percent(sink));
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// The driver alone, with the connections of its own, or through the guard's proxy.
async fn bare(server: &MongoServer, proxy: Option<&GuardedProxy>) -> Collection<RawDocumentBuf> {
    let (uri, _) = server.url("bare", "").rsplit_once("/bare").map(|(a, b)| (format!("{a}{b}"), ())).unwrap();
    let mut options = ClientOptions::parse(uri).await.unwrap();
    options.socks5_proxy = proxy.map(|proxy| {
        let (user, password) = proxy.login();
        let proxied = Socks5Proxy::builder().host(proxy.address().ip().to_string()).port(proxy.address().port());
        proxied.authentication((user.to_owned(), password.to_owned())).build()
    });
    let client = Client::with_options(options).unwrap();
    let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let options = mongodb::options::CollectionOptions::builder().write_concern(concern).build();
    client.default_database().unwrap().collection_with_options("bare", options)
}

/// Events a second, of [`IN_FLIGHT`] loops.
async fn measure<F: Future<Output = ()>>(turn: Duration, batch: u64, one: impl Fn() -> F) -> f64 {
    let begun = Instant::now();
    let work = (0..IN_FLIGHT).map(|_| async {
        let mut batches = 0;
        while begun.elapsed() < turn {
            one().await;
            batches += 1;
        }
        batches
    });
    let batches: u64 = join_all(work).await.into_iter().sum();
    f64::from(u32::try_from(batches * batch).unwrap()) / begun.elapsed().as_secs_f64()
}

fn text(n: u64) -> String {
    format!("{n:-^TEXT_BYTES$}")
}

async fn insert(collection: &Collection<RawDocumentBuf>, batch: u64) {
    let first = NEXT.fetch_add(batch, Ordering::Relaxed);
    let document = |n: u64| {
        let document = doc! {
            "_id": format!("evt_{n}"),
            "type": "order.paid",
            "key": format!("order-{}", n % KEYS),
            "contentType": "application/json",
            "dataEncoding": "bson",
            "data": { "n": n.cast_signed(), "total": 12.5, "text": text(n) },
            "partition": 3_i64,
            "offset": n.cast_signed(),
            "acceptedAt": DateTime::from_millis(1_700_000_000_000),
        };
        RawDocumentBuf::try_from(&document).unwrap()
    };
    let documents: Vec<RawDocumentBuf> = (first..first + batch).map(document).collect();
    assert_eq!(collection.insert_many(documents).await.unwrap().inserted_ids.len() as u64, batch);
}

async fn deliver(sink: &MongoSink, batch: u64) {
    let first = NEXT.fetch_add(batch, Ordering::Relaxed);
    let event = |n: u64| {
        let event = Event {
            key: Some(Key::new(&format!("order-{}", n % KEYS)).unwrap()),
            ..Event::new(
                EventId::new(&format!("evt_{n}")).unwrap(),
                EventType::new("order.paid").unwrap(),
                format!("{{\"n\":{n},\"total\":12.50,\"text\":\"{}\"}}", text(n)).into(),
            )
        };
        let accepted_at = Timestamp::from_millis(1_700_000_000_000);
        let event = LoggedEvent { partition: Partition(3), offset: Offset(n), accepted_at, event };
        Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }
    };
    let events: Vec<Attempted> = (first..first + batch).map(event).collect();
    let outcomes = sink.deliver(&Delivery::of(events)).await.outcomes;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{outcomes:?}");
}
