//! Receivers that break off, stall, drip, flood or talk nonsense: every attempt ends by its
//! deadline, in an outcome that says what happened, and leaves the sink working.

use crate::events::{config, deliver, event, retry_reason};
use laneway_domain::Outcome;
use laneway_webhook::{WebhookConfig, WebhookSink};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The deadline of every attempt here.
const TIMEOUT: Duration = Duration::from_millis(400);
/// How much later than its deadline an attempt may end (a busy machine, not a promise).
const SLACK: Duration = Duration::from_secs(5);

/// Runs `behaviour` on every connection; returns the address and how many connections there were.
async fn receiver<F, B>(behaviour: B) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = std::io::Result<()>> + Send,
    B: Fn(TcpStream, usize) -> F + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let behaviour = behaviour.clone();
            // What fails here is the sink hanging up, which is what the tests are about.
            tokio::spawn(async move { behaviour(stream, number).await });
        }
    });
    (address, connections)
}

/// Reads a request to the end of its head and body (19 bytes, see `events`).
async fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut got = Vec::new();
    while !got.ends_with(b"{ \"total\" : 12.50 }") {
        if stream.read_buf(&mut got).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn sink(address: SocketAddr) -> WebhookSink {
    WebhookSink::new(WebhookConfig { timeout: TIMEOUT, ..config(format!("http://{address}/")) }).unwrap()
}

/// Delivers to a receiver that answers every request with `bytes`, and then hangs.
async fn answered(bytes: &'static [u8]) -> Outcome {
    let (address, _) = receiver(move |mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(bytes).await?;
        std::future::pending().await
    })
    .await;
    in_time(&sink(address)).await
}

async fn in_time(sink: &WebhookSink) -> Outcome {
    tokio::time::timeout(TIMEOUT + SLACK, deliver(sink, event("a"))).await.unwrap()
}

#[tokio::test]
async fn a_receiver_that_takes_the_connection_and_says_nothing_times_out() {
    let (address, _) = receiver(|stream, _| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    assert!(retry_reason(in_time(&sink(address)).await).contains("no answer within 400ms"));
}

#[tokio::test]
async fn nobody_listening_is_a_retry_that_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reason = retry_reason(in_time(&sink(address)).await);
    assert!(reason.contains(&format!("could not connect to {address}")), "{reason}");
}

#[tokio::test]
async fn closing_after_the_request_without_an_answer_is_a_retry_and_not_sent_again() {
    let (address, connections) = receiver(|mut stream, _| async move { read_request(&mut stream).await }).await;
    let reason = retry_reason(in_time(&sink(address)).await);
    assert!(reason.contains("before an answer came"), "{reason}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn closing_a_reused_connection_without_an_answer_is_a_retry_and_not_sent_again() {
    let (address, connections) = receiver(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        read_request(&mut stream).await
    })
    .await;
    let sink = sink(address);
    assert_eq!(in_time(&sink).await, Outcome::Delivered);
    let stale = in_time(&sink).await;
    assert_eq!(stale.end(), laneway_domain::End::Failed(laneway_domain::Cause::StaleConnection), "{stale:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(in_time(&sink).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let (closed, mut was_closed) = tokio::sync::mpsc::unbounded_channel();
    let (address, connections) = receiver(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            drop(stream);
            closed.send(()).unwrap();
            Ok(())
        }
    })
    .await;
    let sink = sink(address);
    for attempt in 1..=5 {
        assert_eq!(in_time(&sink).await, Outcome::Delivered);
        was_closed.recv().await.unwrap();
        // The connection's own task has to see the end of the stream before the next attempt.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), attempt);
    }
}

#[tokio::test]
async fn garbage_instead_of_http_is_a_retry() {
    for garbage in [
        b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(),
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\0\0",
    ] {
        let reason = retry_reason(answered(garbage).await);
        assert!(!reason.is_empty() && reason.chars().all(|c| !c.is_control()), "{reason:?}");
    }
}

#[tokio::test]
async fn a_success_is_one_by_its_status_whatever_becomes_of_the_body() {
    let head = "HTTP/1.1 200 OK\r\n";
    let cut: [&'static [u8]; 4] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx",
    ];
    for bytes in cut {
        assert!(bytes.starts_with(head.as_bytes()));
        assert_eq!(answered(bytes).await, Outcome::Delivered);
    }
}

#[tokio::test]
async fn a_reset_in_the_body_of_a_failure_keeps_its_status() {
    let (address, _) = receiver(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 503 Busy\r\nretry-after: 9\r\ncontent-length: 99\r\n\r\nbusy").await?;
        stream.set_zero_linger()
    })
    .await;
    match in_time(&sink(address)).await {
        // Which of the two comes first is the kernel's choice: a reset may overtake what was sent.
        Outcome::Retry { reason, not_before: Some(wait), .. } => {
            assert!(reason.contains("503"), "{reason}");
            assert_eq!(wait, Duration::from_secs(9));
        }
        other => assert!(retry_reason(other).contains("before an answer came")),
    }
}

