//! A collector: OpenTelemetry's own definitions read what it gets.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use laneway_domain::{SpanId, TraceId};
use laneway_ports::SpanKind;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A request that came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) key: String,
}

#[derive(Default)]
struct Inner {
    spans: Mutex<Vec<Span>>,
    seen: Mutex<Vec<Seen>>,
    statuses: Mutex<VecDeque<u16>>,
    refused: Mutex<i64>,
    came: Notify,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::<Inner>::default();
        let router = Router::new().fallback(take).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// The next request that has no other answer waiting gets this one, and its spans count for nothing.
    pub(crate) fn answer_once(&self, status: u16) {
        self.inner.statuses.lock().unwrap().push_back(status);
    }

    /// From now on, of each request so many spans are refused.
    pub(crate) fn refuse_of_each(&self, spans: i64) {
        *self.inner.refused.lock().unwrap() = spans;
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// All spans, once there are so many.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        self.wait(|inner| inner.spans.lock().unwrap().len() >= count).await;
        self.inner.spans.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(crate) async fn requests(&self, count: usize) {
        self.wait(|inner| inner.seen.lock().unwrap().len() >= count).await;
    }

    async fn wait(&self, done: impl Fn(&Inner) -> bool) {
        loop {
            let came = self.inner.came.notified();
            if done(&self.inner) {
                return;
            }
            came.await;
        }
    }
}

async fn take(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let seen = Seen { path: uri.path().to_owned(), content_type: header("content-type"), key: header("x-api-key") };
    inner.seen.lock().unwrap().push(seen);
    let status = inner.statuses.lock().unwrap().pop_front();
    let answer = match status {
        Some(status) => StatusCode::from_u16(status).unwrap().into_response(),
        None => {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            let spans = request.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
            inner.spans.lock().unwrap().extend(spans);
            let rejected_spans = *inner.refused.lock().unwrap();
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: String::new() });
            ExportTraceServiceResponse { partial_success }.encode_to_vec().into_response()
        }
    };
    inner.came.notify_waiters();
    answer
}

/// A span that can be told by its number.
pub(crate) fn span(number: u64) -> laneway_ports::Span {
    laneway_ports::Span {
        trace: TraceId([7; 16]),
        id: SpanId(number.to_be_bytes()),
        parent: None,
        name: "test",
        kind: SpanKind::Internal,
        start: 1,
        end: 2,
        attributes: vec![("laneway.offset", number.into())],
        error: None,
    }
}
