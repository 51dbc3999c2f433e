//! Large answers, and readers who take their time, over real sockets.

use crate::limits::PATIENCE;
use axum::Router;
use axum::routing::get;
use laneway_http::{Limits, serve};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout};

/// More than the system's buffers take, so that whoever reads slowly is waited for.
const LARGE: usize = 24 << 20;

/// Connects to a server with a large answer, with a small window, and asks for it. The server ends with the sender.
async fn asked(limits: Limits) -> (TcpStream, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || vec![b'x'; LARGE]));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, router, limits, async move { drop(stopped.await) }));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    (stream, stop)
}

fn limits(body_timeout: Duration) -> Limits {
    Limits { header_timeout: Duration::from_millis(100), body_timeout, ..Limits::default() }
}

#[tokio::test]
async fn a_slow_reader_gets_all_of_a_large_answer() {
    let (mut stream, _stop) = asked(limits(PATIENCE)).await;
    // It takes several times as long as a connection may be idle and say its last word.
    let (mut pace, began) = (interval(Duration::from_millis(100)), Instant::now());
    let (mut count, mut some) = (0, vec![0; LARGE / 32]);
    let read = async {
        loop {
            pace.tick().await;
            match stream.read_exact(&mut some).await {
                Ok(_) => count += some.len(),
                Err(error) => panic!("cut off after {count} bytes: {error}"),
            }
            if count >= LARGE {
                return;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("all of it");
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_reads_nothing_is_cut_off() {
    let (mut stream, _stop) = asked(limits(Duration::from_millis(300))).await;
    // Reading makes it go on: what shows that it was cut off is that writing to it fails.
    let cut_off = async {
        let mut pace = interval(Duration::from_millis(50));
        while stream.write_all(b"\r\n").await.is_ok() {
            pace.tick().await;
        }
    };
    timeout(PATIENCE, cut_off).await.expect("it is cut off");
}
