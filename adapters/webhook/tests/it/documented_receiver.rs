//! The receiver that the documentation shows, run as it stands there, against every shape of an event.

use crate::events::{attempted, config, event};
use bytes::Bytes;
use laneway_domain::{Event, Key, MAX_ATTRIBUTES, Outcome};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use std::process::Stdio;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

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

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a test connects as it likes")]
async fn the_documented_receiver_takes_every_shape_of_an_event() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut receiver = Command::new("python3")
        .args(["-c", &program(address.port())])
        .env("BILLING_SECRET", SECRET)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the tests need python3");
    while TcpStream::connect(address).await.is_err() {
        assert!(receiver.try_wait().unwrap().is_none(), "the receiver ended by itself");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let settings = WebhookConfig { secrets: vec![Secret::new(SECRET)], ..config(format!("http://{address}/hooks")) };
    let sink = WebhookSink::new(settings).unwrap();
    for (shape, attempted) in shapes() {
        let outcomes = sink.deliver(&Delivery { events: vec![attempted] }).await.outcomes;
        assert_eq!(outcomes, [Outcome::Delivered], "{shape}");
    }
}
