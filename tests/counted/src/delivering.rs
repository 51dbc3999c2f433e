//! From an event to the receiver's answer: the webhook sink, over a connection in memory.

use crate::sample;
use laneway_domain::{Outcome, Partition};
use laneway_ports::{Attempted, Delivery, Sink as _};
use laneway_webhook::{Dial, EgressPolicy, Secret, SystemResolver, WebhookConfig, WebhookSink};
use memchr::memmem;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// How a destination wants its events.
pub(crate) struct Wish {
    signed: bool,
    /// How many go in one request; 0: one, which is no list.
    list_of: usize,
    /// How many destinations there are, each of which gets every event.
    destinations: usize,
}

pub(crate) const PLAIN: Wish = Wish { signed: false, list_of: 0, destinations: 1 };
pub(crate) const SIGNED: Wish = Wish { signed: true, ..PLAIN };
pub(crate) const TWICE: Wish = Wish { destinations: 2, ..PLAIN };
/// A CloudEvents JSON batch.
pub(crate) const BATCH: Wish = Wish { list_of: 16, ..PLAIN };

/// More than a request has, so that neither side waits for the other.
const BUFFER: usize = 64 << 10;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

pub(crate) fn run(wish: &Wish, events: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let receiver = || Receiver { signed: wish.signed };
        let sink = |_| WebhookSink::with_dial(config(wish), Arc::new(SystemResolver), receiver());
        let sinks: Result<Vec<_>, _> = (0..wish.destinations).map(sink).collect();
        let sinks = sinks.expect("the settings are right");
        let mut delivered = 0;
        let each = wish.list_of.max(1);
        for first in (0..events).step_by(each) {
            let delivery = Delivery::of((first..events.min(first + each)).map(attempted).collect());
            for sink in &sinks {
                let report = sink.deliver(&delivery).await;
                delivered += report.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
            }
        }
        delivered / wish.destinations
    })
}

fn config(wish: &Wish) -> WebhookConfig {
    let secret = Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    WebhookConfig {
        secrets: if wish.signed { vec![secret] } else { Vec::new() },
        batch: wish.list_of > 0,
        egress: EgressPolicy::allowing(["127.0.0.1/32".parse().expect("a range")]),
        ..WebhookConfig::new("http://127.0.0.1:9/hooks/orders")
    }
}

fn attempted(n: usize) -> Attempted {
    let event = sample::logged(n, Partition(3), n as u64);
    Attempted { event, attempt: 1, redrive: false, replay: None, fresh: false }
}

/// Answers every request with 204; without the signature that it should have, with nothing any more.
struct Receiver {
    signed: bool,
}

impl Dial for Receiver {
    type Stream = DuplexStream;

    async fn dial(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(answer(theirs, self.signed));
        Ok(ours)
    }
}

async fn answer(mut connection: DuplexStream, signed: bool) -> Option<()> {
    let mut came = Vec::with_capacity(BUFFER);
    loop {
        let Some(length) = request(&came, signed)? else {
            if connection.read_buf(&mut came).await.ok()? == 0 {
                return None;
            }
            continue;
        };
        came.drain(..length);
        connection.write_all(ANSWER).await.ok()?;
    }
}

/// How long the first request is, once all of it is here; the outer `None` if there is something wrong with it.
fn request(came: &[u8], signed: bool) -> Option<Option<usize>> {
    let Some(head) = memmem::find(came, b"\r\n\r\n") else { return Some(None) };
    let headers = &came[..head];
    if memmem::find(headers, b"\r\nwebhook-signature: v1,").is_some() != signed {
        return None;
    }
    let name = b"\r\ncontent-length: ";
    let digits = &headers[memmem::find(headers, name)? + name.len()..];
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let body = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    let length = head + 4 + body;
    Some((came.len() >= length).then_some(length))
}
