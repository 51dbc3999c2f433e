//! Connections: how many are kept, for how long, and that none outlives its use.

use crate::events::{attempted, config, deliver, event, retry_reason};
use bytes::Bytes;
use laneway_domain::{Cause, End, Event, Outcome};
use laneway_ports::{Delivery, Sink};
use laneway_webhook::{Dial, HttpVersion, SystemResolver, WebhookConfig, WebhookSink};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A success.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How long to wait for the sink to hang up; a sink that does not fails the test.
const PATIENCE: Duration = Duration::from_secs(10);

async fn listener() -> (TcpListener, WebhookConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, WebhookConfig { timeout: Duration::from_millis(300), ..config(url) })
}

/// Reads up to the end of a request's body.
async fn read_request(stream: &mut TcpStream) {
    let mut got = Vec::new();
    while !got.ends_with(b"{ \"total\" : 12.50 }") {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
}

/// Waits for the sink to end the connection.
async fn hung_up(stream: &mut TcpStream) {
    let read = async {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_timed_out_closes_its_connection() {
    let (listener, settings) = listener().await;
    let sink = WebhookSink::new(settings).unwrap();
    let (outcome, accepted) = tokio::join!(deliver(&sink, event("a")), listener.accept());
    retry_reason(outcome);
    hung_up(&mut accepted.unwrap().0).await;
}

#[tokio::test]
async fn an_attempt_whose_body_nobody_reads_ends_and_closes_its_connection() {
    let (listener, settings) = listener().await;
    let sink = WebhookSink::new(settings).unwrap();
    // More than the kernel buffers on both sides.
    let large = Event { data: Bytes::from(vec![b'z'; 32 << 20]), ..event("a") };
    let (outcome, accepted) = tokio::join!(deliver(&sink, large), listener.accept());
    retry_reason(outcome);
    hung_up(&mut accepted.unwrap().0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let (listener, settings) = listener().await;
    let sink = WebhookSink::new(WebhookConfig { idle_timeout: Duration::from_millis(100), ..settings }).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        stream
    };
    let (outcome, mut stream) = tokio::join!(deliver(&sink, event("a")), serve);
    assert_eq!(outcome, Outcome::Delivered);
    hung_up(&mut stream).await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_was_said() {
    let (listener, settings) = listener().await;
    let settings = WebhookConfig { max_idle_connections: 2, timeout: PATIENCE, ..settings };
    let sink = WebhookSink::new(settings).unwrap();
    let serve = async {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            streams.push(stream);
        }
        for stream in &mut streams {
            stream.write_all(ANSWER).await.unwrap();
        }
        streams
    };
    let deliveries = futures_util::future::join_all((0..5).map(|_| deliver(&sink, event("a"))));
    let (outcomes, mut streams) = tokio::join!(deliveries, serve);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered));
    let mut ends: futures_util::stream::FuturesUnordered<_> = streams.iter_mut().map(hung_up).collect();
    for _ in 0..3 {
        futures_util::StreamExt::next(&mut ends).await.unwrap();
    }
    drop(ends);
    let kept = streams.iter_mut().filter(|stream| {
        let state = stream.try_read(&mut [0]);
        matches!(state, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert_eq!(kept.count(), 2);
}

#[tokio::test]
async fn a_sink_that_is_dropped_closes_its_connections() {
    let (listener, settings) = listener().await;
    let sink = WebhookSink::new(settings).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        stream
    };
    let (outcome, mut stream) = tokio::join!(deliver(&sink, event("a")), serve);
    assert_eq!(outcome, Outcome::Delivered);
    drop(sink);
    hung_up(&mut stream).await;
}

/// Connections that are there when the test says so.
pub(crate) struct Asked(mpsc::UnboundedSender<oneshot::Sender<DuplexStream>>);

impl Dial for Asked {
    type Stream = DuplexStream;

    async fn dial(&self, _: SocketAddr) -> std::io::Result<DuplexStream> {
        let (to_us, stream) = oneshot::channel();
        self.0.send(to_us).expect("the test goes on");
        Ok(stream.await.expect("the test goes on"))
    }
}

/// The connection is there; this is the receiver's end.
pub(crate) fn connect(asked: oneshot::Sender<DuplexStream>) -> DuplexStream {
    let (here, there) = duplex(64 * 1024);
    asked.send(here).expect("somebody waits for it");
    there
}

async fn exchange(receiver: &mut DuplexStream, answer: &[u8]) {
    let mut got = Vec::new();
    while !got.ends_with(b"{ \"total\" : 12.50 }") {
        assert_ne!(receiver.read_buf(&mut got).await.unwrap(), 0);
    }
    receiver.write_all(answer).await.unwrap();
}

/// A sink whose connections are there when the test says so, and who asks for one.
pub(crate) fn asked_for(
    settings: WebhookConfig,
) -> (Arc<WebhookSink<Asked>>, mpsc::UnboundedReceiver<oneshot::Sender<DuplexStream>>) {
    let (to_us, asked) = mpsc::unbounded_channel();
    let sink = WebhookSink::with_dial(settings, Arc::new(SystemResolver), Asked(to_us)).unwrap();
    (Arc::new(sink), asked)
}

/// The same, with what begins a delivery.
fn asking() -> (impl Fn(&'static str) -> JoinHandle<Outcome>, mpsc::UnboundedReceiver<oneshot::Sender<DuplexStream>>) {
    let (sink, asked) = asked_for(WebhookConfig { timeout: PATIENCE, ..config("http://127.0.0.1:9/") });
    let begin = move |id: &str| {
        let (sink, delivery) = (Arc::clone(&sink), Delivery::of(vec![attempted(event(id))]));
        tokio::spawn(async move { sink.deliver(&delivery).await.outcomes.remove(0) })
    };
    (begin, asked)
}

/// A connection takes its time. Whoever waits for one takes another that is free before, and the new one is not lost.
#[tokio::test]
async fn whoever_waits_takes_the_first_connection_that_is_free() {
    let (begin, mut asked) = asking();
    let first = begin("first");
    let mut one = connect(asked.recv().await.unwrap());
    let second = begin("second");
    // It asks for a connection of its own, since the only one is in use …
    let for_second = asked.recv().await.unwrap();
    exchange(&mut one, ANSWER).await;
    assert_eq!(first.await.unwrap(), Outcome::Delivered);
    // … and goes over the other, as soon as that is free.
    exchange(&mut one, ANSWER).await;
    assert_eq!(second.await.unwrap(), Outcome::Delivered);
    // Its own comes when nobody waits any more, and serves those who come then.
    let mut two = connect(for_second);
    for n in 0..2 {
        let (third, fourth) = (begin("third"), begin("fourth"));
        tokio::join!(exchange(&mut one, ANSWER), exchange(&mut two, ANSWER));
        assert_eq!((third.await.unwrap(), fourth.await.unwrap()), (Outcome::Delivered, Outcome::Delivered), "{n}");
    }
    assert!(asked.try_recv().is_err(), "two connections are enough for two at a time");
}

/// Who waits is not forgotten when the connection that it waits for turns out to be of no use.
#[tokio::test]
async fn whoever_waits_has_a_connection_of_its_own_if_no_other_can_be_used() {
    let (begin, mut asked) = asking();
    let first = begin("first");
    let mut one = connect(asked.recv().await.unwrap());
    let second = begin("second");
    let for_second = asked.recv().await.unwrap();
    exchange(&mut one, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(first.await.unwrap(), Outcome::Delivered);
    exchange(&mut connect(for_second), ANSWER).await;
    assert_eq!(second.await.unwrap(), Outcome::Delivered);
}

/// An idle connection gives its buffers back after a second. It can be used all the same, and its end is noticed.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_long_is_used_again() {
    let (begin, mut asked) = asking();
    let first = begin("first");
    let mut one = connect(asked.recv().await.unwrap());
    exchange(&mut one, ANSWER).await;
    assert_eq!(first.await.unwrap(), Outcome::Delivered);
    for _ in 0..3 {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let again = begin("again");
        exchange(&mut one, ANSWER).await;
        assert_eq!(again.await.unwrap(), Outcome::Delivered);
        assert!(asked.try_recv().is_err(), "the one that is there is used");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(one);
    let last = begin("last");
    exchange(&mut connect(asked.recv().await.unwrap()), ANSWER).await;
    assert_eq!(last.await.unwrap(), Outcome::Delivered);
}

/// Connections that are there only after more time than an attempt has: the machine stood still for so long.
struct StoodStill(mpsc::UnboundedSender<DuplexStream>);

impl Dial for StoodStill {
    type Stream = DuplexStream;

    async fn dial(&self, _: SocketAddr) -> std::io::Result<DuplexStream> {
        let (here, there) = duplex(64 * 1024);
        self.0.send(there).expect("the test goes on");
        // Nothing else happens in between.
        let _ = futures_util::FutureExt::now_or_never(tokio::time::advance(2 * PATIENCE));
        Ok(here)
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_the_deadline_has_passed() {
    for http in [HttpVersion::Auto, HttpVersion::Http2] {
        let (to_us, mut opened) = mpsc::unbounded_channel();
        let settings = WebhookConfig { timeout: PATIENCE, http, ..config("http://127.0.0.1:9/") };
        let sink = WebhookSink::with_dial(settings, Arc::new(SystemResolver), StoodStill(to_us)).unwrap();
        let outcome = sink.deliver(&Delivery::of(vec![attempted(event("a"))])).await.outcomes.remove(0);
        assert_eq!(outcome.end(), End::Failed(Cause::NotConnected), "{outcome:?}");
        drop(sink);
        let mut got = Vec::new();
        opened.recv().await.unwrap().read_to_end(&mut got).await.unwrap();
        assert!(!got.windows(4).any(|four| four == b"POST"), "{}", String::from_utf8_lossy(&got));
    }
}

/// An early success has a second for the rest of its request, but no longer than the attempt has.
#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_its_deadline_although_the_rest_of_its_request_is_on_its_way() {
    let timeout = Duration::from_millis(500);
    let (sink, mut asked) = asked_for(WebhookConfig { timeout, ..config("http://127.0.0.1:9/") });
    let begun = tokio::time::Instant::now();
    let large = Event { data: Bytes::from(vec![b'z'; 1 << 20]), ..event("a") };
    let delivery = Delivery::of(vec![attempted(large)]);
    let receiver = async {
        let mut stream = connect(asked.recv().await.unwrap());
        stream.read_exact(&mut [0; 100]).await.unwrap();
        stream.write_all(ANSWER).await.unwrap();
        stream
    };
    let (report, _open) = tokio::join!(sink.deliver(&delivery), receiver);
    assert_eq!(report.outcomes[0].end(), End::Failed(Cause::Unanswered), "{report:?}");
    assert_eq!(begun.elapsed(), timeout);
}
