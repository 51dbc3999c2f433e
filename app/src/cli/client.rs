//! The HTTP client of the commands: one server, kept connections, answers within bounds.

use super::client_tls::ClientTls;
use super::failure::{EXIT_CONFIG, Failure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use laneway_http::wire::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as _;
use std::time::Duration;

/// The longest time for one exchange: longer than a server waits for a body and its store together.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(90);
/// The most bytes of an answer: a status of thousands of destinations, each with its blocked keys.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// The longest Retry-After that is believed; a server that says more is asked again after this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// A server, and how to speak with it.
pub(super) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    authorization: Option<HeaderValue>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// There was no answer.
pub(super) struct NoAnswer {
    pub(super) why: String,
    /// Whether the request may have reached the server. Not if no connection could be made.
    pub(super) sent: bool,
}

impl NoAnswer {
    const fn unsent(why: String) -> Self {
        Self { why, sent: false }
    }

    const fn late(why: String) -> Self {
        Self { why, sent: true }
    }
}

impl Answer {
    /// The answer as problem details; what is none is shown as far as it can be.
    pub(super) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Problem {
            detail: format!("the server answered {} without saying why", self.status),
            status: self.status.as_u16(),
            ..Problem::default()
        })
    }
}

/// A URL without what may be secret in it: who stands before an `@`, what follows a `?` or `#`.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        Some((before, host)) => match before.split_once("//") {
            Some((scheme, _)) => format!("{scheme}//…@{host}"),
            None => format!("…@{host}"),
        },
        None => url.to_owned(),
    }
}

