//! Connections: how many are kept, for how long, and that none outlives its use.

use crate::events::{config, deliver, event, retry_reason};
use bytes::Bytes;
use laneway_domain::{Event, Outcome};
use laneway_webhook::{WebhookConfig, WebhookSink};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
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
