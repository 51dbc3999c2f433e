//! One request to the collector.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest time for a connection to be made: of the operator's own network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read: it says at most how many spans were refused, and why.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Where spans go below the endpoint (OTLP/HTTP, section "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// The longest pause that a collector can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Where the collector is, and what it wants to see of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    headers: HeaderMap,
}

/// Why a text or a header cannot be used. It never contains a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint(pub String);

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The collector at `url`, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(url: &str) -> Result<Self, InvalidEndpoint> {
        let wrong = |why: &str| InvalidEndpoint(format!("{why}; write for instance \"http://127.0.0.1:4318\""));
        let parsed: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it has to begin with http:// or https://"));
        }
        let authority = parsed.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user in it; what the collector asks for belongs into the headers"));
        }
        if parsed.query().is_some() || url.contains('#') {
            return Err(wrong("it has a query or a fragment"));
        }
        let base = url.trim_end_matches('/');
        if base.ends_with(PATH) {
            return Err(wrong("it ends in /v1/traces, which is added to it"));
        }
        if parsed.port_u16() == Some(4317) {
            return Err(wrong("4317 is the port of OTLP over gRPC; OTLP over HTTP has 4318"));
        }
        let uri = format!("{base}{PATH}").parse().map_err(|_| wrong("it is not a URL"))?;
        Ok(Self { uri, headers: HeaderMap::new() })
    }

    /// The same, with a header more in each request. Its value is never shown.
    ///
    /// # Errors
    /// If it is no header, or one that is Laneway's to write.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, InvalidEndpoint> {
        let name = HeaderName::try_from(name).map_err(|_| InvalidEndpoint(format!("{name:?} is not a header name")))?;
        if matches!(name.as_str(), "host" | "content-type" | "content-length" | "transfer-encoding" | "connection") {
            return Err(InvalidEndpoint(format!("the header {:?} is set by Laneway itself", name.as_str())));
        }
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            InvalidEndpoint(format!("the value of {:?} is none that a header can carry", name.as_str()))
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }
}

/// What has come of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The collector has the spans; of what it refused it says so in the body.
    Taken(Bytes),
    /// It may take them later, not before so long.
    Later(String, Option<Duration>),
    /// It never will.
    Refused(String),
}

/// The way to the collector.
pub(crate) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Endpoint,
}

impl Collector {
    /// # Errors
    /// If TLS is wanted and cannot be had.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, String> {
        let connector = connector(endpoint.uri.scheme_str() == Some("https"))?;
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), endpoint })
    }

    /// Sends one body, and waits for an answer for at most `within`.
    pub(crate) async fn post(&self, body: Bytes, within: Duration) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri.clone();
        let headers = request.headers_mut();
        *headers = self.endpoint.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = HeaderValue::from_static(concat!("Laneway/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        let exchange = async {
            let response = match self.client.request(request).await {
                Ok(response) => response,
                Err(error) => return Answer::Later(root_cause(&error), None),
            };
            let (status, pause) = (response.status(), pause(response.headers()));
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            // Once it has said 200 it has them, whatever follows.
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            judge(status, pause, body)
        };
        let late = || Answer::Later(format!("no answer within {} s", within.as_secs()), None);
        timeout(within, exchange).await.unwrap_or_else(|_| late())
    }
}

/// What a status means (OTLP/HTTP, sections "Failures" and "OTLP/HTTP Throttling").
fn judge(status: StatusCode, pause: Option<Duration>, body: Bytes) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken(body),
        429 | 502 | 503 | 504 => Answer::Later(format!("it answered {status}"), pause),
        _ => Answer::Refused(format!("it answered {status}")),
    }
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// The innermost cause: "connection refused" says more than "client error (Connect)".
fn root_cause(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        cause = error.to_string();
        next = error.source();
    }
    cause
}

/// Plain HTTP, or TLS with the system's root certificates.
fn connector(tls: bool) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut roots = rustls::RootCertStore::empty();
    if tls {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this system has no root certificates, so that no collector at https:// can be trusted: \
                        install them (ca-certificates), or set SSL_CERT_FILE"
                .to_owned());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(http))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_below_the_url() {
        for (url, uri) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("https://otlp.example/tenant/7", "https://otlp.example/tenant/7/v1/traces"),
        ] {
            assert_eq!(Endpoint::new(url).unwrap().uri, uri, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, why) in [
            ("127.0.0.1:4318", "http://"),
            ("/v1/traces", "http://"),
            ("grpc://127.0.0.1:4317", "http://"),
            ("http://127.0.0.1:4317", "gRPC"),
            ("http://user:secret@collector:4318", "headers"),
            ("http://collector:4318/v1/traces", "added"),
            ("http://collector:4318/?key=1", "query"),
            ("http://a b", "URL"),
        ] {
            let error = Endpoint::new(url).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_header_is_checked_and_its_value_is_not_shown() {
        let endpoint = Endpoint::new("http://a").unwrap();
        let with = endpoint.clone().with_header("x-api-key", "hunter2").unwrap();
        assert!(!format!("{with:?} {:?}", with.headers).contains("hunter2"));
        for (name, value) in [("no name", "x"), ("content-type", "x"), ("x-api-key", "hun\nter2")] {
            let error = endpoint.clone().with_header(name, value).unwrap_err().to_string();
            assert!(!error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let later = [429, 502, 503, 504];
        for code in 200..=599 {
            let status = StatusCode::from_u16(code).unwrap();
            match judge(status, None, Bytes::new()) {
                Answer::Taken(_) => assert!((200..300).contains(&code), "{code}"),
                Answer::Later(..) => assert!(later.contains(&code), "{code}"),
                Answer::Refused(_) => assert!(code >= 300 && !later.contains(&code), "{code}"),
            }
        }
    }
}