impl Client {
    /// A client for the server at `url`.
    pub(super) fn new(url: &str, token: Option<&str>, tls: &ClientTls) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let failure = Failure::new(format!("{:?} is not a server's URL: {why}", shown(url)));
            Failure { code: EXIT_CONFIG, ..failure.advising("write for instance http://127.0.0.1:8080") }
        };
        let parsed = url::Url::parse(url).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong("it has to begin with http:// or https://"));
        }
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        if parsed.query().is_some() || parsed.fragment().is_some() || has_user {
            return Err(wrong("it must have no user, query or fragment"));
        }
        let authorization = token.map(authorization).transpose()?;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .build(tls.connector(parsed.scheme() == "https")?);
        Ok(Self { http, base: parsed.as_str().trim_end_matches('/').to_owned(), authorization })
    }

    /// Where the server is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends events, a line each. `Err` says why there was no answer.
    pub(super) async fn send_events(&self, lines: Bytes) -> Result<Answer, NoAnswer> {
        self.exchange(Method::POST, "/v1/events/batch", NDJSON, lines).await
    }

    /// Sends CloudEvents, as an array. `Err` says why there was no answer.
    pub(super) async fn send_cloud_events(&self, array: Bytes) -> Result<Answer, NoAnswer> {
        self.exchange(Method::POST, "/v1/events/batch", CLOUD_EVENTS, array).await
    }

    /// What is at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await.and_then(|answer| self.read(&answer))
    }

    /// What is at `path`, if something is there.
    pub(super) async fn get_if_there<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.get_unless(StatusCode::NOT_FOUND, path).await
    }

    /// What is at `path`, for a look before a question. `None` where the token may not look: no role contains another, and
    /// it may be allowed what is asked about.
    pub(super) async fn look<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.get_unless(StatusCode::FORBIDDEN, path).await
    }

    async fn get_unless<T: DeserializeOwned>(&self, none: StatusCode, path: &str) -> Result<Option<T>, Failure> {
        let answer = self.exchange(Method::GET, path, JSON, Bytes::new()).await;
        let answer = answer.map_err(|none| self.unreachable(&none.why))?;
        match answer.status {
            status if status == none => Ok(None),
            status if status.is_success() => self.read(&answer).map(Some),
            _ => Err(self.refused(&answer)),
        }
    }

    /// What is at `path`, as the server wrote it.
    pub(super) async fn get_raw(&self, path: &str) -> Result<Bytes, Failure> {
        Ok(self.ask(Method::GET, path, Bytes::new()).await?.body)
    }

    /// Tells the server something.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::new(format!("the request cannot be written: {e}")))?;
        self.ask(Method::POST, path, body.into()).await.and_then(|answer| self.read(&answer))
    }

    /// Tells the server something about what is at a revision; if it is at another one meanwhile, nothing is done.
    pub(super) async fn post_if<T: DeserializeOwned>(
        &self,
        path: &str,
        revision: u64,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::new(format!("the request cannot be written: {e}")))?;
        let condition = HeaderValue::try_from(format!("\"{revision}\"")).ok();
        let answer = self.exchange_if(Method::POST, path, JSON, body.into(), condition).await;
        let answer = answer.map_err(|none| self.unreachable(&none.why))?;
        if answer.status.is_success() { self.read(&answer) } else { Err(self.refused(&answer)) }
    }

    /// Puts something in the place of what is at `path` at a revision; whatever the server answers.
    pub(super) async fn put_if(&self, path: &str, revision: u64, body: &impl Serialize) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::new(format!("the request cannot be written: {e}")))?;
        let condition = HeaderValue::try_from(format!("\"{revision}\"")).ok();
        let answer = self.exchange_if(Method::PUT, path, JSON, body.into(), condition).await;
        answer.map_err(|none| self.unreachable(&none.why))
    }

    /// Puts something at `path`, whatever is there.
    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::new(format!("the request cannot be written: {e}")))?;
        self.ask(Method::PUT, path, body.into()).await.and_then(|answer| self.read(&answer))
    }

    /// Removes what is at `path`.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::DELETE, path, Bytes::new()).await.and_then(|answer| self.read(&answer))
    }

    /// What an answer says.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|e| {
            Failure::new(format!(
                "{} answered with something else than this version of laneway expects: {e}",
                self.base
            ))
            .advising("is it a Laneway server, and of the same version?")
        })
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, Failure> {
        let answer = self.exchange(method, path, JSON, body).await.map_err(|none| self.unreachable(&none.why))?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    /// There was no answer.
    pub(super) fn unreachable(&self, why: &str) -> Failure {
        Failure::new(format!("{} cannot be reached: {why}", self.base))
            .advising("start it with `laneway serve`, or say where it is with --server URL")
    }

    /// The server said no.
    pub(super) fn refused(&self, answer: &Answer) -> Failure {
        let failure = Failure::new(super::output::clean(&answer.problem().detail));
        match answer.status {
            StatusCode::UNAUTHORIZED => failure.advising("give one of the server's tokens in LANEWAY_TOKEN or --token"),
            StatusCode::FORBIDDEN => failure.advising("give another one in LANEWAY_TOKEN or --token"),
            _ => failure,
        }
    }

    async fn exchange(&self, method: Method, path: &str, media: &'static str, body: Bytes) -> Result<Answer, NoAnswer> {
        self.exchange_if(method, path, media, body, None).await
    }

    async fn exchange_if(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        body: Bytes,
        if_match: Option<HeaderValue>,
    ) -> Result<Answer, NoAnswer> {
        let uri = format!("{}{path}", self.base).parse::<Uri>();
        let uri = uri.map_err(|e| NoAnswer::unsent(format!("its URL is wrong: {e}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(USER_AGENT, concat!("laneway/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, media);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        let request = request.body(Full::new(body)).map_err(|e| NoAnswer::unsent(e.to_string()))?;
        let answered = async {
            let response = self.http.request(request).await;
            let response = response.map_err(|e| NoAnswer { why: root_cause(&e), sent: !e.is_connect() })?;
            let (status, retry_after) = (response.status(), retry_after(response.headers().get(RETRY_AFTER)));
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|e| NoAnswer::late(format!("its answer broke off: {e}")))?.to_bytes();
            Ok(Answer { status, retry_after, body })
        };
        let seconds = EXCHANGE_TIMEOUT.as_secs();
        let answered = tokio::time::timeout(EXCHANGE_TIMEOUT, answered).await;
        answered.map_err(|_| NoAnswer::late(format!("no answer within {seconds} s")))?
    }
}

/// The innermost cause: "connection refused" says more than "client error (Connect)".
fn root_cause(error: &hyper_util::client::legacy::Error) -> String {
    if laneway_tls::is_of_unknown_issuer(error) {
        return "its certificate is not trusted here: name the authority that has signed it with --ca FILE".to_owned();
    }
    if let Some(why) = laneway_tls::tls_error_in_words(error) {
        return why;
    }
    let mut cause = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        cause = error.to_string();
        next = error.source();
    }
    cause
}

fn retry_after(value: Option<&HeaderValue>) -> Option<Duration> {
    let seconds: u64 = value?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

fn authorization(token: &str) -> Result<HeaderValue, Failure> {
    let unsendable = |_| {
        let failure = Failure::new("the token has characters that a header cannot carry");
        Failure { code: EXIT_CONFIG, ..failure.advising("use one of the server's tokens as it was told") }
    };
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}