#[tokio::test]
async fn a_failure_whose_body_stalls_is_reported_with_what_came() {
    let reason = retry_reason(answered(b"HTTP/1.1 500 No\r\ncontent-length: 99\r\n\r\nout of milk").await);
    assert!(reason.contains("500") && reason.ends_with("out of milk"), "{reason}");
}

#[tokio::test]
async fn a_status_stands_when_its_headers_drip_byte_by_byte() {
    let (address, _) = receiver(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        loop {
            stream.write_all(b"y").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(in_time(&sink(address)).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_status_stands_before_endless_headers_which_end() {
    let (address, _) = receiver(|mut stream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await?;
        }
    })
    .await;
    assert_eq!(in_time(&sink(address)).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_storm_of_interim_answers_is_hung_up_on() {
    const BUFFERED: usize = 16 << 20;
    let (taken, mut was_taken) = tokio::sync::mpsc::unbounded_channel();
    let (address, _) = receiver(move |mut stream, _| {
        let taken = taken.clone();
        async move {
            read_request(&mut stream).await?;
            let storm = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
            let mut count = 0;
            while stream.write_all(storm).await.is_ok() {
                count += storm.len();
            }
            taken.send(count).unwrap();
            Ok(())
        }
    })
    .await;
    let reason = retry_reason(in_time(&sink(address)).await);
    assert!(reason.contains("more than 100 interim answers"), "{reason}");
    assert!(was_taken.recv().await.unwrap() < BUFFERED);
}

#[tokio::test]
async fn interim_answers_that_drip_end_at_the_deadline() {
    let (address, _) = receiver(|mut stream, _| async move {
        read_request(&mut stream).await?;
        loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(retry_reason(in_time(&sink(address)).await).contains("no answer within"));
}

#[tokio::test]
async fn interim_answers_before_the_final_one_are_skipped() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
    assert_eq!(answered(interim).await, Outcome::Delivered);
}

/// A body without an end, at full speed; says how much of it was taken.
async fn endless(status: &'static str) -> (Outcome, usize) {
    let (taken, mut was_taken) = tokio::sync::mpsc::unbounded_channel();
    let (address, _) = receiver(move |mut stream, _| {
        let taken = taken.clone();
        async move {
            read_request(&mut stream).await?;
            let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let chunk = [b"1000\r\n".as_slice(), &[b'z'; 0x1000], b"\r\n"].concat();
            let mut count = 0;
            while stream.write_all(&chunk).await.is_ok() {
                count += chunk.len();
            }
            taken.send(count).unwrap();
            Ok(())
        }
    })
    .await;
    let outcome = in_time(&sink(address)).await;
    (outcome, was_taken.recv().await.unwrap())
}

#[tokio::test]
async fn an_endless_body_is_hung_up_on() {
    // The bound is 64 KiB; the rest is what the kernel's buffers hold.
    const BUFFERED: usize = 16 << 20;
    let (outcome, taken) = endless("200 OK").await;
    assert_eq!(outcome, Outcome::Delivered);
    assert!(taken < BUFFERED, "{taken}");
    let (outcome, taken) = endless("500 No").await;
    let reason = retry_reason(outcome);
    assert!(reason.contains("500") && reason.len() < 300, "{reason}");
    assert!(taken < BUFFERED, "{taken}");
}

#[tokio::test]
async fn a_short_body_leaves_the_connection_usable_and_a_long_one_does_not() {
    for (size, expected) in [(0, 1), (1_000, 1), (60_000, 1), (70_000, 3)] {
        let (address, connections) = receiver(move |mut stream, _| async move {
            loop {
                read_request(&mut stream).await?;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&vec![b'z'; size]).await?;
            }
        })
        .await;
        let sink = sink(address);
        for _ in 0..3 {
            assert_eq!(in_time(&sink).await, Outcome::Delivered);
        }
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{size} bytes");
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_a_retry() {
    let reason = retry_reason(answered(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await);
    assert!(!reason.is_empty());
}

#[tokio::test]
async fn a_sink_survives_its_receivers_bad_days() {
    let (address, _) = receiver(|mut stream, number| async move {
        match number {
            0 => return Ok(()),
            1 => stream.write_all(b"garbage\r\n\r\n").await?,
            2 => std::future::pending().await,
            _ => {}
        }
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    let sink = sink(address);
    for _ in 0..3 {
        retry_reason(in_time(&sink).await);
    }
    assert_eq!(in_time(&sink).await, Outcome::Delivered);
}
