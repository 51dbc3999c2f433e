//! Many attempts against receivers that misbehave in every way at once: do all end in time, and
//! does memory stay where it was?
//!
//! ```sh
//! cargo run --release -p laneway-webhook --example hostile_soak [attempts]
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement may fail by panicking")]

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{EgressPolicy, WebhookConfig, WebhookSink};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The deadline of an attempt.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Attempts at once, over all receivers.
const IN_FLIGHT: usize = 64;
const BEHAVIOURS: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let attempts: usize = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let mut sinks = Vec::new();
    for behaviour in 0..BEHAVIOURS {
        sinks.push(sink(behaviour).await);
    }
    run(&sinks, IN_FLIGHT * 4).await;
    let before = resident();
    let begun = Instant::now();
    let (latest, outcomes) = run(&sinks, attempts).await;
    let grown = resident().saturating_sub(before) / 1024;
    println!("{attempts} attempts in {:.1?}: {outcomes:?}", begun.elapsed());
    println!("the slowest attempt took {latest:.1?} of {TIMEOUT:?}; memory grew by {grown} KiB");
}

async fn sink(behaviour: usize) -> WebhookSink {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // What fails is the sink hanging up.
            tokio::spawn(async move { misbehave(behaviour, stream).await });
        }
    });
    let egress = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    WebhookSink::new(WebhookConfig { timeout: TIMEOUT, egress, ..WebhookConfig::new(url) }).unwrap()
}

async fn misbehave(behaviour: usize, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; 16 * 1024];
    let _ = stream.read(&mut request).await?;
    let (head, filler): (&[u8], &[u8]) = match behaviour {
        0 => (b"", b""),
        1 => (b"HTTP/1.1 200 OK\r\n", b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
        2 => (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
        3 => (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n", b"10\r\nzzzzzzzzzzzzzzzz\r\n"),
        4 => (b"HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n", b"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
        5 => (b"garbage", b"garbage"),
        6 => return Ok(()),
        _ => (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf", b""),
    };
    stream.write_all(head).await?;
    let filler = filler.repeat(100);
    loop {
        if filler.is_empty() {
            // Holds the connection until the sink lets go.
            if stream.read(&mut request).await? == 0 {
                return Ok(());
            }
        } else {
            stream.write_all(&filler).await?;
        }
    }
}

async fn run(sinks: &[WebhookSink], attempts: usize) -> (Duration, BTreeMap<&'static str, usize>) {
    use futures_util::StreamExt;
    let delivery = delivery();
    let attempt = |number: usize| {
        let (sink, delivery) = (&sinks[number % sinks.len()], &delivery);
        async move {
            let begun = Instant::now();
            let outcome = sink.deliver(delivery).await.outcomes.first().map_or("nothing", Outcome::label);
            (begun.elapsed(), outcome)
        }
    };
    let mut all = futures_util::stream::iter((0..attempts).map(attempt)).buffer_unordered(IN_FLIGHT);
    let (mut latest, mut outcomes) = (Duration::ZERO, BTreeMap::new());
    while let Some((took, outcome)) = all.next().await {
        latest = latest.max(took);
        *outcomes.entry(outcome).or_default() += 1;
    }
    (latest, outcomes)
}

fn delivery() -> Delivery {
    let event =
        Event::new(EventId::new("evt_1").unwrap(), EventType::new("order.paid").unwrap(), Bytes::from_static(b"{}"));
    let event =
        LoggedEvent { partition: Partition(0), offset: Offset(1), accepted_at: Timestamp::from_millis(1), event };
    Delivery::of(vec![Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }])
}

/// The resident memory of this process in bytes, as Linux counts it.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
