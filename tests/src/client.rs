//! A client of Laneway's HTTP API.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long one exchange may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long something that is to come about may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {} {}", self.status, self.text()))
    }

    /// A header's value, or the empty text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// A client with pooled connections. Errors are texts: the tests only show them.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the server at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http() }
    }

    /// One exchange.
    ///
    /// # Errors
    /// If there was no complete answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().expect("the path is a path");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let exchange = async {
            let (head, body) = self.http.request(request).await.map_err(|e| format!("{e:?}"))?.into_parts();
            let body = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(format!("no answer in {DEADLINE:?}")))
    }

    /// GET.
    ///
    /// # Errors
    /// If there was no complete answer.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// If there was no complete answer.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        self.send(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    /// Sends one event and expects a 202.
    ///
    /// # Panics
    /// If the answer is another one.
    pub async fn accepted(&self, event: &Value) -> Value {
        let answer = self.post("/v1/events", event.to_string()).await.expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    }

    /// Sends these events, 500 a request, and expects every one to be accepted.
    ///
    /// # Panics
    /// If one is not.
    pub async fn accepted_all(&self, events: &[Value]) {
        for some in events.chunks(500) {
            let answer = self.post("/v1/events/batch", Value::from(some.to_vec()).to_string()).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 202, "{}", answer.text());
            assert_eq!(answer.json()["events"].as_array().map(Vec::len), Some(some.len()));
        }
    }

    /// What `/v1/status` says of a destination.
    ///
    /// # Panics
    /// If it says nothing of it.
    pub async fn status(&self, destination: &str) -> Value {
        let answer = self.get("/v1/status").await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let status = answer.json();
        let mut all = status["destinations"].as_array().cloned().unwrap_or_default().into_iter();
        all.find(|d| d["name"] == destination).unwrap_or_else(|| panic!("no {destination} in {status}"))
    }

    /// Waits until what `/v1/status` says of a destination is as wanted, and returns it.
    ///
    /// # Panics
    /// If it does not come about.
    pub async fn until(&self, destination: &str, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(destination).await;
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{destination}: not {what} after {PATIENCE:?}: {status:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is left to do for a destination.
    pub async fn settled(&self, destination: &str) -> Value {
        self.until(destination, "settled", |s| s["pending"] == 0 && s["in_flight"] == 0).await
    }
}
