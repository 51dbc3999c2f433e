//! The receiver that the documentation shows, run as it stands there, against every shape of an event.

use crate::events::{attempted, config, event};
use bytes::Bytes;
use laneway_domain::{Cause, End, Event, EventId, Key, MAX_ATTRIBUTES, Offset, Outcome};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

/// The page that shows it.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/webhooks.md");
/// Where the page's receiver listens; the only thing that is changed in it.
const ADDRESS: &str = "(\"127.0.0.1\", 9000)";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn program(port: u16) -> String {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let block = page.split("```python\n").nth(1).expect("the page shows a receiver in Python");
    let block = block.split("```").next().unwrap();
    assert!(block.contains(ADDRESS), "{block}");
    block.replace(ADDRESS, &format!("(\"127.0.0.1\", {port})"))
}

fn shapes() -> Vec<(&'static str, Attempted)> {
    let with = |change: &dyn Fn(&mut Event)| {
        let mut event = event("a");
        change(&mut event);
        attempted(event)
    };
    let attributes = (0..MAX_ATTRIBUTES).map(|n| (format!("a{n}").into(), "\u{fc}".repeat(20).into()));
    let attributes: std::collections::BTreeMap<_, _> = attributes.collect();
    vec![
        ("as it is", with(&|_| ())),
        ("without a key", with(&|event| event.key = None)),
        ("without data", with(&|event| event.data = Bytes::new())),
        (
            "text without data",
            with(&|event| {
                event.data = Bytes::new();
                event.content_type = "text/plain".into();
            }),
        ),
        (
            "bytes",
            with(&|event| {
                event.data = Bytes::from_static(&[0, 255, 10, 13]);
                event.content_type = "application/octet-stream".into();
            }),
        ),
        ("a key in other letters", with(&|event| event.key = Some(Key::new("kunde \u{fc} 100%").unwrap()))),
        (
            "nothing but what has to be",
            with(&|event| {
                (event.key, event.source, event.subject, event.time) = (None, None, None, None);
                event.attributes.clear();
            }),
        ),
        ("all attributes", with(&|event| event.attributes.clone_from(&attributes))),
        ("a later attempt", Attempted { attempt: 9, ..with(&|_| ()) }),
        ("a retried dead letter", Attempted { redrive: true, ..with(&|_| ()) }),
        ("a replayed event", Attempted { redrive: true, replay: Some(7), ..with(&|_| ()) }),
        (
            "a replayed event without a key",
            Attempted { redrive: true, replay: Some(7), ..with(&|event| event.key = None) },
        ),
        ("a retried dead letter without a key", Attempted { redrive: true, ..with(&|event| event.key = None) }),
    ]
}

/// Runs `program`, and waits until it listens.
#[allow(clippy::disallowed_methods, reason = "a test connects as it likes")]
async fn run(program: &str, address: SocketAddr, stdout: Stdio) -> Child {
    let mut receiver = Command::new("python3")
        .args(["-c", program])
        .env("BILLING_SECRET", SECRET)
        .stdout(stdout)
        .kill_on_drop(true)
        .spawn()
        .expect("the tests need python3");
    while TcpStream::connect(address).await.is_err() {
        assert!(receiver.try_wait().unwrap().is_none(), "the receiver ended by itself");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    receiver
}

/// A port that nobody else gets, and the socket that keeps it so: bound, never listening, and shared with the receiver.
fn free() -> (TcpSocket, SocketAddr) {
    let kept = TcpSocket::new_v4().unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    kept.set_reuseaddr(true).unwrap();
    let address = kept.local_addr().unwrap();
    (kept, address)
}

fn sink(address: SocketAddr) -> WebhookSink {
    let settings = WebhookConfig { secrets: vec![Secret::new(SECRET)], ..config(format!("http://{address}/hooks")) };
    WebhookSink::new(settings).unwrap()
}

#[tokio::test]
async fn the_documented_receiver_takes_every_shape_of_an_event() {
    let (_kept, address) = free();
    let _receiver = run(&program(address.port()), address, Stdio::null()).await;
    let sink = sink(address);
    for (shape, attempted) in shapes() {
        let outcomes = sink.deliver(&Delivery::of(vec![attempted])).await.outcomes;
        assert_eq!(outcomes, [Outcome::Delivered], "{shape}");
    }
}

/// Work that fails is done when the event comes again, and done once.
#[tokio::test]
async fn the_documented_receiver_loses_nothing_when_its_work_fails() {
    /// Instead of the page's work: the first attempt at each offset fails.
    const FAILS_ONCE: &str = "failed = set()\n\
        def work(kind, key, offset, body):\n    \
            if offset not in failed:\n        \
                failed.add(offset)\n        \
                raise RuntimeError('it fails once')\n    \
            print(offset, flush=True)\n\n\
        class Receiver";
    let (_kept, address) = free();
    let program = program(address.port());
    assert_eq!(program.matches("class Receiver").count(), 1);
    let program = program.replace("class Receiver", FAILS_ONCE);
    let mut receiver = run(&program, address, Stdio::piped()).await;
    let sink = sink(address);
    let mut expected = Vec::new();
    for (number, (shape, attempted)) in (41_u64..).zip(shapes()) {
        let mut logged = (*attempted.event).clone();
        logged.event.id = EventId::new(&format!("event {number}")).unwrap();
        logged.offset = Offset(number);
        let events = vec![Attempted { event: Arc::new(logged), ..attempted }];
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push(sink.deliver(&Delivery::of(events.clone())).await.outcomes.remove(0).end());
        }
        assert_eq!(ends, [End::Failed(Cause::Refused), End::Delivered, End::Delivered], "{shape}");
        expected.push(number.to_string());
    }
    receiver.start_kill().unwrap();
    let done = receiver.wait_with_output().await.unwrap().stdout;
    let done: Vec<_> = std::str::from_utf8(&done).unwrap().lines().collect();
    assert_eq!(done, expected, "the work of each was done once");
}
