//! What each thing that a receiver can do on the wire means: the table of ends, member by member.

use crate::events::{attempted, config, deliver, event};
use bytes::Bytes;
use laneway_domain::{Cause, End, Event, Outcome};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{HttpVersion, WebhookConfig, WebhookSink};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough that nothing here ends by it.
const TIMEOUT: Duration = Duration::from_secs(20);

fn sink(address: SocketAddr) -> WebhookSink {
    WebhookSink::new(WebhookConfig { timeout: TIMEOUT, ..config(format!("http://{address}/")) }).unwrap()
}

/// Reads a request's head and body; returns the head.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut got = Vec::new();
    loop {
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(got[..at + 4].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("every request says its length").parse().unwrap();
            if got.len() >= at + 4 + length {
                return Some(head);
            }
        }
        if stream.read_buf(&mut got).await.ok()? == 0 {
            return None;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Close,
    Open,
}

/// Answers one request with `bytes`.
async fn answered(bytes: Vec<u8>, then: Then) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = sink(listener.local_addr().unwrap());
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        if then == Then::Open {
            std::future::pending::<()>().await;
        }
    });
    let outcome = deliver(&sink, event("a")).await;
    receiver.abort();
    outcome
}

#[tokio::test]
async fn a_final_status_stands_whatever_follows_it_on_the_wire() {
    let many = (0..500).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let rest: [(&str, String); 16] = [
        ("space before the colon", "X-A : b\r\ncontent-length: 0\r\n\r\n".into()),
        ("a folded line", "X-A: b\r\n c\r\ncontent-length: 0\r\n\r\n".into()),
        ("a line without a colon", "nonsense\r\ncontent-length: 0\r\n\r\n".into()),
        ("a name that is none", "a\0b: c\r\ncontent-length: 0\r\n\r\n".into()),
        ("too many headers", format!("{many}\r\n")),
        ("headers without an end", "x: y\r\n".repeat(30_000)),
        ("a cut head", "content-len".into()),
        ("no head", String::new()),
        ("a length below nothing", "content-length: -1\r\n\r\n".into()),
        ("two lengths", "content-length: 1\r\ncontent-length: 2\r\n\r\nab".into()),
        ("a length and chunks", "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        ("a cut body", "content-length: 50\r\n\r\nhello world".into()),
        ("chunks that are none", "transfer-encoding: chunked\r\n\r\nzz\r\n".into()),
        ("trailers", "transfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n".into()),
        ("the connection's end announced", "connection: close\r\n\r\n".into()),
        ("line feeds alone", "x: y\n\n".into()),
    ];
    for (what, rest) in rest {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let ended = |status: &str| answered(format!("{version} {status}\r\n{rest}").into_bytes(), Then::Close);
            assert_eq!(ended("200 OK").await, Outcome::Delivered, "{version} 200, {what}");
            assert_eq!(ended("410 Gone").await.end(), End::Gone, "{version} 410, {what}");
            for status in ["503 Busy", "401 Who", "302 There", "413 Long"] {
                let outcome = ended(status).await;
                assert_eq!(outcome.end(), End::Failed(Cause::Refused), "{version} {status}, {what}: {outcome:?}");
            }
        }
    }
    assert_eq!(
        answered(b"HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\nabc".to_vec(), Then::Close).await.end(),
        End::Delivered
    );
}

