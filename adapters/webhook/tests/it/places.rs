//! The places for connections, which all destinations share: who has one, and when it is given up for another.

use crate::events::{ThisMachine, config, deliver, event};
use crate::tls_receiver::{Authority, server_config, start};
use laneway_domain::{Cause, End, Outcome};
use laneway_egress::Connections;
use laneway_webhook::{EgressPolicy, HttpVersion, TlsOptions, WebhookConfig, WebhookSink};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Long enough that nothing here ends by it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long somebody waits in vain: several looks for an idle connection.
const IN_VAIN: Duration = Duration::from_millis(600);

fn sharing(connections: &Connections, url: String) -> WebhookConfig {
    let egress = EgressPolicy { connections: connections.clone(), ..config("http://127.0.0.1/").egress };
    // An idle connection would be kept for far longer than these tests take.
    WebhookConfig { egress, timeout: TIMEOUT, idle_timeout: 100 * TIMEOUT, ..config(url) }
}

/// A receiver that has the whole request, says `before` and answers when it is told to.
async fn slow(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    before: &'static [u8],
    has_it: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
) {
    trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
    impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Both for T {}
    let (tcp, _) = listener.accept().await.unwrap();
    let mut stream: Box<dyn Both> = match tls {
        Some(tls) => Box::new(tls.accept(tcp).await.unwrap()),
        None => Box::new(tcp),
    };
    let mut got = Vec::new();
    while !got.ends_with(b"{ \"total\" : 12.50 }") {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
    stream.write_all(before).await.unwrap();
    stream.flush().await.unwrap();
    has_it.send(()).unwrap();
    go_on.await.unwrap();
    stream.write_all(ANSWER).await.unwrap();
    stream.flush().await.unwrap();
    std::future::pending::<()>().await;
}

/// Whether a request that is being processed keeps its connection while somebody else wants the place.
async fn keeps_its_place(tls: Option<(TlsAcceptor, TlsOptions)>, before: &'static [u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Connections::at_most(1);
    let (url, acceptor, options) = match tls {
        Some((acceptor, options)) => (format!("https://hooks.example:{port}/"), Some(acceptor), options),
        None => (format!("http://127.0.0.1:{port}/"), None, TlsOptions::default()),
    };
    let settings = WebhookConfig { tls: options, ..sharing(&connections, url) };
    let busy = WebhookSink::with_resolver(settings, Arc::new(ThisMachine)).unwrap();
    let waits = WebhookConfig { timeout: IN_VAIN, ..sharing(&connections, format!("http://127.0.0.1:{port}/")) };
    let waits = WebhookSink::new(waits).unwrap();
    let (has_it, processing) = oneshot::channel();
    let (go_on, told) = oneshot::channel();
    let receiver = tokio::spawn(slow(listener, acceptor, before, has_it, told));
    let first = tokio::spawn(async move { (deliver(&busy, event("first")).await, busy) });
    processing.await.unwrap();
    let second = deliver(&waits, event("second")).await;
    assert_eq!(second.end(), End::Failed(Cause::Shortage), "{second:?}");
    go_on.send(()).unwrap();
    assert_eq!(first.await.unwrap().0, Outcome::Delivered);
    receiver.abort();
}

#[tokio::test]
async fn a_request_keeps_its_connection_although_tls_tickets_come_behind_it() {
    let authority = Authority::new();
    let server = server_config(&authority.certificate("hooks.example", 2090), &[], None);
    let options = TlsOptions { ca: Some(authority.pem()), client_certificate: None };
    keeps_its_place(Some((TlsAcceptor::from(Arc::new(server)), options)), b"").await;
}

#[tokio::test]
async fn a_request_keeps_its_connection_although_interim_answers_come() {
    keeps_its_place(None, b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await;
}

#[tokio::test]
async fn a_request_over_http2_keeps_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Connections::at_most(1);
    let settings = WebhookConfig { http: HttpVersion::Http2, ..sharing(&connections, url.clone()) };
    let busy = Arc::new(WebhookSink::new(settings).unwrap());
    let waits = WebhookConfig { timeout: IN_VAIN, ..sharing(&connections, url) };
    let waits = WebhookSink::new(waits).unwrap();
    let (to_us, mut asked) = mpsc::unbounded_channel();
    let receiver = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_request, respond))) = connection.accept().await {
            to_us.send(respond).unwrap();
        }
    });
    let begin = |id: &'static str| {
        let busy = Arc::clone(&busy);
        tokio::spawn(async move { deliver(&busy, event(id)).await })
    };
    let (first, mut answer_first) = (begin("first"), asked.recv().await.unwrap());
    let (second, mut answer_second) = (begin("second"), asked.recv().await.unwrap());
    let answer = |respond: &mut h2::server::SendResponse<bytes::Bytes>| {
        respond.send_response(http::Response::new(()), true).unwrap();
    };
    answer(&mut answer_second);
    assert_eq!(second.await.unwrap(), Outcome::Delivered);
    // The other stream is still open.
    let waited = deliver(&waits, event("waits")).await;
    assert_eq!(waited.end(), End::Failed(Cause::Shortage), "{waited:?}");
    answer(&mut answer_first);
    assert_eq!(first.await.unwrap(), Outcome::Delivered);
    receiver.abort();
}

#[tokio::test]
async fn an_idle_http2_connection_makes_room_for_another_destination() {
    let connections = Connections::at_most(4);
    let authority = Authority::new();
    let tls = server_config(&authority.certificate("hooks.example", 2090), &["h2"], None);
    let mut idle = Vec::new();
    for n in 0..4 {
        let over_tls = n % 2 == 0;
        let (address, received) = start(over_tls.then(|| tls.clone())).await;
        let settings = if over_tls {
            let tls = TlsOptions { ca: Some(authority.pem()), client_certificate: None };
            WebhookConfig { tls, ..sharing(&connections, format!("https://hooks.example:{}/", address.port())) }
        } else {
            WebhookConfig { http: HttpVersion::Http2, ..sharing(&connections, format!("http://{address}/")) }
        };
        let sink = WebhookSink::with_resolver(settings, Arc::new(ThisMachine)).unwrap();
        assert_eq!(deliver(&sink, event("a")).await, Outcome::Delivered);
        assert_eq!(received.lock().unwrap().requests[0].0, http::Version::HTTP_2);
        idle.push(sink);
    }
    assert!(connections.are_all_taken());
    let (address, _) = start(None).await;
    let fifth = WebhookSink::new(sharing(&connections, format!("http://{address}/"))).unwrap();
    assert_eq!(deliver(&fifth, event("b")).await, Outcome::Delivered);
    // Whose connections were closed opens new ones, each in place of another.
    for sink in &idle {
        assert_eq!(deliver(sink, event("c")).await, Outcome::Delivered);
    }
}
