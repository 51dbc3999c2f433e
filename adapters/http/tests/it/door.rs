//! Who is let in, over real sockets: whatever is refused is refused with an answer that can be read.

use crate::limits::{PATIENCE, Running, event, rest, start};
use crate::{Server, Setup, post};
use http::Request;
use laneway_http::{Hosts, Token};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

const TOKEN: &str = "a-token-that-nobody-guesses";
/// More than the buffers of a connection hold, so that it is in the way of the answer until somebody reads it.
const LARGE: usize = 6 << 20;

/// Sends all of a request before it looks at the answer, as most clients do.
async fn exchange(running: &Running, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await
    };
    timeout(PATIENCE, sent).await.expect("the body is read").expect("the body is taken");
    stream.shutdown().await.unwrap();
    rest(&mut stream).await
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\ncontent-length: {LARGE}\r\n{headers}\r\n")
}

#[tokio::test]
async fn whatever_is_refused_before_its_body_was_read_gets_its_answer() {
    let open = start(Setup::default()).await;
    let closed = start(Setup { tokens: vec![Token::new(TOKEN).unwrap()], ..Setup::default() }).await;
    let json = "content-type: application/json\r\n";
    let table = [
        (&closed, "POST", "/v1/events", "host: a\r\n".to_owned(), 401),
        (&closed, "POST", "/v1/dead-letters/retry", format!("host: a\r\n{json}"), 401),
        (&closed, "POST", "/nothing", "host: a\r\n".to_owned(), 401),
        (&open, "POST", "/nothing", "host: localhost\r\n".to_owned(), 404),
        (&open, "GET", "/v1/dead-letters", "host: localhost\r\n".to_owned(), 200),
        (&open, "POST", "/v1/destinations/d/resume", format!("host: localhost\r\n{json}"), 413),
        (&open, "PUT", "/v1/events", "host: localhost\r\n".to_owned(), 405),
        (&open, "DELETE", "/v1/status", "host: localhost\r\n".to_owned(), 405),
        (&open, "POST", "/v1/events", "host: localhost\r\n".to_owned(), 415),
        (&open, "POST", "/v1/events", format!("host: localhost\r\n{json}content-encoding: gzip\r\n"), 415),
        (&open, "POST", "/v1/dead-letters/retry", "host: localhost\r\n".to_owned(), 415),
        (&open, "POST", "/v1/events", format!("host: localhost\r\n{json}"), 413),
        (&open, "POST", "/v1/dead-letters/retry", format!("host: localhost\r\n{json}"), 413),
        (&open, "POST", "/v1/events", "host: evil.example\r\n".to_owned(), 421),
        (&open, "POST", "/v1/events", "host: localhost\r\norigin: https://evil.example\r\n".to_owned(), 403),
        (&open, "POST", "/v1/events", String::new(), 400),
        (&open, "POST", "/v1/events", "host: a\r\nhost: a\r\n".to_owned(), 400),
    ];
    let body = vec![b' '; LARGE];
    for (running, method, path, headers, status) in table {
        let answer = exchange(running, &head(method, path, &headers), &body).await;
        let begin = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begin), "{method} {path} {headers:?}: {}", &answer[..answer.len().min(300)]);
        assert!(status == 200 || answer.contains("application/problem+json"), "{answer}");
    }
    assert_eq!(open.server.stored().await.len(), 0);
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_understood_is_not_taken_for_the_body() {
    let running = start(Setup::default()).await;
    let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                transfer-encoding: gzip, chunked\r\n\r\n";
    let answer = exchange(&running, head, b"5\r\nabcde\r\n0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    assert_eq!(running.server.stored().await.len(), 0);
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_its_request_gets_the_answer() {
    let running = start(Setup::default()).await;
    let answer = exchange(&running, &event(), b"").await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(running.server.stored().await.len(), 1);
}

/// Every request that changes something and needs no body to do it, as a form of a foreign page could send it.
#[tokio::test]
async fn a_form_cannot_change_anything() {
    let server = Server::new();
    let paths = [
        "/v1/destinations/d/resume",
        "/v1/destinations/d/replay",
        "/v1/destinations/d/keys/retry",
        "/v1/destinations/d/keys/skip",
        "/v1/dead-letters/retry",
        "/v1/dead-letters/discard",
        "/v1/events",
        "/v1/events/batch",
    ];
    for path in paths {
        for media in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let request = if media.is_empty() {
                Request::post(path).body(axum::body::Body::empty()).unwrap()
            } else {
                post(path, media, "{}")
            };
            server.send(request).await.problem(415, "unsupported-media-type");
        }
    }
    assert!(server.worker.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_page_of_another_name_sees_nothing_unless_the_operator_names_it() {
    let asked = |server: &Server, host: &'static str, origin: Option<&'static str>, path: &'static str| {
        let mut request = Request::get(path).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let server = server.router.clone();
        async move {
            use tower::ServiceExt;
            server.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap().status().as_u16()
        }
    };
    let server = Server::new();
    let named = Server::with(Setup { hosts: Hosts::new(["laneway.example"]).unwrap(), ..Setup::default() });
    for path in ["/metrics", "/v1/status", "/v1/dead-letters", "/v1/dead-letters/d/0/0", "/nothing"] {
        assert_eq!(asked(&server, "laneway.example", None, path).await, 421, "{path}");
        assert_eq!(asked(&server, "localhost", Some("http://laneway.example"), path).await, 403, "{path}");
        assert_ne!(asked(&named, "laneway.example", Some("http://laneway.example"), path).await, 421, "{path}");
        assert_eq!(asked(&named, "other.example", None, path).await, 421, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(asked(&server, "10.0.0.7:8080", Some("https://evil.example"), path).await, 200, "{path}");
    }
}