#[tokio::test]
async fn after_a_final_status_a_second_is_waited_at_most() {
    for rest in ["content-length: 50\r\n\r\nhello world", "transfer-encoding: chunked\r\n\r\n", "x: y\r\n", ""] {
        for (status, end) in [("200 OK", End::Delivered), ("500 No", End::Failed(Cause::Refused))] {
            let begun = Instant::now();
            let outcome = answered(format!("HTTP/1.1 {status}\r\n{rest}").into_bytes(), Then::Open).await;
            assert_eq!(outcome.end(), end, "{status} {rest:?}");
            assert!(begun.elapsed() < TIMEOUT / 2, "{status} {rest:?}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_read_although_other_header_lines_are_bad() {
    let answer = b"HTTP/1.1 429 Slow\r\nX-A : b\r\nnonsense\r\nRetry-After: 8\r\ncontent-length: 0\r\n\r\n";
    match answered(answer.to_vec(), Then::Close).await {
        Outcome::Retry { cause: Cause::Refused, not_before, .. } => {
            assert_eq!(not_before, Some(Duration::from_secs(8)))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_answer_is_unanswered() {
    for bytes in ["", "HTTP/1.1 200", "HTTP/1.1 2xx\r\n\r\n", "SSH-2.0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let outcome = answered(bytes.into(), Then::Close).await;
        assert_eq!(outcome.end(), End::Failed(Cause::Unanswered), "{bytes:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_early_success_does_not_confirm_what_was_not_sent_and_an_early_refusal_stands() {
    for (status, end) in [("200 OK", End::Failed(Cause::Unanswered)), ("413 Long", End::Failed(Cause::Refused))] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = sink(listener.local_addr().unwrap());
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 100]).await.unwrap();
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            // The rest is never read; far more than the system's buffers hold.
            std::future::pending::<()>().await;
        });
        let large = Event { data: Bytes::from(vec![b'x'; 64 << 20]), ..event("a") };
        let outcome = deliver(&sink, large).await;
        assert_eq!(outcome.end(), end, "{status}: {outcome:?}");
        receiver.abort();
    }
}

#[tokio::test]
async fn a_request_says_its_length_also_of_nothing() {
    for (data, expected) in [("", "0"), ("{}", "2")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = sink(listener.local_addr().unwrap());
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            head
        });
        let outcome = deliver(&sink, Event { data: Bytes::from(data), ..event("a") }).await;
        assert_eq!(outcome, Outcome::Delivered);
        let head = receiver.await.unwrap();
        let lengths: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("content-length: ")).collect();
        assert_eq!(lengths, [expected], "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

#[tokio::test]
async fn a_reused_connection_without_an_answer_is_stale_and_a_fresh_one_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = sink(listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                if number == 0 {
                    read_request(&mut stream).await?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
                }
                // From here on the event kills its receiver.
                read_request(&mut stream).await
            });
        }
    });
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    assert_eq!(deliver(&sink, event("b")).await.end(), End::Failed(Cause::StaleConnection));
    let again = Attempted { fresh: true, ..attempted(event("b")) };
    let outcomes = sink.deliver(&Delivery::of(vec![again])).await.outcomes;
    assert_eq!(outcomes[0].end(), End::Failed(Cause::Unanswered), "{outcomes:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

fn http2(address: SocketAddr, timeout: Duration) -> WebhookSink {
    let settings = WebhookConfig { http: HttpVersion::Http2, timeout, ..config(format!("http://{address}/")) };
    WebhookSink::new(settings).unwrap()
}

#[tokio::test]
async fn what_http2_refuses_was_not_processed() {
    for refusal in [h2::Reason::REFUSED_STREAM, h2::Reason::INTERNAL_ERROR] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = http2(listener.local_addr().unwrap(), TIMEOUT);
        let receiver = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            respond.send_reset(refusal);
            while connection.accept().await.is_some() {}
        });
        let outcome = deliver(&sink, event("a")).await;
        let expected = if refusal == h2::Reason::REFUSED_STREAM { Cause::Unprocessed } else { Cause::Unanswered };
        assert_eq!(outcome.end(), End::Failed(expected), "{outcome:?}");
        receiver.abort();
    }
}

#[tokio::test]
async fn a_goaway_below_the_stream_means_that_it_was_not_processed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = http2(listener.local_addr().unwrap(), TIMEOUT);
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Settings, and once the request is there a GOAWAY whose last stream is 0.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"{ \"total\" : 12.50 }") {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
        }
        stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        std::future::pending::<()>().await;
    });
    let outcome = deliver(&sink, event("a")).await;
    assert_eq!(outcome.end(), End::Failed(Cause::Unprocessed), "{outcome:?}");
    receiver.abort();
}

#[tokio::test]
async fn waiting_for_a_stream_ends_by_itself_and_is_not_called_unanswered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = http2(listener.local_addr().unwrap(), Duration::from_secs(2));
    let receiver = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection =
            h2::server::Builder::new().max_concurrent_streams(1).handshake::<_, Bytes>(stream).await.unwrap();
        // The first is answered, so that the limit is known; the second one never is.
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_response(http::Response::new(()), true).unwrap();
        let held = connection.accept().await;
        while connection.accept().await.is_some() {}
        drop(held);
    });
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    let outcomes = futures_util::future::join_all((0..6).map(|_| deliver(&sink, event("b")))).await;
    let of = |cause: Cause| outcomes.iter().filter(|outcome| outcome.end() == End::Failed(cause)).count();
    assert_eq!(of(Cause::Queued) + of(Cause::Unanswered), 6, "{outcomes:?}");
    // One is with the receiver.
    assert_eq!(of(Cause::Unanswered), 1, "{outcomes:?}");
    receiver.abort();
}

