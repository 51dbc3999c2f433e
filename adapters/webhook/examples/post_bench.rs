//! What a delivery costs beyond a bare POST: `WebhookSink::deliver` against a bare hyper-util
//! client, each with the same receiver in the same process, taking turns.
//!
//! ```sh
//! cargo run --release -p laneway-webhook --example post_bench [seconds per turn] [turns]
//! ```
//!
//! The senders run on one thread and are charged with that thread's CPU time; the receiver runs on
//! another. The bare client sends the same body with content type and length only. `signed` is the
//! sink with one HMAC secret. `batch` is the same with 100 events a request: its figures are per
//! event, and its ratio is of events a second to those of `signed`.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{EgressPolicy, Secret, WebhookConfig, WebhookSink};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

const CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 512;
const BATCH_EVENTS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let turn = Duration::from_secs(arguments.next().unwrap_or(2));
    let turns = arguments.next().unwrap_or(5);
    let address = start_receiver();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let bare = (bare_client(), format!("http://{address}/hooks").parse().unwrap(), body());
    let (plain, signed, batch) = (sink(address, false, 1), sink(address, true, 1), sink(address, true, BATCH_EVENTS));
    let mut costs: [Vec<f64>; 4] = Default::default();
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..turns {
        let measured = [
            runtime.block_on(measure("bare client", turn, 1, || post(&bare))),
            runtime.block_on(measure("sink", turn, 1, || deliver(&plain))),
            runtime.block_on(measure("sink, signed", turn, 1, || deliver(&signed))),
            runtime.block_on(measure("batch of 100", turn, BATCH_EVENTS, || deliver(&batch))),
        ];
        for (n, (rate, cost)) in measured.into_iter().enumerate() {
            rates[n].push(rate);
            costs[n].push(cost);
        }
    }
    let [bare, plain, signed, batch] = costs.map(median);
    println!("median CPU per event: bare {bare:.2} µs, sink {plain:.2} µs, signed {signed:.2} µs, batch {batch:.2} µs");
    println!("ratio: sink {:.2}, signed {:.2}", plain / bare, signed / bare);
    let [.., single, batch] = rates.map(median);
    println!("median events/s: single {single:.0}, batch {batch:.0}; ratio: batch {:.1}", batch / single);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Sends `events` at a time on 64 lanes for `turn`; events a second, and the CPU time of this thread
/// per event, in µs.
async fn measure<F: Future<Output = ()>>(name: &str, turn: Duration, events: usize, one: impl Fn() -> F) -> (f64, f64) {
    for _ in 0..CONNECTIONS {
        one().await;
    }
    let done = AtomicU64::new(0);
    let (begun, cpu) = (Instant::now(), thread_cpu());
    let lane = || async {
        while begun.elapsed() < turn {
            one().await;
            done.fetch_add(events as u64, Ordering::Relaxed);
        }
    };
    futures_util::future::join_all((0..CONNECTIONS).map(|_| lane())).await;
    let (count, cpu, wall) = (done.load(Ordering::Relaxed) as f64, thread_cpu() - cpu, begun.elapsed().as_secs_f64());
    println!("{name:>12}: {:>7.0}/s, {:.2} µs CPU each", count / wall, cpu * 1e6 / count);
    (count / wall, cpu * 1e6 / count)
}

/// The CPU time of this thread in seconds, as Linux counts it.
fn thread_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn bare_client() -> Client<HttpConnector, Full<Bytes>> {
    #[allow(clippy::disallowed_methods, reason = "it is what the sink is compared with")]
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn body() -> Bytes {
    Bytes::from(format!("{{\"filler\":\"{}\"}}", "x".repeat(BODY_BYTES - 13)))
}

async fn post((client, uri, body): &(Client<HttpConnector, Full<Bytes>>, Uri, Bytes)) {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = client.request(request).await.unwrap();
    assert!(response.status().is_success());
    response.into_body().collect().await.unwrap();
}

fn sink(address: SocketAddr, signed: bool, events: usize) -> (WebhookSink, Delivery) {
    let secrets = if signed { vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")] } else { Vec::new() };
    let egress = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    let batch = events > 1;
    let config = WebhookConfig { secrets, egress, batch, ..WebhookConfig::new(format!("http://{address}/hooks")) };
    let event = Event {
        key: Some(Key::new("order-7").unwrap()),
        ..Event::new(
            EventId::new("0190a5c2-7f2e-7cc0-b8ac-0a1b2c3d4e5f").unwrap(),
            EventType::new("order.paid").unwrap(),
            body(),
        )
    };
    let accepted_at = Timestamp::from_millis(1_700_000_000_123);
    let logged = |n| {
        let event = LoggedEvent { partition: Partition(3), offset: Offset(n), accepted_at, event: event.clone() };
        Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }
    };
    let delivery = Delivery::of((0..events as u64).map(logged).collect());
    (WebhookSink::new(config).unwrap(), delivery)
}

async fn deliver((sink, delivery): &(WebhookSink, Delivery)) {
    let outcomes = sink.deliver(delivery).await.outcomes;
    assert!(outcomes.len() == delivery.events.len() && outcomes.iter().all(|outcome| *outcome == Outcome::Delivered));
}

/// A receiver on a thread of its own that reads each body and answers 200 without one.
fn start_receiver() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serve);
            }
        });
    });
    told.recv().unwrap()
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    Ok(Response::new(Empty::new()))
}
