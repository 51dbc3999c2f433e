//! A worker may lose its lease while a delivery of it waits for a connection. Then nothing of it may be sent any more:
//! another worker may be further by now.

use crate::connections::{ANSWER, asked_for, connect};
use crate::events::{attempted, config, event};
use async_trait::async_trait;
use bytes::Bytes;
use h2::server::SendResponse;
use laneway_domain::Outcome;
use laneway_ports::{Delivery, Leave, Sink};
use laneway_webhook::{Dial, HttpVersion, WebhookConfig, WebhookSink};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A lease that the test holds.
#[derive(Debug)]
struct Held(watch::Receiver<bool>);

#[async_trait]
impl Leave for Held {
    fn holds(&self) -> bool {
        *self.0.borrow()
    }

    async fn ended(&self) {
        // Gone with the test, it has ended too.
        let _ = self.0.clone().wait_for(|held| !held).await;
    }
}

/// Begins to deliver an event of this id, under a lease.
fn begin<D: Dial>(sink: &Arc<WebhookSink<D>>, id: &str) -> (watch::Sender<bool>, JoinHandle<Outcome>) {
    let (lease, held) = watch::channel(true);
    let delivery = Delivery::of(vec![attempted(event(id))]).with_leave(Arc::new(Held(held)));
    let sink = Arc::clone(sink);
    (lease, tokio::spawn(async move { sink.deliver(&delivery).await.outcomes.remove(0) }))
}

/// Answers a request, and tells the id of its event.
async fn answer(receiver: &mut DuplexStream) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"{ \"total\" : 12.50 }") {
        assert_ne!(receiver.read_buf(&mut got).await.unwrap(), 0);
    }
    receiver.write_all(ANSWER).await.unwrap();
    let head = String::from_utf8(got).unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap();
    id.to_owned()
}

#[tokio::test]
async fn what_has_waited_for_its_connection_until_the_lease_was_over_is_not_sent() {
    let (sink, mut asked) = asked_for(config("http://127.0.0.1:9/"));
    let (lease, late) = begin(&sink, "late");
    let connection = asked.recv().await.unwrap();
    lease.send_replace(false);
    let mut receiver = connect(connection);
    assert_eq!(late.await.unwrap(), Outcome::NotTried);
    // The connection is of use to whoever comes next, and is the first of whom the receiver hears.
    let (_lease, next) = begin(&sink, "next");
    assert_eq!(answer(&mut receiver).await, "next");
    assert_eq!(next.await.unwrap(), Outcome::Delivered);
}

#[tokio::test]
async fn what_is_on_its_way_when_the_lease_ends_is_heard_to_its_end() {
    let (sink, mut asked) = asked_for(config("http://127.0.0.1:9/"));
    let (lease, delivery) = begin(&sink, "a");
    let mut receiver = connect(asked.recv().await.unwrap());
    receiver.read_exact(&mut [0; 4]).await.unwrap();
    lease.send_replace(false);
    answer(&mut receiver).await;
    assert_eq!(delivery.await.unwrap(), Outcome::Delivered);
}

fn id_of(request: &http::Request<h2::RecvStream>) -> &str {
    request.headers()["webhook-id"].to_str().unwrap()
}

fn confirm(mut respond: SendResponse<Bytes>) {
    respond.send_response(http::Response::new(()), true).unwrap();
}

/// Over HTTP/2 a request waits for a stream, or for the first connection.
#[tokio::test]
async fn what_has_waited_for_a_stream_until_the_lease_was_over_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let settings = WebhookConfig { http: HttpVersion::Http2, timeout: Duration::from_secs(60), ..config(url) };
    let sink = Arc::new(WebhookSink::new(settings).unwrap());
    // Its connection is not there yet, and goes with it.
    let (lease, unconnected) = begin(&sink, "unconnected");
    lease.send_replace(false);
    assert_eq!(unconnected.await.unwrap(), Outcome::NotTried);
    let (_first_lease, first) = begin(&sink, "first");
    let (stream, _) = listener.accept().await.unwrap();
    let mut server = h2::server::Builder::new();
    let mut connection = server.max_concurrent_streams(1).handshake::<_, Bytes>(stream).await.unwrap();
    let (request, respond) = connection.accept().await.unwrap().unwrap();
    assert_eq!(id_of(&request), "first");
    // The only stream is taken.
    let (lease, waiting) = begin(&sink, "waiting");
    let (_next_lease, next) = begin(&sink, "next");
    lease.send_replace(false);
    tokio::select! {
        outcome = waiting => assert_eq!(outcome.unwrap(), Outcome::NotTried),
        _ = connection.accept() => panic!("there is one stream, and it is taken"),
    }
    confirm(respond);
    let (request, respond) = connection.accept().await.unwrap().unwrap();
    assert_eq!(id_of(&request), "next");
    confirm(respond);
    let both = async { (first.await.unwrap(), next.await.unwrap()) };
    tokio::select! {
        outcomes = both => assert_eq!(outcomes, (Outcome::Delivered, Outcome::Delivered)),
        more = connection.accept() => panic!("nothing else was to come: {more:?}"),
    }
}