/// A receiver that takes one request at a time, and has said so; the first one is answered.
async fn one_at_a_time(listener: &TcpListener) -> h2::server::Connection<TcpStream, Bytes> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut builder = h2::server::Builder::new();
    let mut connection = builder.max_concurrent_streams(1).handshake::<_, Bytes>(stream).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    respond.send_response(http::Response::new(()), true).unwrap();
    connection
}

#[tokio::test]
async fn what_waited_for_a_stream_has_the_rest_of_its_time_once_it_has_one() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = http2(listener.local_addr().unwrap(), TIMEOUT);
    let receiver = tokio::spawn(async move {
        let mut connection = one_at_a_time(&listener).await;
        // Each waits for less than half of its time, and is answered after more than that.
        for _ in 0..2 {
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            let pause = tokio::time::sleep(TIMEOUT * 2 / 5);
            tokio::select! {
                () = pause => {}
                more = connection.accept() => panic!("{more:?}"),
            }
            respond.send_response(http::Response::new(()), true).unwrap();
        }
        while connection.accept().await.is_some() {}
    });
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    let both = futures_util::future::join_all((0..2).map(|_| deliver(&sink, event("b")))).await;
    assert_eq!(both, [Outcome::Delivered, Outcome::Delivered]);
    receiver.abort();
}

#[tokio::test]
async fn what_still_waits_for_a_stream_when_its_connection_breaks_is_not_called_unanswered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = http2(listener.local_addr().unwrap(), TIMEOUT);
    let receiver = tokio::spawn(async move {
        let mut connection = one_at_a_time(&listener).await;
        let held = connection.accept().await;
        let pause = tokio::time::sleep(Duration::from_millis(300));
        tokio::select! {
            () = pause => {}
            more = connection.accept() => panic!("{more:?}"),
        }
        drop((held, connection, listener));
    });
    assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
    let outcomes = futures_util::future::join_all((0..6).map(|_| deliver(&sink, event("b")))).await;
    let with_receiver = [Cause::Unanswered, Cause::StaleConnection].map(End::Failed);
    let counted = outcomes.iter().filter(|outcome| with_receiver.contains(&outcome.end())).count();
    assert_eq!(counted, 1, "{outcomes:?}");
    receiver.await.unwrap();
}

/// An HTTP/2 receiver that reads as much of a request as the first window has room for, which it never opens further,
/// and then sends `frames`.
async fn early_over_http2(frames: &'static [&'static [u8]]) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = http2(listener.local_addr().unwrap(), TIMEOUT);
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut got = Vec::new();
        while got.len() < 65_535 {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
        }
        for frame in frames {
            stream.write_all(frame).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let large = Event { data: vec![b'x'; 1 << 20].into(), ..event("a") };
    let outcome = deliver(&sink, large).await;
    receiver.abort();
    outcome
}

/// The whole answer, `:status: 200`, and its beginning alone.
const ANSWERED: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
const BEGUN: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
/// "Stop sending": because all is well (RFC 9113, section 8.1), because of an error, because nobody wants it any more.
const STOP: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0];
const ERROR: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
const CANCEL: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];

#[tokio::test]
async fn a_success_stands_whose_request_the_receiver_did_not_read_to_its_end() {
    assert_eq!(early_over_http2(&[ANSWERED, STOP]).await, Outcome::Delivered);
    assert_eq!(early_over_http2(&[BEGUN, STOP]).await, Outcome::Delivered);
}

#[tokio::test]
async fn over_http2_an_early_success_does_not_confirm_what_was_not_sent() {
    const CASES: [&[&[u8]]; 6] =
        [&[ANSWERED, ERROR], &[BEGUN, ERROR], &[ANSWERED, CANCEL], &[BEGUN, CANCEL], &[ANSWERED], &[BEGUN]];
    for frames in CASES {
        let outcome = early_over_http2(frames).await;
        assert_eq!(outcome.end(), End::Failed(Cause::Unanswered), "{frames:?}: {outcome:?}");
    }
}
