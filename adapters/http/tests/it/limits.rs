//! Bounds, over real sockets.

use crate::{Server, Setup};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use laneway_http::{Ended, Limits, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes: a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const EVENT: &str = r#"{"type":"a"}"#;

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Ended>,
}

pub(crate) async fn start(setup: Setup) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = setup.limits.clone();
    let server = Server::with(setup);
    let (stop, stopped) = oneshot::channel::<()>();
    let router = server.router.clone();
    let ended = tokio::spawn(serve(listener, router, limits, async move { drop(stopped.await) }));
    Running { address, server, stop, ended }
}

pub(crate) fn limited(limits: Limits) -> Setup {
    Setup { limits, ..Setup::default() }
}

pub(crate) fn request(headers: &str, body: &str) -> String {
    format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n{body}")
}

pub(crate) fn event() -> String {
    request(&format!("content-length: {}\r\n", EVENT.len()), EVENT)
}

/// Reads to the end of the connection.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the connection stays open").unwrap();
    String::from_utf8(text).unwrap()
}

/// Reads one answer.
pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(b"}") {
            if stream.read_buf(&mut text).await.unwrap() == 0 {
                break;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("no answer");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_takes_one_request_after_the_other() {
    let running = start(Setup::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(event().as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
    }
    assert_eq!(running.server.stored().await.len(), 3);
}

#[tokio::test]
async fn http_2_is_spoken_to_those_who_begin_with_it() {
    let running = start(Setup::default()).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for body in [EVENT, "{"] {
        let request = Request::post(format!("http://{}/v1/events", running.address))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = timeout(PATIENCE, send.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), if body == EVENT { 202 } else { 400 });
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_connection_that_does_not_get_to_the_end_of_its_headers_is_closed() {
    let running = start(limited(Limits { header_timeout: Duration::from_millis(50), ..Limits::default() })).await;
    for begin in ["", "P", "PO", "POST /v1/events HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let _ = rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let running = start(limited(Limits { body_timeout: Duration::from_millis(50), ..Limits::default() })).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(request("content-length: 100\r\n", "{\"type\"").as_bytes()).await.unwrap();
    let answered = rest(&mut stream).await;
    assert!(
        answered.starts_with("HTTP/1.1 408 ") && answered.contains("urn:laneway:problem:body-timeout"),
        "{answered}"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_although_all_of_it_was_sent_first() {
    let running = start(Setup::default()).await;
    let body = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(12 * 1024 * 1024));
    let announced = request(&format!("content-length: {}\r\n", body.len()), &body);
    let chunked = request("transfer-encoding: chunked\r\n", &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    for whole in [announced, chunked] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        timeout(PATIENCE, stream.write_all(whole.as_bytes())).await.unwrap().unwrap();
        let answered = rest(&mut stream).await;
        assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
        assert!(answered.contains("event-too-large") && answered.contains("262144 bytes"), "{answered}");
    }
    assert!(running.server.stored().await.is_empty());
}

#[tokio::test]
async fn a_producer_that_asks_first_is_spared_sending_what_is_too_large() {
    let running = start(Setup::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(request("content-length: 300000\r\nexpect: 100-continue\r\n", "").as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 413 "));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let asking = request(&format!("content-length: {}\r\nexpect: 100-continue\r\n", EVENT.len()), "");
    stream.write_all(asking.as_bytes()).await.unwrap();
    let mut word = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut word)).await.unwrap().unwrap();
    assert_eq!(word, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(EVENT.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn an_event_of_the_largest_size_is_taken() {
    let running = start(Setup::default()).await;
    let data = "x".repeat(256 * 1024 - 22);
    let body = format!(r#"{{"type":"a","data":"{data}"}}"#);
    assert_eq!(body.len(), 256 * 1024);
    for whole in [
        request(&format!("content-length: {}\r\n", body.len()), &body),
        request("transfer-encoding: chunked\r\n", &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        timeout(PATIENCE, stream.write_all(whole.as_bytes())).await.unwrap().unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
    }
    assert!(running.server.stored().await.iter().all(|event| event.data == format!("\"{data}\"")));
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_bytes() {
    let running = start(Setup::default()).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(70_000));
    for (headers, in_one_read) in [(many, true), (long, false)] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // The server may close before all of it was sent.
        let _ = stream.write_all(request(&headers, "").as_bytes()).await;
        let mut text = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.unwrap();
        // With more unread than it has read, the system may reset the connection before the answer.
        assert!(text.starts_with(b"HTTP/1.1 431 ") || (text.is_empty() && !in_one_read));
    }
    assert!(running.server.stored().await.is_empty());
}

#[tokio::test]
async fn what_is_no_http_disturbs_nobody() {
    let running = start(Setup::default()).await;
    for junk in
        [&b"\x16\x03\x01\x02\x00"[..], b"PRI * HTTP/2.0\r\n\r\njunk\r\n\r\njunk", b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let _ = stream.write_all(junk).await;
        let _ = stream.shutdown().await;
        let mut text = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.unwrap();
    }
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(event().as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
}
