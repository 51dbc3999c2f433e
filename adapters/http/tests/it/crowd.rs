//! More connections than there are places: who goes, and who always gets in.

use crate::limits::{PATIENCE, Running, answer, event, limited, request, rest, start};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use laneway_http::Limits;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

async fn asks(running: &Running, request: &str) -> String {
    let mut stream = connect(running).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await
}

/// A connection of HTTP/2 that asks for nothing; ends when the server ends it.
async fn idle_http2(running: &Running) -> JoinHandle<()> {
    let io = TokioIo::new(connect(running).await);
    let (send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
        drop(send);
    })
}

fn with_places(connections: usize) -> Limits {
    Limits { connections, ..Limits::default() }
}

#[tokio::test]
async fn whoever_comes_displaces_the_longest_idle() {
    let running = start(limited(with_places(2))).await;
    let mut first = connect(&running).await;
    let mut second = connect(&running).await;
    for stream in [&mut first, &mut second] {
        stream.write_all(event().as_bytes()).await.unwrap();
        assert!(answer(stream).await.starts_with("HTTP/1.1 202 "));
    }
    assert!(asks(&running, &event()).await.starts_with("HTTP/1.1 202 "));
    assert_eq!(rest(&mut first).await, "", "the first is closed, with nothing under way");
    second.write_all(event().as_bytes()).await.unwrap();
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 202 "), "the second is still there");
}

#[tokio::test]
async fn connections_that_ask_for_nothing_close_the_server_to_nobody() {
    let running = start(limited(with_places(4))).await;
    let idle = futures_util::future::join_all((0..4).map(|_| idle_http2(&running))).await;
    // As many that begin a request and do not end it.
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&running).await;
        stream.write_all(b"POST /v1/events HTTP/1.1\r\nhost: lo").await.unwrap();
        slow.push(stream);
    }
    for _ in 0..3 {
        assert!(asks(&running, HEALTH).await.starts_with("HTTP/1.1 200 "));
        assert!(asks(&running, &event()).await.starts_with("HTTP/1.1 202 "));
    }
    for connection in idle {
        timeout(PATIENCE, connection).await.expect("it was displaced").unwrap();
    }
}

#[tokio::test]
async fn an_idle_connection_of_http_2_ends_as_one_of_http_1_does() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let running = start(limited(limits)).await;
    let idle = idle_http2(&running).await;
    timeout(PATIENCE, idle).await.expect("it ends").unwrap();
    let mut silent = connect(&running).await;
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn where_all_are_busy_health_checks_get_in_and_everybody_else_gets_an_answer() {
    let running = start(limited(with_places(2))).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&running).await;
        // The body is awaited, so that a request is under way.
        stream.write_all(request("content-length: 12\r\nexpect: 100-continue\r\n", "").as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut go_on).await.unwrap();
        assert_eq!(go_on, *b"HTTP/1.1 100 Continue\r\n\r\n");
        busy.push(stream);
    }
    let refused = asks(&running, &event()).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"), "{refused}");
    assert!(asks(&running, HEALTH).await.starts_with("HTTP/1.1 200 "));
    for mut stream in busy {
        stream.write_all(br#"{"type":"a"}"#).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "), "who was there first is served");
    }
    assert!(asks(&running, &event()).await.starts_with("HTTP/1.1 202 "));
}
